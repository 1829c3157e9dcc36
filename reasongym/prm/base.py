"""The contract of a process reward model (PRM), and the columnar batch of steps that it reads.

Axes: n steps (one per environment), K slots, U units a slot, H links of the chain, k criteria. Units, questions and choices are
indices into tables of distinct strings; -1 is none. A batch holds nothing that was unread at the time, no question that is
still hidden, and shows gold and support only to a PRM that declares `needs_annotation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from reasongym.errors import PRMError
from reasongym.prm.fences import labelled

NEXT, STORE, UPDATE, RECALL, ANSWER, START = range(6)
ACTION_NAMES = ("next", "store", "update", "recall", "answer", "start")
ENVIRONMENT_CRITERIA = ("outcome", "validity")
"""Computed by the environment whatever the PRM is."""
RESERVED_CRITERIA = (*ENVIRONMENT_CRITERIA, "memory")
ENVIRONMENT_BETA = {"outcome": 1.0, "validity": 0.05}


class Scores(NamedTuple):
    """Scores with per-step weights: `values` and `weights` are (n, k) float32; the weight multiplies beta."""

    values: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Annotation:
    """What only a PRM with `needs_annotation` sees. Sets of supporting facts are bits of an int32 over `support`.

    Attributes:
        gold: (n,) int16, the gold choice; -1 where answers are spans.
        right: (n,) bool, whether the step is an answer, and right.
        answer_kinds: (n,) uint32, bit mask of the kind of answer asked for.
        choice_kinds: (C,) uint32, bit mask of kinds by choice.
        num_support: (n,) int16, m; -1 where support is unknown.
        prerequisites: (n, MAX_SUPPORT) int32, what must be in the chain before each supporting fact.
        units_before: (n, K, U) int32, the index of each held unit, -1 none; of own words, the units recovered from them.
        needed_before, needed_after: (n, K, U) int32, which supporting facts each held unit is.
        superseded: (n, K, U) bool, whether an already read unit has made the held unit untrue (memory before).
        recalled_before, recalled_after: (n,) int32, supporting facts in the chain.
        entities: (n, K, U) uint64 entity mask of each held unit (memory before).
        linked_before: (n,) uint64, entity mask of question and chain before the step.
        needed_desk: (n,) int32, which supporting facts the unit on the desk is.
    """

    gold: np.ndarray
    right: np.ndarray
    answer_kinds: np.ndarray
    choice_kinds: np.ndarray
    num_support: np.ndarray
    prerequisites: np.ndarray
    units_before: np.ndarray
    needed_before: np.ndarray
    needed_after: np.ndarray
    superseded: np.ndarray
    recalled_before: np.ndarray
    recalled_after: np.ndarray
    entities: np.ndarray
    linked_before: np.ndarray
    needed_desk: np.ndarray


@dataclass(frozen=True)
class StepBatch:
    """n steps, in columns. Text columns hold indices into `sentences` and `questions`; -1 is none.

    Attributes:
        sentences, questions, choices: the tables of distinct strings behind the indices.
        sentence_tokens, question_tokens: (S, Lu), (Q, Lq) integer token ids of the same rows; 0 is padding.
        kind: (n,) int8, NEXT ... START.
        slot: (n,) int16, the slot of STORE, UPDATE and RECALL, else -1.
        choice: (n,) int16, the choice of ANSWER or START, else -1; one past the last choice: a written answer.
        illegal: (n,) bool, the action was a no-op.
        question: (n,) int32, -1 while it is hidden.
        desk: (n,) int32, the unit on the desk before the step.
        units_read: (n,) int16, units put aside or stored after the step.
        num_units: (n,) int16, units of the text (public).
        memory_before, memory_after: (n, K, U) int32, the units in each slot.
        positions_before, positions_after: (n, K, U) int16, their place in the text; -1 none.
        chain: (n, H, U) int32, what has been recalled, after the step.
        chain_positions: (n, H, U) int16.
        chain_length: (n,) int16, after the step.
        terminated: (n,) bool.
        problem: (n,) int64, the problem's index (identity for caches and records; says nothing about its content).
        carry: (n, c) float64 or None, what a PRM with `carry_size` c > 0 keeps from step to step of an episode. The
            engine owns the array (zeros at an episode's first step, saved and copied with the environment's state),
            the PRM writes it in place.
        span: (n, 3) int32, the unit, first and last token that an ANSWER points at; -1 for all other steps.
        span_text: the words of such a row.
        written: (n,) int32 or None, what a reply in words said where it named no action or choice: a written answer, or a reply
            without command; -1 for all other steps.
        own_words: how many of `sentences`, its last ones, agents have written. Own words stand in the first of the places
            that they take in a slot or link; their position is the unit that was on the desk when they were written.
    """

    sentences: Sequence[str]
    questions: Sequence[str]
    choices: Sequence[str]
    sentence_tokens: np.ndarray
    question_tokens: np.ndarray
    kind: np.ndarray
    slot: np.ndarray
    choice: np.ndarray
    illegal: np.ndarray
    question: np.ndarray
    desk: np.ndarray
    units_read: np.ndarray
    num_units: np.ndarray
    memory_before: np.ndarray
    memory_after: np.ndarray
    positions_before: np.ndarray
    positions_after: np.ndarray
    chain: np.ndarray
    chain_positions: np.ndarray
    chain_length: np.ndarray
    terminated: np.ndarray
    problem: np.ndarray
    _annotation: Annotation | None = None
    carry: np.ndarray | None = None
    span: np.ndarray | None = None
    span_text: Callable[[int, int, int], str] | None = None
    written: np.ndarray | None = None
    own_words: int = 0

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def annotation(self) -> Annotation:
        """Gold and support.

        Raises:
            PRMError: the PRM that is being called does not declare `needs_annotation`.
        """
        if self._annotation is None:
            raise PRMError(
                "this PRM reads gold answers or support, but declares needs_annotation = False; "
                "declare needs_annotation = True to be shown `StepBatch.annotation`"
            )
        return self._annotation

    def select(self, rows: np.ndarray) -> StepBatch:
        """The batch of some of the steps (an index or a boolean array); `carry` becomes a copy."""
        columns = {
            name: value[rows]
            for name, value in vars(self).items()
            if name not in _TABLES and name != "_annotation" and value is not None
        }
        tables = {name: getattr(self, name) for name in _TABLES}
        annotation = self._annotation
        if annotation is not None:
            annotation = Annotation(**{k: v if k == "choice_kinds" else v[rows] for k, v in vars(annotation).items()})
        return StepBatch(**tables, **columns, _annotation=annotation)

    def text(self, i: int) -> str:
        """Step i in words: question, chain, memory, desk and action, each as it stood when the action was chosen.

        Every sentence and every text of an agent has a labelled line of its own (`fences.labelled`), with its place in the text
        from 1, which says what came later; own words have the place at which they were written.
        """
        links = int(self.chain_length[i]) - int(self.kind[i] == RECALL and not self.illegal[i])
        asked = self._string(self.questions, self.question[i])
        lines = [labelled("question", asked) if asked else "no question asked yet"]
        for h in range(links):
            lines += self._held(f"chain {h + 1}", self.chain[i, h], self.chain_positions[i, h])
        for k, (held, places) in enumerate(zip(self.memory_before[i], self.positions_before[i], strict=True)):
            lines += self._held(f"slot {k + 1}", held, places)
        read = not self.illegal[i] and self.kind[i] in (NEXT, STORE, UPDATE)
        place = int(self.units_read[i]) + int(not read)
        lines.append(labelled(f"desk, sentence {place}", self.sentences[self.desk[i]]) if self.desk[i] >= 0 else "desk empty")
        lines.append(labelled("illegal action" if self.illegal[i] else "action", self._action(i)))
        return "\n".join(lines)

    def _held(self, label: str, units: np.ndarray, places: np.ndarray) -> list[str]:
        """A line for each sentence of a slot or link."""
        first_own, lines = len(self.sentences) - self.own_words, []
        for unit, place in zip(units.tolist(), places.tolist(), strict=True):
            if unit >= 0:
                where = "sentence" if unit < first_own else "own words at sentence"
                lines.append(labelled(f"{label}, {where} {place + 1}", self.sentences[unit]))
        return lines

    def _action(self, i: int) -> str:
        kind, slot = int(self.kind[i]), int(self.slot[i])
        if kind == ANSWER:
            return f"{'answer' if self.choice[i] >= 0 else 'reply without command:'} {self.answer_text(i)}"
        words = self.own_words_of(i)
        target = f" {slot + 1}" if slot >= 0 else ""
        return f"{ACTION_NAMES[kind]}{target}{' in own words: ' + words if words else ''}"

    def own_words_of(self, i: int) -> str:
        """What a legal STORE or UPDATE of step i wrote instead of the unit on the desk; "" where it kept the unit."""
        if not self.own_words or self.illegal[i] or self.kind[i] not in (STORE, UPDATE):
            return ""
        first, number = len(self.sentences) - self.own_words, int(self.units_read[i]) - 1
        after = self.memory_after[i, self.slot[i]]
        here = (self.positions_after[i, self.slot[i]] == number) & (after >= first)
        return " ".join(self.sentences[text] for text in after[here])

    def answer_text(self, i: int) -> str:
        """What the ANSWER of step i says; "" where it abstains."""
        if self.span is not None and self.span_text is not None and self.span[i, 0] >= 0:
            return self.span_text(*self.span[i].tolist())
        if self.written is not None and self.written[i] >= 0:
            return self.sentences[self.written[i]]
        return self._string(self.choices, self.choice[i]) if len(self.choices) else ""

    def unit_text(self, units: np.ndarray) -> str:
        """The sentences of a slot or link, in order, joined by a space."""
        return " ".join(self.sentences[u] for u in units if u >= 0)

    @staticmethod
    def _string(table: Sequence[str], index: int) -> str:
        return table[index] if index >= 0 else ""


_TABLES = ("sentences", "questions", "choices", "sentence_tokens", "question_tokens", "span_text", "own_words")


@runtime_checkable
class ProcessRewardModel(Protocol):
    """Any object with these attributes can be passed as `prm=` or `observer=`; nothing to register.

    Attributes:
        criteria: k names, frozen at construction; not `outcome`, `validity` or `memory`.
        needs_annotation: whether it reads gold answers or support.
        version: part of every cache key and record.
        default_beta: weight by criterion; a criterion without an entry weighs 1.

    A PRM whose score depends on earlier steps of the episode also has `carry_size: int` > 0 (see `StepBatch.carry`);
    it keeps nothing of an episode in itself, so one object may serve any number of environments. It is not cached.
    """

    criteria: tuple[str, ...]
    needs_annotation: bool
    version: str
    default_beta: Mapping[str, float]

    def score(self, steps: StepBatch) -> np.ndarray | Scores:
        """(n, k) float32 scores in [-1, 1]; NaN = unscored."""
        ...


def carry_size(prm: object) -> int:
    """How many numbers per environment the PRM keeps from step to step: 0 for one that judges each step by itself."""
    return int(getattr(prm, "carry_size", 0))


def check_prm(prm: object, role: str = "prm") -> ProcessRewardModel:
    """The object itself when it keeps the contract's attributes; `role` is the argument it was given as.

    Raises:
        TypeError: an attribute is missing or of another type.
        ValueError: `criteria` is empty, repeats a name, or uses a reserved one.
    """
    for name, kind in (("criteria", tuple), ("needs_annotation", bool), ("version", str), ("default_beta", Mapping)):
        if not isinstance(getattr(prm, name, None), kind):
            raise TypeError(
                f"{role}={prm!r} is no process reward model: attribute {name!r} must be a {kind.__name__}, "
                f"got {getattr(prm, name, None)!r}"
            )
    if not callable(getattr(prm, "score", None)):
        raise TypeError(f"{role}={prm!r} is no process reward model: it needs a method score(steps) -> (n, k) array")
    criteria = prm.criteria  # type: ignore[attr-defined]
    bad = [c for c in criteria if not isinstance(c, str) or c in RESERVED_CRITERIA]
    if not criteria or bad or len(set(criteria)) != len(criteria):
        raise ValueError(f"{role}.criteria must be distinct names other than {', '.join(RESERVED_CRITERIA)}, got {criteria!r}")
    return prm  # type: ignore[return-value]


def checked_scores(prm: ProcessRewardModel, result: object, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(values, weights or None) of a call to `score`, refused where they break the contract.

    Raises:
        PRMError: another shape than (n, k), an infinity, or a value outside [-1, 1].
    """
    values, weights = result if isinstance(result, Scores) else (result, None)
    name = type(prm).__name__
    values = np.asarray(values, dtype=np.float32)
    if values.shape != (n, len(prm.criteria)):
        raise PRMError(f"{name}.score returned shape {values.shape}, expected {(n, len(prm.criteria))}: steps x criteria")
    outside = ~((values >= -1) & (values <= 1)) & ~np.isnan(values)
    if outside.any():
        step, criterion = np.argwhere(outside)[0]
        raise PRMError(
            f"{name} scored {prm.criteria[criterion]!r} with {values[step, criterion]} at step {step} of the batch; "
            "scores lie in [-1, 1], or are NaN for unscored"
        )
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float32)
        if weights.shape != values.shape or not np.isfinite(weights).all():
            raise PRMError(f"{name}.score returned weights of shape {weights.shape}; expected finite numbers, {values.shape}")
    return values, weights


def weights_of(prm: ProcessRewardModel, beta: Mapping[str, float] | None) -> dict[str, float]:
    """Weight by criterion, in order (the PRM's own, then `outcome`, `validity`): the defaults, overridden by `beta`.

    Raises:
        ValueError: a weight for a criterion that this PRM does not have, or one that is not a finite number.
    """
    out = {c: float(prm.default_beta.get(c, 1.0)) for c in prm.criteria} | ENVIRONMENT_BETA
    for criterion, weight in (beta or {}).items():
        if criterion == "memory":
            raise ValueError("beta['memory'] is reserved: set the weight of the memory's utility with utility_weight=")
        if criterion not in out:
            raise ValueError(f"beta names the criterion {criterion!r}, which this PRM does not have; it has {', '.join(out)}")
        if isinstance(weight, bool) or not isinstance(weight, (int, float, np.number)) or not np.isfinite(weight):
            raise ValueError(f"beta[{criterion!r}] must be a finite number, got {weight!r}")
        out[criterion] = float(weight)
    return out
