"""The learned PRM: one pass, step by step, inside environments, saved, calibrated; with each of its backbones."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from tiny_models import tiny_model

import reasongym  # noqa: F401
from reasongym.audit import policies
from reasongym.audit.collect import collect
from reasongym.audit.policies import Situation
from reasongym.errors import PRMError
from reasongym.prm.base import check_prm
from reasongym.prm.bench import bench
from reasongym.prm.combinators import Clipped, SoftMinimum
from reasongym.prm.learned.prefixes import Log, storable
from reasongym.prm.learned.words import WordReader, vocabulary_of
from reasongym.prm.records import RecordScorer, StepRecord

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
fitting = pytest.importorskip("reasongym.prm.learned.fitting")
learned = pytest.importorskip("reasongym.prm.learned.prm")
StepNetwork = pytest.importorskip("reasongym.prm.learned.step_network").StepNetwork
Pool = pytest.importorskip("reasongym.prm.learned.pool").Pool
Shape = pytest.importorskip("reasongym.prm.learned.step_transformer").Shape
FitSettings, Fitting, batches, fit = fitting.FitSettings, fitting.Fitting, fitting.batches, fitting.fit
CONFIG, LearnedPRM = learned.CONFIG, learned.LearnedPRM

ID = "ReasonGym-bAbI-qa2-v0"
CRITERIA = ("logic", "correct")
SMALL = Shape(width=32, channels=8, layers=2, heads=4, hidden=48)
SHORT = {"difficulty": {"max_units": 10}}


def record(*steps, prompt="Where is the milk?"):
    labels = np.zeros((len(steps), len(CRITERIA)), np.float32)
    return StepRecord(prompt, tuple(steps), CRITERIA, labels)


@pytest.fixture(scope="module")
def played():
    """Random episodes of a few lengths, without labels that matter."""
    return collect(ID, policies.random, np.arange(12), **SHORT)


@pytest.fixture(scope="module", params=["words", "encoder", "lm"])
def prm(request, played, tmp_path_factory):
    torch.manual_seed(0)
    texts = [text for r in played for text in (r.prompt, *r.steps)]
    words = vocabulary_of(texts, 1)
    if request.param == "words":
        backbone = StepNetwork(words, len(CRITERIA), SMALL)
    elif request.param == "encoder":
        backbone = StepNetwork(words, len(CRITERIA), SMALL, tiny_model(tmp_path_factory.mktemp("bert"), words, "bert"))
    else:
        from reasongym.prm.learned.step_lm import StepLM

        backbone = StepLM(tiny_model(tmp_path_factory.mktemp("llama"), words, "llama"), len(CRITERIA))
    for parameter in backbone.parameters():  # far from the start: scores that differ, and differ from 0
        parameter.data += 0.05 * torch.randn_like(parameter)
    return LearnedPRM(backbone, CRITERIA, platt=np.array([[1.5, 0.2], [0.7, -0.1]]))


def test_it_keeps_both_contracts(prm):
    assert check_prm(prm) is prm
    assert isinstance(prm, RecordScorer)
    assert not prm.needs_annotation
    assert prm.default_beta == {"logic": 0.2, "correct": 0.0}


def test_a_later_step_changes_no_earlier_score(prm, played):
    whole = max(played, key=lambda r: len(r.steps))
    reference = prm.score_records([whole])[0]
    assert reference.shape == (len(whole.steps), 2)
    assert np.ptp(reference[:, 0]) > 1e-3
    for t in (1, 4, len(whole.steps) - 1):
        steps = (*whole.steps[:t], *("answer: garden (chain: 1, 2)" for _ in whole.steps[t:]), "recall nothing")
        other = prm.score_records([record(*steps, prompt=whole.prompt)])[0]
        np.testing.assert_allclose(other[:t], reference[:t], atol=1e-5)
        assert np.abs(other[t] - reference[t]).max() > 1e-5  # what was changed does count


def test_alone_and_padded_in_a_batch_score_alike(prm, played):
    together = prm.score_records(played)
    for i in (0, 5, 11):
        np.testing.assert_allclose(prm.score_records([played[i]])[0], together[i], atol=1e-5)


def test_an_empty_prompt_takes_nothing_from_its_neighbours(prm, played):
    empty = record(*played[0].steps[:3], prompt="")
    alone = prm.score_records([empty])[0]
    np.testing.assert_allclose(prm.score_records([*played[:3], empty])[3], alone, atol=1e-5)


def test_a_step_cannot_write_special_tokens(tmp_path):
    pytest.importorskip("transformers")
    from reasongym.prm.learned.step_encoder import TextEncoder

    encoder = TextEncoder(tiny_model(tmp_path, ["Mary", "<", ">", "pad", "unk"], "bert"))
    with torch.no_grad():
        spelled, apart, plain = encoder(["Mary <pad>", "Mary < pad >", "Mary"]).numpy()
    np.testing.assert_allclose(spelled, apart, atol=1e-5)
    assert np.abs(spelled - plain).max() > 1e-3


def play_with(prm, env, problems, policy=policies.random):
    """Scores by criterion of one episode a problem, (T, k) each, as the environment reports them."""
    observation, _ = env.reset(seed=0, options={"problem": problems})
    step, live, out = np.zeros(len(problems), np.int64), np.ones(len(problems), bool), [[] for _ in problems]
    while live.any():
        observation, _, ended, _, info = env.step(policy(Situation(env, observation, problems, step, 0, 0)))
        for i in np.flatnonzero(live):
            out[i].append([info["prm_scores"][name][i] for name in prm.criteria])
        live &= ~ended
        step += 1
    return [np.array(rows) for rows in out]


def make(prm, n, **more):
    return gym.make_vec(ID, num_envs=n, vectorization_mode="vector_entry_point", prm=prm, utility="use", **SHORT, **more)


def test_inside_environments_the_scores_are_those_of_the_records(prm, played):
    prm.changed()
    found = play_with(prm, make(prm, len(played)), np.arange(len(played)))
    for record_, inside, outside in zip(played, found, prm.score_records(played), strict=True):
        assert len(inside) == len(record_.steps)
        np.testing.assert_allclose(inside, outside, atol=1e-5)


def test_compiled_and_not_the_scores_are_the_same(prm, played, monkeypatch):
    if not isinstance(prm.backbone, StepNetwork):
        pytest.skip("a language model's steps are not compiled")
    found = {}
    for compiled in (True, False):
        monkeypatch.setattr(Pool, "compiled", compiled)
        prm.changed()
        found[compiled] = play_with(prm, make(prm, len(played)), np.arange(len(played)))
    prm.changed()
    for one, other in zip(found[True], found[False], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_text_is_read_once_however_often_it_is_played(monkeypatch):
    backbone = StepNetwork(("recall", "nothing"), 1, SMALL)
    read = []
    monkeypatch.setattr(backbone, "_read", lambda texts, plain=backbone._read: read.append(texts) or plain(texts))
    _, prompts = backbone.extend([(), ()], ["Where is Mary?", "Is nothing there?"])
    logits, nodes = backbone.extend([(prompt,) for prompt in prompts], ["recall nothing"] * 2)
    backbone.keep(nodes)  # the prompts' words go, those of the steps stay
    backbone.extend([(), (), ()], ["Where is Mary?", "recall nothing", "Is nothing there?"])
    prompts = ["Where is Mary?", "Is nothing there?"]
    assert read == [prompts, ["recall nothing"], prompts]
    assert not np.allclose(logits[0], logits[1])  # the same words after different prompts


def test_a_question_asked_at_the_end_is_scored_alike(prm):
    records = collect(ID, policies.expert, np.arange(3), question_at="end", **SHORT)
    env = make(prm, 3, question_at="end")
    scores = iter_scores(prm, env, records)
    for inside, outside in zip(scores, prm.score_records(records), strict=True):
        np.testing.assert_allclose(inside, outside, atol=1e-5)


def iter_scores(prm, env, records):
    """Scores of recorded episodes, played again action by action."""
    env.reset(seed=0, options={"problem": np.arange(len(records))})
    out = [[] for _ in records]
    for t in range(max(len(r.steps) for r in records)):
        actions = np.array([r.meta["actions"][t] if t < len(r.steps) else 0 for r in records])
        info = env.step(actions)[4]
        for i, r in enumerate(records):
            if t < len(r.steps):
                out[i].append([info["prm_scores"][name][i] for name in prm.criteria])
    return [np.array(rows) for rows in out]


def test_a_known_prefix_is_not_computed_again(prm, played):
    prm.changed()
    calls = []
    extend = type(prm.backbone).extend
    prm.backbone.extend = lambda paths, texts: (calls.append(len(texts)), extend(prm.backbone, paths, texts))[1]
    try:
        problems = np.arange(4)
        asked, fresh = prm.asked, prm.fresh
        first = play_with(prm, make(prm, 4), problems)
        steps = sum(map(len, first))
        distinct = {(r.prompt, *r.steps[: t + 1]) for r in played[:4] for t in range(len(r.steps))}
        prompts = {r.prompt for r in played[:4]}
        assert sum(calls) >= len(distinct) + len(prompts)
        assert sum(calls) <= prm.fresh - fresh + 4 * 4  # each new step once, and prompts; ended episodes play on as others
        calls.clear()
        again = play_with(prm, make(prm, 4), problems)
        assert not calls
        assert prm.asked - asked >= 2 * steps
    finally:
        del prm.backbone.extend
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("how", ["state", "pickle", "deepcopy", "forgotten"])
def test_an_episode_goes_on_from_a_saved_state(prm, how):
    records = collect(ID, policies.random, np.arange(3), **SHORT)
    env = make(prm, 3)
    env.reset(seed=0, options={"problem": np.arange(3)})
    half = min(len(r.steps) for r in records) // 2
    for t in range(half):
        env.step(np.array([r.meta["actions"][t] for r in records]))
    if how == "state":
        state = env.unwrapped.get_state()
        for _ in range(5):
            env.step(np.zeros(3, np.int64))
        env.unwrapped.set_state(state)
    elif how == "pickle":
        prm_before = env.unwrapped.batch
        batch = pickle.loads(pickle.dumps(prm_before))
        assert batch.settings.model is not prm
    elif how == "deepcopy":
        batch = copy.deepcopy(env.unwrapped.batch)
        assert batch.settings.model is prm
    else:
        prm.changed()
    if how in ("pickle", "deepcopy"):
        env = make(prm, 3)
        env.reset(seed=0)
        env.unwrapped.batch = batch
        env.unwrapped._connect()
        env.unwrapped._seeded = True
    expected = prm.score_records(records)
    info = env.step(np.array([r.meta["actions"][half] for r in records]))[4]
    for i in range(3):
        got = [info["prm_scores"][name][i] for name in prm.criteria]
        np.testing.assert_allclose(got, expected[i][half], atol=1e-5)


def test_a_crowded_pool_changes_no_score(prm, played, monkeypatch):
    monkeypatch.setattr("reasongym.prm.learned.step_network.POOL", 60)
    monkeypatch.setattr("reasongym.prm.learned.step_lm.POOL", 60)
    prm.changed()
    found = play_with(prm, make(prm, 12), np.arange(12))
    for inside, outside in zip(found, prm.score_records(played), strict=True):
        np.testing.assert_allclose(inside, outside, atol=1e-5)


def counted(prm, problems, num_envs):
    """Texts that the network reads while episodes are played, and what the PRM says of them."""
    calls, before = [], (prm.fresh, prm.prompts, prm.restored)
    extend = type(prm.backbone).extend
    prm.backbone.extend = lambda paths, texts: (calls.append(len(texts)), extend(prm.backbone, paths, texts))[1]
    try:
        play_with(prm, make(prm, num_envs), problems)
    finally:
        del prm.backbone.extend
    return sum(calls), *(now - then for now, then in zip((prm.fresh, prm.prompts, prm.restored), before, strict=True))


@pytest.mark.parametrize("pool", [60, 24])
def test_live_prefixes_are_never_computed_again(prm, monkeypatch, pool):
    """12 episodes of 12 steps or so hold more nodes than either pool, and none of them may be forgotten before it is over."""
    for module in ("step_network", "step_lm"):
        monkeypatch.setattr(f"reasongym.prm.learned.{module}.POOL", pool)
    prm.changed()
    read, fresh, prompts, restored = counted(prm, np.arange(12), 12)
    assert restored == 0
    assert read == fresh + prompts
    assert fresh > 2 * pool
    read, again, prompts, restored = counted(prm, np.arange(12), 12)
    assert read == again + prompts + restored, "whatever is forgotten and computed again is counted"


def test_dead_prefixes_make_room(prm, monkeypatch):
    for module in ("step_network", "step_lm"):
        monkeypatch.setattr(f"reasongym.prm.learned.{module}.POOL", 80)
    prm.changed()
    for first in range(0, 24, 2):
        _, _, _, restored = counted(prm, np.arange(first, first + 2), 2)
        assert restored == 0
        assert len(prm._known) <= 160, "two episodes of at most 20 steps live, and as much again"
    nodes = {known.nodes[-1] for known in prm._known.values()}
    assert nodes == set(range(len(nodes))), "one node a prefix, numbered without gaps"


def test_it_is_an_observer_as_well(prm):
    env = make("annotated", 2, observer=prm)
    observation, _ = env.reset(seed=0)
    observation = env.step(np.zeros(2, np.int64))[0]
    assert (observation["scored"] == 1).all()
    assert (observation["scores"] != 0).any()


def test_saved_and_loaded_it_is_the_same(prm, played, tmp_path):
    prm.save_pretrained(tmp_path)
    assert (tmp_path / CONFIG).is_file()
    again = LearnedPRM.from_pretrained(tmp_path, log_bytes=65_536)
    assert again.version == prm.version
    assert again.carry_size == 65_536 // 8
    for a, b in zip(again.score_records(played), prm.score_records(played), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(("criteria", "meaning"), [(("hard",), "value"), (("soft", "correct"), "correctness")])
def test_what_labels_meant_is_kept_in_the_folder(tmp_path, criteria, meaning):
    prm = LearnedPRM(StepNetwork(("a",), len(criteria), SMALL), criteria)
    assert prm.label_meaning == meaning
    prm.save_pretrained(tmp_path)
    assert LearnedPRM.from_pretrained(tmp_path).label_meaning == meaning
    records = [StepRecord.of("p", ["a", "b"], [1.0, 1.0], outcome=o) for o in (0, 1)]
    best = bench({"prm": LearnedPRM.from_pretrained(tmp_path)}, records)["prms"]["prm"]["best_of_n"]
    assert best["fitting"] == {"value": "last", "correctness": "min"}[meaning]
    told = LearnedPRM(prm.backbone, criteria, label_meaning="value")
    told.save_pretrained(tmp_path)
    assert LearnedPRM.from_pretrained(tmp_path).label_meaning == "value"
    with pytest.raises(ValueError, match="unknown label meaning 'worth'"):
        LearnedPRM(prm.backbone, criteria, label_meaning="worth")


def test_in_bfloat16_the_scores_are_near(prm, played, tmp_path):
    prm.save_pretrained(tmp_path)
    half = LearnedPRM.from_pretrained(tmp_path, bf16=True)
    assert half.version == prm.version + "-bf16"
    found = play_with(half, make(half, 3), np.arange(3))
    for inside, exact in zip(found, prm.score_records(played[:3]), strict=True):
        np.testing.assert_allclose(inside, exact, atol=0.1)
        assert not np.array_equal(inside, exact)


def test_inside_a_combinator_it_keeps_its_part_of_the_carry(prm, played):
    """Minimum with 0 of the weighted mean: worked out from the records' scores."""
    prm.changed()
    beta = {"logic": 1.0, "correct": 3.0}
    clipped = Clipped(prm, beta=beta)
    inside = play_with(clipped, make(clipped, 4), np.arange(4))
    softmin = SoftMinimum(prm, beta=beta)
    assert softmin.carry_size == prm.carry_size + 2
    paid = play_with(softmin, make(softmin, 4), np.arange(4))
    for values, minima, scores in zip(inside, paid, prm.score_records(played[:4]), strict=True):
        p = scores @ [1, 3] / 4
        np.testing.assert_allclose(values[:, 0], np.minimum(p, 0), atol=1e-5)
        weights = np.exp(-p / 0.1)
        np.testing.assert_allclose(2 * minima.sum(), (weights @ p) / weights.sum(), atol=1e-4)


