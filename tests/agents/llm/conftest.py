"""A tiny language model with fresh weights, and environments that it plays in."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

import torch

from agents.llm.tiny import Shape, tiny_model, train_tokenizer
from agents.llm.transcripts import expert_turns
from reasongym.adapters.sb3 import ReasonGymVecEnv, make_vec_env

KEYWORDS = {"difficulty": {"max_units": 4}, "memory_slots": 2, "units_per_slot": 1, "chain_length": 2}
SHAPE = Shape(hidden=32, layers=2, heads=2, vocabulary=400, window=512)


@pytest.fixture(scope="session")
def turns():
    """Expert's turns of 12 problems, an episode each."""
    return list(expert_turns("ReasonGymText-bAbI-qa1-v0", range(12), instructions="none", **KEYWORDS))


@pytest.fixture(scope="session")
def tokenizer(turns):
    said = [text for episode in turns for turn in episode for text in (turn.chat[-1]["content"], turn.reply)]
    return train_tokenizer(said, SHAPE.vocabulary, phrases=True)


@pytest.fixture(scope="session")
def model_folder(tokenizer, tmp_path_factory) -> Path:
    """A model with fresh weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("llm") / "tiny"
    tiny_model(tokenizer, SHAPE).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def venv() -> ReasonGymVecEnv:
    """Six environments by number."""
    return make_vec_env("ReasonGym-bAbI-qa1-v0", 6, seed=0, **KEYWORDS)
