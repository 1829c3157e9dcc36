"""Batches of steps written down by hand, from sentences."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from reasongym.prm.base import ANSWER, NEXT, RECALL, STORE, UPDATE, StepBatch

K, U, H = 4, 2, 5
KINDS = {"next": NEXT, "store": STORE, "update": UPDATE, "recall": RECALL, "answer": ANSWER}


@dataclass
class Step:
    """One step. `action` reads like the text interface ("recall 2"); contents are {place in the text: sentence}."""

    action: str
    question: str | None = None
    memory: list[dict[int, str]] = field(default_factory=list)
    chain: list[dict[int, str]] = field(default_factory=list)
    desk: str | None = None
    units_read: int = 20
    illegal: bool = False
    terminated: bool = False


class Tables:
    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    def index(self, text: str | None) -> int:
        return -1 if text is None else self.rows.setdefault(text, len(self.rows))

    def units(self, held: list[dict[int, str]], size: int) -> tuple[np.ndarray, np.ndarray]:
        units, positions = np.full((size, U), -1, np.int32), np.full((size, U), -1, np.int16)
        for i, unit in enumerate(held):
            for u, (position, text) in enumerate(unit.items()):
                units[i, u], positions[i, u] = self.index(text), position
        return units, positions


def build(steps: list[Step], carry: np.ndarray | None = None) -> StepBatch:
    """The batch of these steps, with memory and chain after each as the action leaves them."""
    sentences, questions = Tables(), Tables()
    columns: dict[str, list] = {name: [] for name in StepBatch.__dataclass_fields__}
    for step in steps:
        verb, _, argument = step.action.partition(" ")
        slot = int(argument) - 1 if verb in ("store", "update", "recall") else -1
        held = [*step.memory, *({} for _ in range(K - len(step.memory)))]
        after, chain = [dict(unit) for unit in held], list(step.chain)
        if not step.illegal and step.desk is not None and verb in ("store", "update"):
            after[slot] = {**(after[slot] if verb == "update" else {}), step.units_read: step.desk}
        if not step.illegal and verb == "recall":
            chain.append(held[slot])
        for name, contents, size in (("memory", held, K), ("memory", after, K), ("chain", chain, H)):
            units, positions = sentences.units(contents, size)
            when = "" if name == "chain" else "_after" if contents is after else "_before"
            columns[f"{name}{when}"].append(units)
            columns["chain_positions" if name == "chain" else f"positions{when}"].append(positions)
        row = {
            "kind": KINDS[verb], "slot": slot, "choice": 0 if verb == "answer" else -1, "illegal": step.illegal,
            "question": questions.index(step.question), "desk": sentences.index(step.desk), "num_units": 20,
            "units_read": step.units_read + (not step.illegal and verb in ("next", "store", "update")),
            "chain_length": len(chain), "terminated": step.terminated or verb == "answer", "problem": 0,
        }  # fmt: skip
        for name, value in row.items():
            columns[name].append(value)
    dtypes = {"kind": np.int8, "illegal": bool, "terminated": bool, "problem": np.int64, "desk": np.int32}
    arrays = {name: np.array(v, dtypes.get(name)) for name, v in columns.items() if v}
    return StepBatch(
        sentences=tuple(sentences.rows), questions=tuple(questions.rows), choices=("kitchen", "garden"),
        sentence_tokens=np.zeros((len(sentences.rows), 1), np.int16),
        question_tokens=np.zeros((len(questions.rows), 1), np.int16), carry=carry, **arrays,
    )  # fmt: skip


@pytest.fixture
def steps():
    """`steps(Step(...), ...)` or `steps(dict(...), ...)` -> StepBatch."""

    def make(*rows: dict, carry: np.ndarray | None = None) -> StepBatch:
        return build([Step(**row) for row in rows], carry)

    return make
