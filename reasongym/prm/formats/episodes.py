"""Episodes of this suite as `wrappers.episodes` writes them, told step by step in the words of `prm.rendering`, as `collect`
tells them.

Labels are the scores that the environment's own PRM gave (its version is `meta["labels"]`), or none with `labels="none"`. A
thought stands in `meta["thoughts"]`. Files of before `listed` was written do not say whether answers came from a list; there
no pronoun is explained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from reasongym.errors import DataError, unknown
from reasongym.prm.base import ACTION_NAMES, ANSWER, ENVIRONMENT_CRITERIA, RECALL, StepBatch
from reasongym.prm.formats.base import Layout, text, texts, whole
from reasongym.prm.records import CORRECT, StepRecord
from reasongym.prm.rendering import UNASKED, prompt_text, step_text

LABELS = ("scores", "none")
Json = Mapping[str, Any]


def read(row: Json, labels: str = "scores") -> list[StepRecord]:
    """The record of an episode.

    Args:
        row: the episode.
        labels: "scores" of the environment's PRM, or "none".
    """
    if labels not in LABELS:
        raise unknown("labels", labels, LABELS)
    steps = row["steps"]
    if not isinstance(steps, list) or not steps or not all(isinstance(step, Mapping) and "kind" in step for step in steps):
        raise DataError("'steps' must be a list of steps of an episode, at least one; see reasongym.wrappers.episodes")
    if row.get("format") != 1:
        raise DataError(f"'format' is {row.get('format')!r}; this version reads episodes of format 1")
    try:
        batch = _batch(row)
    except (KeyError, IndexError, AttributeError) as error:
        raise DataError(f"the episode is not whole: {type(error).__name__}: {error}") from None
    prompt = prompt_text(batch, 0)
    asked, told = prompt != UNASKED, []
    for i in range(len(steps)):
        told.append(step_text(batch, i, asked=asked))
        asked = asked or bool(batch.question[i] >= 0)
    criteria, values = scores_of([step.get("scores") or {} for step in steps], labels)
    outcome = float("nan") if row.get("success") is None else float(row["success"])
    return [StepRecord(prompt, tuple(told), criteria, values, None, outcome, _meta(row))]


def scores_of(scores: Sequence[Json], labels: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Criteria and (T, k) labels from each step's scores by criterion; one unscored criterion where there are none."""
    names = [name for name in scores[0] if name not in ENVIRONMENT_CRITERIA] if labels == "scores" else []
    if not names:
        return (CORRECT,), np.full((len(scores), 1), np.nan, np.float32)
    table = [[np.nan if step.get(name) is None else step[name] for name in names] for step in scores]
    return tuple(names), np.array(table, np.float32)


def _meta(row: Json) -> dict[str, Any]:
    kept = {"env": row.get("environment"), "labels": row.get("prm"), "kinds": [step["kind"] for step in row["steps"]]}
    kept |= {name: row[name] for name in ("fingerprint", "problem", "name", "task", "agent") if name in row}
    thoughts = [step.get("thought") or "" for step in row["steps"]]
    return kept | ({"thoughts": thoughts} if any(thoughts) else {})


class _Held(NamedTuple):
    """Rows of the table of sentences that a slot or link holds, and their places in the text."""

    sentences: list[int]
    places: list[int]


