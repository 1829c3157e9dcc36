"""`Scene`: what a picture of an environment shows, and how it is read off the engine's state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from reasongym.engine.batch import Batch
from reasongym.engine.layout import INVALID_REASONS
from reasongym.prm.base import ACTION_NAMES, ANSWER, START


@dataclass(frozen=True)
class SlotScene:
    """One slot of the working memory.

    Attributes:
        texts: the units it holds, oldest first; () for an empty slot.
        salience: in [0, 1].
        recalls: how often it was recalled.
        closed: which of "store", "update", "recall" the gate forbids now.
    """

    texts: tuple[str, ...] = ()
    salience: float = 0.0
    recalls: int = 0
    closed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """What a picture shows: the situation, and what the last step brought.

    Attributes:
        title: what is being played, e.g. "ReasonGym-bAbI-qa2-v0 · qa2/train/17".
        question: None while it is hidden.
        desk: the unit being read, None when the text is over.
        units_read, num_units, steps, max_steps, chain_length: progress; `chain_length` is H.
        slots: the working memory.
        chain: the recalled contents, each a tuple of units.
        action: the last action in words, None at the start.
        invalid: why the last action was illegal.
        scores: the last step's PRM scores by criterion; NaN = unscored.
        terms: the last step's terms of the reward; they sum to it.
        reward, total: of the last step, of the episode so far.
        verdict: how the episode ended, None while it goes on.
    """

    title: str
    question: str | None
    desk: str | None
    units_read: int
    num_units: int
    steps: int
    max_steps: int
    chain_length: int
    slots: tuple[SlotScene, ...] = ()
    chain: tuple[tuple[str, ...], ...] = ()
    action: str | None = None
    invalid: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    terms: Mapping[str, float] = field(default_factory=dict)
    reward: float = 0.0
    total: float = 0.0
    verdict: str | None = None

    @property
    def progress(self) -> str:
        """Where the episode stands, in words."""
        return f"read {self.units_read}/{self.num_units} · step {self.steps}/{self.max_steps}"

    @property
    def outcome(self) -> str:
        """What the last step brought, in words."""
        if self.action is None:
            return "start of the episode"
        return f"{self.action} → reward {self.reward:+.3f}, return {self.total:+.3f}"


def number(value: float) -> str:
    """A score or term with its sign; "–" where unscored."""
    return "–" if math.isnan(value) else f"{value:+.3f}" if value else "0"


def require(module: str, package: str, mode: str) -> ModuleType:
    """The module of an extra.

    Raises:
        ImportError: it is not installed; the message says what to install.
    """
    try:
        return import_module(module)
    except ImportError as missing:
        raise ImportError(
            f"render_mode={mode!r} needs {package}, which is not installed; run: pip install 'reasongym[play]'"
        ) from missing


def scene_of(batch: Batch, row: int = 0) -> Scene:
    """What environment `row` of a batch looks like now. The question stays hidden until it is asked."""
    state, out = batch.memory.state[row], batch.result.outcome[row]
    tables, texts = batch.table.tables, batch.table.sentences.texts
    problem = tables.problems[state["row"]]
    cursor, total = int(state["cursor"]), int(state["num_units"])

    def words(units: np.ndarray) -> tuple[str, ...]:
        rows = [int(problem["first_unit"]) + int(u) for u in units if u >= 0]
        return tuple(texts[tables.units["sentence"][r]] for r in rows)

    slots = []
    for k in range(batch.shapes.slots):
        slot, held = batch.memory.slots[row, k], batch.memory.held["unit"][row, k]
        if k < state["occupied"]:
            closed = tuple(name for name in ("store", "update", "recall") if not slot[name])
            slots.append(SlotScene(words(held), float(slot["salience"]), int(slot["recalls"]), closed))
        else:
            slots.append(SlotScene())
    asked = batch.settings.question_at == "start" or cursor >= total
    situation = Scene(
        title=f"{batch.source.name} · problem {int(state['problem'])}",
        question=batch.table.questions.texts[problem["question"]] if asked else None,
        desk=words(np.array([cursor]))[0] if cursor < total else None,
        units_read=cursor,
        num_units=total,
        steps=int(state["steps"]),
        max_steps=int(state["max_steps"]),
        chain_length=batch.shapes.chain_length,
        slots=tuple(slots),
        chain=tuple(words(link) for link in batch.memory.chain[row, : state["chain_length"]]),
    )
    return situation if out["is_reset"] else replace(situation, **_last_step(batch, row))


def _started(batch: Batch, row: int) -> str:
    """The word at which the answer of environment `row` starts."""
    state, width = batch.memory.state[row], batch.shapes.unit_tokens
    unit, token = divmod(int(state["span_start"]), width)
    held = batch.memory.chain[row, state["chain_length"] - 1, unit]
    tables = batch.table.tables
    sentence = int(tables.units[tables.problems[state["row"]]["first_unit"] + held]["sentence"])
    return batch.table.text_between(sentence, token, token)


def _unanswerable(batch: Batch, row: int) -> bool:
    """Whether the problem of environment `row` is known to have no answer."""
    problem = batch.table.tables.problems[batch.result.outcome[row]["row"]]
    return batch.shapes.span and bool(problem["num_references"] == 0)


def _last_step(batch: Batch, row: int) -> dict[str, Any]:
    """What the last step of environment `row` brought: the rest of its scene."""
    out, criteria = batch.result.outcome[row], batch.settings.criteria
    target = f" {out['slot'] + 1}" if out["slot"] >= 0 else ""
    if out["kind"] == ANSWER and not out["invalid"]:
        target = f" {batch.table.answer_text(out) or '(none)'}"
    if out["kind"] == START and not out["invalid"]:
        target = f" {_started(batch, row)}"
    verdict = None
    if out["terminated"]:
        wanted = batch.table.gold_text(out)
        gold = f", the answer is {wanted}" if wanted else ", there is no answer" if _unanswerable(batch, row) else ""
        ending = "out of steps" if out["out_of_steps"] else "right" if out["success"] else "wrong" if gold else "answered"
        verdict = f"{ending}{'' if out['success'] else gold}; return {batch.memory.state[row]['episode_return']:+.3f}"
    return {
        "action": ACTION_NAMES[out["kind"]] + target,
        "invalid": INVALID_REASONS[out["invalid"]] or None,
        "scores": dict(zip(criteria, batch.result.scores[row].tolist(), strict=True)),
        "terms": dict(zip((*criteria, "memory"), batch.result.terms[row].tolist(), strict=True)),
        "reward": float(batch.result.reward[row]),
        "total": float(batch.memory.state[row]["episode_return"]),
        "verdict": verdict,
    }
