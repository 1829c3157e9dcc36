"""What a bAbI world is: a grammar, a simulator and a solver over one kind of event.

A world turns sentences into *events* (hashable tuples of plain strings and ints that carry the meaning and not the
wording), knows which event makes which untrue, generates new stories, and *solves*: from any subset of a story's units, the
answer that follows under its stated default assumptions, or unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from reasongym.seeding import Draws
from reasongym.types import Facts, Proof

Event = tuple
Query = tuple
Knobs = Mapping[str, object]


class Annotation(NamedTuple):
    """What a world knows about each unit of a story; see `reasongym.types.Story`."""

    superseded_by: tuple[int, ...]
    entities: tuple[int, ...]
    same_as: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A generated problem before it is put into words.

    Attributes:
        events: the canonical story up to the question; its hash decides the split.
        query: the canonical question.
    """

    events: tuple[Event, ...]
    query: Query


class World(Protocol):
    """One bAbI task, simulated anew.

    Attributes:
        task: 1-20.
        name: e.g. "two-supporting-facts", as in the published file names.
        answers: its choices, a sub-order of `lexicon.CHOICES`.
        settings: difficulties by name, "published" and "ood" at least; each maps every knob of the world to a value.
            All worlds have `max_units` (most units before the question); worlds with names have `people`.
        unit_tokens, question_tokens: longest unit and question in tokens (punctuation not counted) under any setting.
    """

    task: int
    name: str
    answers: tuple[str, ...]
    settings: Mapping[str, Knobs]
    unit_tokens: int
    question_tokens: int

    def parse_unit(self, text: str) -> Event:
        """The event of a sentence; raises ValueError that quotes a sentence outside the grammar."""
        ...

    def parse_question(self, text: str) -> Query:
        """The canonical question; raises ValueError that quotes a question outside the grammar."""
        ...

    def annotate(self, events: Sequence[Event]) -> Annotation:
        """What each unit of a whole story is about, and what makes it untrue. Linear in the story's length."""
        ...

    def about(self, query: Query) -> tuple[int, str]:
        """Entity mask of a question, and the kind of answer it asks for (one of `lexicon.KINDS`)."""
        ...

    def solve(self, facts: Facts, query: Query) -> Proof:
        """What follows from a subset of a story, given as (unit index, event) in reading order."""
        ...

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        """For each supporting fact (in order of reasoning) the bit mask over support positions that must precede it."""
        ...

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        """A random problem of this difficulty: events up to the question, and a question that `solve` can answer."""
        ...

    def word(self, draws: Draws, draft: Draft, knobs: Knobs) -> tuple[tuple[str, ...], str]:
        """The draft in words: (units, question), in the published surface forms; parsing them gives the draft back."""
        ...
