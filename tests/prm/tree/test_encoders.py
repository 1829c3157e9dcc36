"""Any sentence encoder by path: a tiny BERT made here; a real one where `REASONGYM_SENTENCE_ENCODER` names its folder."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from reasongym.errors import DataError, PRMError, UnknownNameError
from reasongym.prm.tree.encoders import SentenceEncoder
from reasongym.prm.tree.growth import grow
from reasongym.prm.tree.thresholds import Thresholds, choose_thresholds
from reasongym.prm.tree.tree import empty_tree

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
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
    encoder = SentenceEncoder(folder)
    texts = ["the step is right", "no answer", "a fact that is repeated"]
    together = encoder.embed(texts)
    assert together.shape == (3, 16)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3))
    assert np.abs(together - np.concatenate([encoder.embed([text]) for text in texts])).max() < 1e-5  # padding does not count
    assert np.abs(encoder.embed(["the " * 40])).max() <= 1
    assert encoder.embed([]).shape == (0, 16)


def test_mean_pooling_by_hand(folder):
    encoder = SentenceEncoder(folder)
    hidden = encoder._model(**encoder._tokenizer("no answer", return_tensors="pt")).last_hidden_state[0].detach().numpy()
    mean = hidden.mean(0)
    assert encoder.embed(["no answer"])[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    first = SentenceEncoder(folder, pooling="cls").embed(["no answer"])[0]
    assert first == pytest.approx(hidden[0] / np.linalg.norm(hidden[0]), abs=1e-5)


def test_the_folder_says_how_to_pool(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert SentenceEncoder(tmp_path).id == SentenceEncoder(folder).id  # not where it lies
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert SentenceEncoder(tmp_path).pooling == "cls"
    assert SentenceEncoder(tmp_path).id != SentenceEncoder(folder).id


def test_a_tree_of_one_encoder_refuses_another(folder):
    encoder, other = SentenceEncoder(folder), SentenceEncoder(folder, pooling="cls")
    tree = grow(empty_tree(encoder, Thresholds(0.01, 0.2, 0.2)), ["the step is right", "no answer"], encoder)
    with pytest.raises(PRMError, match="chosen for the embedder"):
        grow(tree, ["a fact"], other)


def test_wrong_arguments_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="no sentence encoder at"):
        SentenceEncoder(tmp_path)
    with pytest.raises(UnknownNameError, match="pooling"):
        SentenceEncoder(folder, pooling="max")


@pytest.mark.slow
@pytest.mark.skipif("REASONGYM_SENTENCE_ENCODER" not in os.environ, reason="REASONGYM_SENTENCE_ENCODER names no folder")
def test_a_real_encoder_gets_thresholds_of_its_own():
    choice = choose_thresholds(SentenceEncoder(os.environ["REASONGYM_SENTENCE_ENCODER"]))
    assert choice.chosen["fine_ari"] > 0.4
    assert choice.thresholds.merge < 0.6