class _Told:
    """The sentences of an episode: its units, what was answered, and then own words, which must be the last."""

    def __init__(self, row: Json) -> None:
        self.steps = row["steps"]
        self.sentences = texts(row, "units")
        self.answers = [len(self.sentences) + i for i in range(len(self.steps))]
        said = [step.get("answer") for step in self.steps]
        if self.steps[-1]["kind"] == ACTION_NAMES[ANSWER] and not said[-1]:
            said[-1] = row.get("answer")  # in own words
        self.said = np.array([bool(answer) for answer in said])
        self.sentences = [*self.sentences, *(answer or "" for answer in said)]
        self.first_own = len(self.sentences)
        self._own: dict[str, int] = {}

    def own(self, words: str) -> int:
        """The row of own words."""
        if words not in self._own:
            self._own[words] = len(self.sentences)
            self.sentences.append(words)
        return self._own[words]

    def slot(self, slot: Json) -> _Held:
        """What a slot holds."""
        own = [self.own(slot["words"])] if slot.get("words") else []
        written = [self.steps[slot["words_by"][0]]["desk"] if slot.get("words_by") else 0] if own else []
        return _Held([*own, *slot["units"]], [*written, *slot["units"]])

    def link(self, link: Json) -> _Held:
        """What a link holds: the slot's content as it was recalled."""
        if not link.get("words"):
            return _Held(list(link["units"]), list(link["units"]))
        return self.slot(self.steps[link["step"]]["slots"][link["slot"] - 1])


def _batch(row: Json) -> StepBatch:
    """The episode's steps as one batch, as far as words need it."""
    steps, told = row["steps"], _Told(row)
    after = [*(step["slots"] for step in steps[1:]), row["end"]["slots"]]
    before = _table([[told.slot(slot) for slot in step["slots"]] for step in steps], whole(row, "memory_slots"))
    later = _table([[told.slot(slot) for slot in slots] for slots in after], whole(row, "memory_slots"))
    chain = _table([[told.link(link) for link in step["chain"]] for step in steps], 0)
    kind = np.array([ACTION_NAMES.index(step["kind"]) for step in steps])
    illegal = np.array([bool(step.get("invalid")) for step in steps])
    desk = np.array([-1 if step["desk"] is None else step["desk"] for step in steps])
    silent = np.array([step.get("action") == "(no command)" for step in steps])
    answers = np.array(told.answers)
    nothing = np.zeros((1, 1), np.int32)
    return StepBatch(
        sentences=told.sentences,
        questions=[text(row, "question")],
        choices=("",) if row.get("listed") else (),
        sentence_tokens=nothing,
        question_tokens=nothing,
        kind=kind,
        slot=np.array([-1 if step["slot"] is None else step["slot"] - 1 for step in steps]),
        choice=np.where((kind == ANSWER) & ~silent, 0, -1),
        illegal=illegal,
        question=np.where((row.get("question_at") == "end") & (desk >= 0), -1, 0),
        desk=desk,
        units_read=np.where(desk < 0, len(row["units"]), desk + 1 - illegal),
        num_units=np.full(len(steps), len(row["units"])),
        memory_before=before[0],
        memory_after=later[0],
        positions_before=before[1],
        positions_after=later[1],
        chain=chain[0],
        chain_positions=chain[1],
        chain_length=np.array([len(step["chain"]) for step in steps]) + ((kind == RECALL) & ~illegal),
        terminated=np.zeros(len(steps), bool),
        problem=np.full(len(steps), row.get("problem", -1)),
        written=np.where((kind == ANSWER) & told.said, answers, -1),
        own_words=len(told.sentences) - told.first_own,
    )


def _table(held: Sequence[Sequence[_Held]], least: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, K, U) rows of sentences and places, -1 where there is none."""
    slots = max([least, 1, *map(len, held)])
    units = max([1, *(len(one.sentences) for step in held for one in step)])
    out = np.full((2, len(held), slots, units), -1)
    for t, step in enumerate(held):
        for k, one in enumerate(step):
            out[0, t, k, : len(one.sentences)] = one.sentences
            out[1, t, k, : len(one.places)] = one.places
    return out[0], out[1]


def write(records: Sequence[StepRecord]) -> list[dict[str, Any]]:
    """Nothing can be written so.

    Raises:
        ValueError: always; an episode holds what a record does not.
    """
    raise ValueError("a record does not hold what an episode does; write format='records', which loses nothing of a record")


KEYS = ("question", "units", "steps", "memory_slots")
LAYOUT = Layout("episodes", KEYS, "this suite's episodes.jsonl, in words", read, write, ("labels",))