def test_a_log_keeps_what_it_is_given():
    row = np.zeros(40)
    log = Log(row)
    texts = [storable(text) for text in ("Where?", "note \x1e 1", "Zoë \ud800 said", "")]
    keys = [log.add(text) for text in texts]
    assert log.texts == texts
    assert len(log) == 4
    assert len(set(keys)) == 4
    assert Log(row.copy()).key == keys[-1]
    assert log.starts_with("Where?")
    assert not log.starts_with("Wher")


def test_a_broken_folder_is_refused(prm, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"reasongym_prm.json is missing; save_pretrained"):
        LearnedPRM.from_pretrained(tmp_path)
    prm.save_pretrained(tmp_path)
    text = (tmp_path / CONFIG).read_text()
    (tmp_path / CONFIG).write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(ValueError, match="has format 99, this version reads 1"):
        LearnedPRM.from_pretrained(tmp_path)
    (tmp_path / CONFIG).write_text(text.replace(prm.version, "learned-1-0"))
    with pytest.raises(ValueError, match="are not those that"):
        LearnedPRM.from_pretrained(tmp_path)


def test_bad_records_are_refused(prm):
    with pytest.raises(ValueError, match="record 0 has 0 steps"):
        prm.backbone.full([("Why?",)])


def test_a_log_that_is_full_says_so(prm):
    small = LearnedPRM(prm.backbone, CRITERIA, log_bytes=256)
    env = make(small, 1)
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros(1, np.int64))
    with pytest.raises(PRMError, match="outgrew what this PRM keeps of it"):
        [env.step(np.zeros(1, np.int64)) for _ in range(30)]


