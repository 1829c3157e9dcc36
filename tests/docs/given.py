"""What blocks of the documentation find in their folder: models too small to be of use, and a server that says "next".

Each is called with the folder, and returns what stands for names in braces in the block's replacements.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = {"difficulty": {"max_units": 4}, "memory_slots": 2, "units_per_slot": 1, "chain_length": 2}


@contextmanager
def language_model(folder: Path) -> Iterator[dict[str, str]]:
    """`runs/llm`: a language model with fresh weights, as `examples/train_llm.py` makes it."""
    import torch

    from agents.llm.tiny import Shape, tiny_model, train_tokenizer
    from agents.llm.transcripts import expert_turns

    turns = list(expert_turns("ReasonGymText-bAbI-qa1-v0", range(12), instructions="none", **TINY))
    said = [text for episode in turns for turn in episode for text in (turn.chat[-1]["content"], turn.reply)]
    tokenizer = train_tokenizer(said, 400, phrases=True)
    torch.manual_seed(0)
    shape = Shape(hidden=32, layers=2, heads=2, vocabulary=400, window=4096)
    tiny_model(tokenizer, shape).save_pretrained(folder / "runs" / "llm")
    tokenizer.save_pretrained(folder / "runs" / "llm")
    yield {}


@contextmanager
def learned_prm(folder: Path) -> Iterator[dict[str, str]]:
    """`runs/prm`: a learned PRM with fresh weights."""
    from reasongym.prm.learned import LearnedPRM, Shape, StepNetwork

    words = ["where", "is", "the", "mary", "went", "to", "kitchen", "slot", "recall", "answer"]
    shape = Shape(width=32, channels=8, layers=1, heads=4, hidden=48)
    LearnedPRM(StepNetwork(words, 2, shape), ("logic", "goal")).save_pretrained(folder / "runs" / "prm")
    yield {}


@contextmanager
def judge_model(folder: Path) -> Iterator[dict[str, str]]:
    """`judge-model`: the model of `examples/train_judge.py` after five steps."""
    sys.path.insert(0, str(ROOT / "examples"))
    import train_judge

    config = train_judge.Config(steps=5, hidden=32, layers=2, material=60, batch_size=8)
    train_judge.train(config, folder / "judge-model", say=lambda line: None)
    yield {}


@contextmanager
def server(folder: Path) -> Iterator[dict[str, str]]:
    """An OpenAI-compatible server at `{server}` whose every reply is "next"."""
    from tests.prm.judge.talking import Talking

    talking = Talking()
    talking.reply = lambda asked: "next"
    try:
        yield {"server": talking.url}
    finally:
        talking.stop()


GIVEN: dict[str, Callable[[Path], object]] = {
    "language model": language_model, "learned PRM": learned_prm, "judge model": judge_model, "server": server
}  # fmt: skip
"""By the name that pages use."""
