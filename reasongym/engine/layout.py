"""Struct-of-arrays: what the kernels read and write.

Axes: N environments, K slots, U units a slot, H links of the chain, Lu / Lq tokens of a unit / question, C choices, k criteria.
Where answers are spans, C = 2L + 1 with L = U Lu: START 0 ... L - 1, END 0 ... L - 1, ABSTAIN.
The observation is one *arena*: a block of bytes in which every key is a contiguous array over all environments, so a
batch of observations is copied by one `memcpy`. No type below depends on K, H or the text, so one compilation serves every id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

FEATURES = ("occupied", "age", "salience", "recalls", "open to store", "open to update", "open to recall")
"""Columns of `memory_features`."""
PROGRESS = ("share read", "share of steps left", "reading", "memory full")
"""Columns of `progress`."""
ALIGNMENT = 64

UNIT = np.dtype([("entities", "u8"), ("sentence", "i4"), ("superseded_by", "i2"), ("same_as", "i2")])
PROBLEM = np.dtype(
    [
        ("question_entities", "u8"),
        ("first_unit", "i8"),
        ("support", "i8"),  # first row of its support
        ("question", "i4"),
        ("answer_kinds", "u4"),  # bit mask of the kind asked for
        ("num_units", "i2"),
        ("num_support", "i2"),  # m; -1 unknown
        ("gold", "i2"),  # -1 hidden
        ("task", "i2"),
        ("num_references", "i2"),  # answers of a span problem; -1 hidden
        ("references", "i8"),  # first row of them
    ]
)
SUPPORT = np.dtype([("prerequisites", "i4"), ("same_as", "i4")])
REFERENCE = np.dtype([("first", "i8"), ("number", "i8")])  # its tokens among `wanted`

STATE = np.dtype(
    [
        ("seed", "u8"),  # key of the environment's order of problems
        ("stream", "i8"),  # environment index: part of the key
        ("episode", "i8"),  # index of the episode being played
        ("problem", "i8"),
        ("next_problem", "i8"),
        ("row", "i8"),  # row of the problem table
        ("linked", "u8"),  # entities of the question and the chain
        ("episode_return", "f8"),
        ("level", "f8"),  # share of the support held before the step
        ("steps", "i4"),
        ("max_steps", "i4"),
        ("seen", "i4"),  # supporting facts read, where the utility asks for them
        ("captured", "i4"),  # supporting facts ever held
        ("holding", "i4"),
        ("recalled", "i4"),
        ("cursor", "i2"),  # units read = index of the unit on the desk
        ("num_units", "i2"),
        ("occupied", "i2"),  # slots in use: they fill in order
        ("chain_length", "i2"),
        ("touched", "i2"),  # slot touched by the last step, -1 none
        ("span_start", "i2"),  # where in the last link an answer starts, -1 none
        ("words", "i2"),  # places that own words take which the next STORE writes: 0 none, -1 more than a slot has
        ("written", "f4"),  # score of the written answer that the next ANSWER commits to
        ("written_right", "i1"),
        ("ended", "i1"),
    ],
    align=True,
)
SLOT = np.dtype(
    [
        ("salience", "f4"),
        ("held", "i2"),
        ("stored_at", "i2"),
        ("recalls", "i2"),
        ("used", "i2"),  # how many of the held units, oldest first, have been recalled since they were stored
        ("noted", "i2"),  # how many of the places, oldest first, own words take
        ("fresh", "i1"),  # changed since its last recall
        ("store", "i1"),  # the gate's three masks
        ("update", "i1"),
        ("recall", "i1"),
    ],
    align=True,
)
HELD = np.dtype([("needed", "i4"), ("unit", "i4")])  # which supporting facts a held unit is, and its index
NOTHING, WORDS = -1, -2
"""Indices of no unit: an empty place; a place that own words take and from which no fact was recovered (in the chain: any
place that they take)."""

OUTCOME = np.dtype(
    [
        ("problem", "i8"),
        ("episode_return", "f8"),
        ("length", "i4"),
        ("capture", "f4"),
        ("retention", "f4"),
        ("retrieval", "f4"),
        ("use", "f4"),
        ("evidence_recall", "f4"),
        ("row", "i8"),  # of the problem table
        ("score", "f4"),  # of the answer, in [0, 1]
        ("unit", "i4"),  # row of the unit pointed at, -1 none
        ("slot", "i2"),
        ("answer", "i2"),  # choice committed to, -1 none
        ("gold", "i2"),
        ("start", "i2"),  # first and last token of the span in its unit
        ("end", "i2"),
        ("desk", "i2"),  # unit index on the desk before the step, -1 none
        ("kind", "i1"),
        ("invalid", "i1"),  # index into INVALID_REASONS, 0 legal
        ("terminated", "i1"),
        ("success", "i1"),
        ("out_of_steps", "i1"),
        ("proved", "i1"),  # the chain holds all the support
        ("is_reset", "i1"),  # autoreset: this row was reset, not stepped
        ("first", "i1"),  # first step of its episode
    ],
    align=True,
)
"""What a step reports beside observation and reward."""

CONFIG = np.dtype(
    [
        ("num_problems", "i8"),  # 0 = endless
        ("max_steps", "i8"),  # 0 = 4 (units + K) + H
        ("question_at_end", "i8"),
        ("reason_any", "i8"),
        ("view_recalled", "i8"),
        ("annotated", "i8"),  # support may be read
        ("reads_gold", "i8"),
        ("compiled_prm", "i8"),
        ("gate", "i8"),
        ("utility", "i8"),
        ("span", "i8"),  # answers are spans
        ("metric", "i8"),
        ("max_length", "i8"),  # END - START
        ("right_at", "f8"),
        ("salience_rate", "f8"),
        ("utility_weight", "f8"),
        ("beta", "f8", (5,)),  # logic, coherence, goal, outcome, validity of the compiled PRM
    ]
)

INVALID_REASONS = (
    "",
    "the desk is empty: nothing is left to put aside, store or append",
    "the desk is not empty: recall and answer only when the text is over (reason_when='end')",
    "the slot is empty and not the first empty one: empty slots are filled in order",
    "the gate keeps the slot closed",
    "the slot is empty: there is nothing to append to",
    "the slot is full and the gate keeps it from dropping its oldest unit",
    "the slot is empty: there is nothing to recall",
    "the slot has not changed since its last recall",
    "the chain is full",
    "an answer has been started: only the token at which it ends is asked for now",
    "nothing has been recalled: there is nothing to point at (ABSTAIN is legal)",
    "there is no token, or the inside of a word: answers start and end with whole words",
    "no answer has been started: START comes before END",
    "the end lies before the start, in another unit, or further on than max_answer_length",
    "there is no command in the reply",
    "the words are longer than a slot",
)
NO_COMMAND, TOO_LONG = 15, 16


class Tables(NamedTuple):
    """The problems: read-only while a kernel runs, grown between kernels."""

    units: np.ndarray  # (units,) UNIT
    problems: np.ndarray  # (rows,) PROBLEM
    support: np.ndarray  # (supporting facts,) SUPPORT
    unit_tokens: np.ndarray  # (distinct sentences, Lu)
    question_tokens: np.ndarray  # (distinct questions, Lq)
    choice_kinds: np.ndarray  # (C,) uint32
    row_of: np.ndarray  # (num_problems,) int64: row of a problem, -1 not generated yet; endless: (0,)
    texts: np.ndarray  # (distinct sentences,) TEXT; this and what follows: spans only, else empty
    tokens: np.ndarray  # (tokens,) TOKEN
    pieces: np.ndarray  # (pieces,) int32
    words: np.ndarray  # (distinct words,) WORD
    references: np.ndarray  # (references,) REFERENCE
    wanted: np.ndarray  # (tokens of the references,) uint64 hashes


class Memory(NamedTuple):
    """The state of N environments; together with the order of problems, all there is."""

    state: np.ndarray  # (N,) STATE
    slots: np.ndarray  # (N, K) SLOT
    held: np.ndarray  # (N, K, U) HELD
    chain: np.ndarray  # (N, H, U) int16 unit indices, -1 none


class Observation(NamedTuple):
    """The observation buffers, one array a key."""

    question: np.ndarray
    unit: np.ndarray
    memory: np.ndarray
    memory_positions: np.ndarray
    memory_features: np.ndarray
    chain: np.ndarray
    chain_positions: np.ndarray
    scores: np.ndarray
    scored: np.ndarray
    progress: np.ndarray
    span_start: np.ndarray
    action_mask: np.ndarray


class Result(NamedTuple):
    """What a step hands back."""

    outcome: np.ndarray  # (N,) OUTCOME
    scores: np.ndarray  # (N, k + 2) float32: the PRM's criteria, outcome, validity
    terms: np.ndarray  # (N, k + 3) float32: the weighted terms of equation (1), then memory
    reward: np.ndarray  # (N,) float64
    found: np.ndarray  # (N, MOST_TOKENS) uint64: room for the tokens of a span; no choices: (0, MOST_TOKENS)
    lengths: np.ndarray  # (N, MOST_TOKENS + 1) int16: room for one row of ROUGE-L's table
    noted: np.ndarray  # (N, U) int32, handed in: the units whose facts were recovered from own words, then WORDS


@dataclass(frozen=True)
class Shapes:
    """The sizes that fix the spaces of an environment."""

    slots: int
    units_per_slot: int
    chain_length: int
    unit_tokens: int
    question_tokens: int
    choices: int
    observer_criteria: int = 4
    token_type: str = "i2"
    span: bool = False

    @property
    def positions(self) -> int:
        """L: places of a link of the chain that an answer can point at."""
        return self.units_per_slot * self.unit_tokens

    @property
    def written(self) -> int:
        """The choice that stands for a written answer, one past the last; one further on stands for a reply without command."""
        return self.actions - 1 - 3 * self.slots

    @property
    def actions(self) -> int:
        return 1 + 3 * self.slots + (2 * self.positions + 1 if self.span else self.choices)

    def observation_fields(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """dtype and shape of every observation key, in the order of `Observation`."""
        k, u, h, token = self.slots, self.units_per_slot, self.chain_length, self.token_type
        width = u * self.unit_tokens
        return {
            "question": (token, (self.question_tokens,)),
            "unit": (token, (self.unit_tokens,)),
            "memory": (token, (k, width)),
            "memory_positions": ("f4", (k, u)),
            "memory_features": ("f4", (k, len(FEATURES))),
            "chain": (token, (h, width)),
            "chain_positions": ("f4", (h, u)),
            "scores": ("f4", (self.observer_criteria,)),
            "scored": ("i1", (self.observer_criteria,)),
            "progress": ("f4", (len(PROGRESS),)),
            **({"span_start": ("f4", (2,))} if self.span else {}),
            "action_mask": ("i1", (self.actions,)),
        }

    def new_memory(self, n: int) -> Memory:
        """The state of `n` environments that have not been reset yet."""
        memory = Memory(
            np.zeros(n, STATE),
            np.zeros((n, self.slots), SLOT),
            np.zeros((n, self.slots, self.units_per_slot), HELD),
            np.full((n, self.chain_length, self.units_per_slot), -1, np.int16),
        )
        memory.held["unit"] = -1
        memory.state["ended"] = 1
        memory.state["span_start"] = -1
        return memory


class Arena:
    """The observation buffers of `n` environments in one block of bytes."""

    def __init__(self, shapes: Shapes, n: int) -> None:
        self.fields: list[tuple[str, np.dtype, tuple[int, ...], int]] = []
        offset = 0
        for key, (kind, shape) in shapes.observation_fields().items():
            dtype, full = np.dtype(kind), (n, *shape)
            self.fields.append((key, dtype, full, offset))
            size = dtype.itemsize * int(np.prod(full))
            offset += -(-size // ALIGNMENT) * ALIGNMENT
        self.bytes = np.zeros(offset, np.uint8)
        self.views = dict(self._over(self.bytes))

    def _over(self, block: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        for key, dtype, shape, offset in self.fields:
            yield key, np.ndarray(shape, dtype, block, offset)

    def observation(self) -> Observation:
        """The buffers, for the kernels."""
        unseen = {"span_start": np.zeros((len(self.views["progress"]), 2), np.float32)}
        return Observation(**{**unseen, **self.views})

    def copy(self) -> dict[str, np.ndarray]:
        """The observations of all environments, copied out by one `memcpy`."""
        return dict(self._over(self.bytes.copy()))