def test_calibration_makes_probabilities_of_logits(prm, played):
    rng = np.random.default_rng(0)
    labelled = []
    for r, z in zip(played, prm.logits(played), strict=True):
        sound = rng.random(z.shape) < 1 / (1 + np.exp(-(3 * z - 0.5)))  # the truth: scale 3, shift -0.5
        labelled.append(StepRecord(r.prompt, r.steps, CRITERIA, np.where(sound, 1, -1).astype(np.float32)))
    calibrated = LearnedPRM(prm.backbone, CRITERIA)
    calibrated.calibrate(labelled)
    assert (calibrated.platt[:, 0] != 1).all()
    assert calibrated.version != LearnedPRM(prm.backbone, CRITERIA).version
    with pytest.raises(ValueError, match="must be of the criteria"):
        calibrated.calibrate([StepRecord("?", ("a",), ("other",), np.zeros((1, 1), np.float32))])


def test_it_learns():
    """Which step names another person than the prompt: told only by whether two words are the same."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    names = ["Mary", "John", "Daniel", "Sandra"]

    def some(n, names):
        out = []
        for _ in range(n):
            asked, said = draw.choice(names), draw.choice(names, 4)
            labels = np.where(said == asked, 1, -1).astype(np.float32)[:, None]
            steps = tuple(f"recall {i + 1}: {name} went to the garden." for i, name in enumerate(said))
            out.append(StepRecord(f"Where is {asked}?", steps, ("correct",), labels))
        return out

    records = some(300, names)
    backbone = StepNetwork(vocabulary_of(t for r in records for t in (r.prompt, *r.steps)), 1, SMALL)
    losses = [loss for _, loss in fit(backbone.network, records, backbone.reader, FitSettings(updates=150, batch_steps=200))]
    assert losses[0] > 0.5 > 5 * np.mean(losses[-10:])
    strangers = some(50, ["Zoe", "Ivo", "Ada"])  # names that it never saw
    prm = LearnedPRM(backbone, ("correct",))
    right = [(score > 0) == (r.labels > 0) for score, r in zip(prm.score_records(strangers), strangers, strict=True)]
    assert np.mean(right) > 0.95


def test_batches_hold_every_record_once_and_not_too_many_steps():
    records = [record(*["a"] * n) for n in (1, 5, 9, 2, 30, 4, 4, 4)]
    seen = []
    for chosen in batches([len(r.steps) + 1 for r in records], 24, np.random.default_rng(0)):
        longest = max(len(records[i].steps) + 1 for i in chosen)
        assert len(chosen) == 1 or longest * len(chosen) <= 24
        seen += chosen
        if len(seen) == len(records):
            break
    assert sorted(seen) == list(range(len(records)))


def test_records_of_other_criteria_are_not_mixed():
    backbone = StepNetwork(("a",), 1, SMALL)
    other = StepRecord("?", ("a",), ("b",), np.zeros((1, 1), np.float32))
    with pytest.raises(ValueError, match="records with the same criteria"):
        next(fit(backbone.network, [record("a"), other], backbone.reader, FitSettings(updates=1)))


def test_a_resumed_training_ends_with_the_same_weights():
    draw = np.random.default_rng(1)
    labels = lambda n: draw.choice([-1.0, 1.0], (n, 1)).astype(np.float32)  # noqa: E731
    records = [StepRecord("Where is Mary?", ("next 1: a", "recall 1: b"), ("correct",), labels(2)) for _ in range(20)]
    settings, ends = FitSettings(updates=6, batch_steps=12), []
    for killed in (False, True):
        torch.manual_seed(0)
        backbone = StepNetwork(("mary", "where"), 1, SMALL)
        fitting_ = Fitting(backbone.network, records, backbone.reader, settings)
        for _ in range(3):
            fitting_.update()
        if killed:
            state = copy.deepcopy(fitting_.state())
            backbone = StepNetwork(("mary", "where"), 1, SMALL)
            fitting_ = Fitting(backbone.network, records, backbone.reader, settings)
            fitting_.load(state)
        for _ in range(3):
            fitting_.update()
        ends.append([parameter.detach().clone() for parameter in backbone.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_words_are_compared_by_lemma_and_unknown_ones_by_spelling():
    read = WordReader(("went", "apple"))(["recall 12: Zoe went to the apples.", "Zoe, apple? (chain: 12)", "then she went"])
    assert read.number.tolist() == [12, 12, 0]
    first, second = read.identity[0], read.identity[1]
    assert first[1] == second[3] < 0  # the number
    assert first[2] == second[0] > 0  # Zoe
    assert first[5] == second[1] > 0  # apples, apple
    assert (read.identity[2][:2] == 0).all()  # function words and pronouns are compared with nothing
    assert read.name[0].tolist() == [0, 0, 1, 0, 0, 0]


def test_a_step_longer_than_the_window_is_read_in_part_with_a_note():
    reader = WordReader((), max_words=8)
    text = "recall 1: " + " ".join(f"word{i}" for i in range(20))
    with pytest.warns(UserWarning, match=r"a step of 22 words is longer than this model's window of 8"):
        read = reader([text])
    assert read.identity.shape == (1, 8)
