"""The sentences of bAbI tasks 1-3 and 5-14, both ways: from text to events and from events to their published wordings.

An event carries what a sentence says and not how it is said: `("move", person, place)`, `("take", person, thing)`,
`("drop", person, thing)`, `("give", giver, thing, receiver)`, `("in", person, place)`, `("not_in", person, place)`,
`("either", person, place, place)`, `("both", person, person, place)`, `("then", pronoun, place)` and
`("visit", person, place, time)` with a time 0-3. Pairs whose order says nothing are sorted by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from reasongym.tasks.base import Event
from reasongym.tasks.worlds import lexicon

NAMES = (*lexicon.PEOPLE, *lexicon.DEDUCTION_NAMES, *lexicon.INDUCTION_NAMES, *lexicon.MOTIVATION_NAMES)
MOVE_VERBS = ("moved", "went", "went back", "journeyed", "travelled")
TAKE_VERBS = ("took", "got", "grabbed", "picked up")
DROP_VERBS = ("dropped", "left", "discarded", "put down")
GIVE_VERBS = ("gave", "handed", "passed")
ADVERBS = ("Then", "Afterwards", "After that", "Following that")
TIMES = ("yesterday", "this morning", "this afternoon", "this evening")

THERE_ALWAYS, THERE_SOMETIMES = (0, 1), (4, 1)
"""How often a sentence ends in "there", as parts (without, with): the published takings of task 3 and all drops say
it in one of five sentences, the takings of the other tasks always."""


def _any(words: Iterable[str]) -> str:
    return "(" + "|".join(sorted(words, key=len, reverse=True)) + ")"


NAME, PLACE, THING = _any(NAMES), _any(lexicon.PLACES), _any(lexicon.THINGS)
_MOVE = f"(?:{'|'.join(sorted(MOVE_VERBS, key=len, reverse=True))}) to the {PLACE}"
_TIME = "(" + "|".join(f"[{t[0].upper()}{t[0]}]{t[1:]}" for t in TIMES) + ")"


def _visit(before: str | None, person: str, place: str, after: str | None) -> Event | None:
    if (before is None) == (after is None):
        return None
    return ("visit", person, place, TIMES.index((before or after or "").lower()))


_READERS: dict[str, tuple[re.Pattern[str], Callable[..., Event | None]]] = {
    kind: (re.compile(pattern + r"\."), build)
    for kind, pattern, build in (
        ("move", f"{NAME} {_MOVE}", lambda p, x: ("move", p, x)),
        ("take", f"{NAME} (?:{'|'.join(TAKE_VERBS)}) the {THING}(?: there)?", lambda p, t: ("take", p, t)),
        ("drop", f"{NAME} (?:{'|'.join(DROP_VERBS)}) the {THING}(?: there)?", lambda p, t: ("drop", p, t)),
        ("give", f"{NAME} (?:{'|'.join(GIVE_VERBS)}) the {THING} to {NAME}", lambda p, t, q: ("give", p, t, q)),
        ("in", f"{NAME} is in the {PLACE}", lambda p, x: ("in", p, x)),
        ("not_in", f"{NAME} is (?:not|no longer) in the {PLACE}", lambda p, x: ("not_in", p, x)),
        (
            "either",
            f"{NAME} is either in the {PLACE} or the {PLACE}",
            lambda p, x, y: ("either", p, *sorted((x, y))),
        ),
        ("both", f"{NAME} and {NAME} {_MOVE}", lambda p, q, x: ("both", *sorted((p, q)), x)),
        ("then", f"(?:{'|'.join(ADVERBS)}) (he|she|they) {_MOVE}", lambda who, x: ("then", who, x)),
        ("visit", f"(?:{_TIME} )?{NAME} {_MOVE}(?: {_TIME})?", _visit),
    )
}


def read_unit(text: str, kinds: Sequence[str], task: int) -> Event:
    """The event of a sentence of one of `kinds`.

    Raises:
        ValueError: the sentence is none of them.
    """
    for kind in kinds:
        pattern, build = _READERS[kind]
        match = pattern.fullmatch(text)
        event = build(*match.groups()) if match else None
        if event is not None:
            return event
    raise ValueError(f"not a sentence of bAbI task {task}: {text!r}; its world knows events of kind {', '.join(kinds)}")


def pronoun(person: str) -> str:
    """How the text refers back to a person: "she" or "he"."""
    return "she" if person in lexicon.FEMALE else "he"


def _moves(subject: str, place: str) -> list[str]:
    return [f"{subject} {verb} to the {place}" for verb in MOVE_VERBS]


def _there(texts: list[str], parts: tuple[int, int]) -> list[str]:
    without, with_ = parts
    return [f"{text}{end}." for text in texts for end in [""] * without + [" there"] * with_]


class Wordings(dict[Event, tuple[str, ...]]):
    """Every published wording of an event, equally likely ones (a likelier one stands there more than once); built when
    first asked for.

    Args:
        take_there: how often takings end in "there".
    """

    def __init__(self, take_there: tuple[int, int] = THERE_ALWAYS) -> None:
        super().__init__()
        self.take_there = take_there

    def __missing__(self, event: Event) -> tuple[str, ...]:
        self[event] = out = tuple(self._of(*event))
        return out

    def _of(self, kind: str, *parts: str) -> list[str]:
        if kind == "move":
            return [f"{text}." for text in _moves(*parts)]
        if kind == "take":
            return _there([f"{parts[0]} {verb} the {parts[1]}" for verb in TAKE_VERBS], self.take_there)
        if kind == "drop":
            return _there([f"{parts[0]} {verb} the {parts[1]}" for verb in DROP_VERBS], THERE_SOMETIMES)
        if kind == "give":
            return [f"{parts[0]} {verb} the {parts[1]} to {parts[2]}." for verb in GIVE_VERBS]
        if kind == "in":
            return [f"{parts[0]} is in the {parts[1]}."]
        if kind == "not_in":
            return [f"{parts[0]} is {no} in the {parts[1]}." for no in ("not", "no longer")]
        if kind == "either":
            person, x, y = parts
            return [f"{person} is either in the {a} or the {b}." for a, b in ((x, y), (y, x))]
        if kind == "both":
            p, q, place = parts
            return [f"{text}." for pair in (f"{p} and {q}", f"{q} and {p}") for text in _moves(pair, place)]
        if kind == "then":
            return [f"{text}." for adverb in ADVERBS for text in _moves(f"{adverb} {parts[0]}", parts[1])]
        if kind == "visit":
            time = TIMES[int(parts[2])]
            texts = _moves(parts[0], parts[1])
            return [f"{time.capitalize()} {text}." for text in texts] + [f"{text} {time}." for text in texts]
        raise ValueError(f"no wording for an event of kind {kind!r}, got {(kind, *parts)!r}")
