"""Virtual data sets of prose: problem i of a split is a pure function of (kind, difficulty, split, i); nothing is stored.

A problem is drawn from a key that is a hash of its name, and drawn anew until the hash of its canonical story (its events,
not its wording, not the question) falls into the split's tenths, so splits share no story.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reasongym.errors import unknown
from reasongym.seeding import BUCKETS, Draws, hash64, story_bucket
from reasongym.tasks.base import Event, Knobs
from reasongym.tasks.procedural import ENDLESS, MAX_ATTEMPTS
from reasongym.tasks.prose import passages as passage_world
from reasongym.tasks.prose import tales as tale_world
from reasongym.tasks.prose.asking import Asked
from reasongym.tasks.prose.bounds import longest
from reasongym.tasks.prose.frames import Grammar
from reasongym.tasks.prose.passage_frames import PASSAGES
from reasongym.tasks.prose.tale_frames import TALES
from reasongym.tasks.prose.telling import Teller
from reasongym.tasks.source import SPLITS, code_hash
from reasongym.tasks.tokens import load_tokenizer
from reasongym.types import MAX_ENTITIES, Encoding, Problem, Spans, Story

Difficulty = str | Mapping[str, object]

UNIT_TOKENS, QUESTION_TOKENS = 48, 40
"""Longest unit and question in the shipped word pieces, under any setting."""

PATIENCE = 5
"""Stories of the split that may lack the planned question before another question is planned."""


@dataclass(frozen=True)
class Genre:
    """One kind of prose.

    Attributes:
        name: as in problem names.
        grammar: its frames.
        settings: difficulties by name, each a value for every knob.
        longest: most units that the knob `units` may ask for.
        spans: how answers are judged.
        plan: what to ask in a problem. It is drawn before the story, so that a story without such a question is drawn anew
            and the shares stay as they are: those of what the first stream decides always, of what the second decides
            unless such stories are rare.
        story: a story's events.
        ask: a question as planned, or None where the story has none.
        aliases: other names of a story's entities.
        references: the answers that count, from the words of the answer in its unit.
    """

    name: str
    grammar: Grammar
    settings: Mapping[str, Knobs]
    longest: int
    spans: Spans
    plan: Callable[[Draws, Draws, Knobs], Any]
    story: Callable[[Draws, Knobs, Any], tuple[Event, ...]]
    ask: Callable[[Draws, Knobs, tuple[Event, ...], Any], Asked | None]
    aliases: Callable[[tuple[Event, ...]], dict[str, str]]
    references: Callable[[tuple[Event, ...], Asked, str], tuple[str, ...]]


PASSAGE = Genre(
    "passages",
    PASSAGES,
    passage_world.SETTINGS,
    passage_world.LONGEST,
    Spans("f1", 30, 1.0),
    passage_world.plan,
    passage_world.story,
    passage_world.ask,
    passage_world.aliases,
    passage_world.references,
)
TALE_KINDS = {
    name: Genre(
        f"tales-{name}",
        TALES,
        settings,
        tale_world.LONGEST,
        Spans("rouge_l", 20, 0.5),
        tale_world.plan,
        tale_world.story,
        tale_world.ask,
        tale_world.aliases,
        tale_world.references,
    )
    for name, settings in tale_world.SETTINGS.items()
}


def resolve(genre: Genre, difficulty: Difficulty, split: str) -> dict[str, Any]:
    """The value of every knob; a mapping is laid over "published", which means "ood" in the split "ood".

    Raises:
        UnknownNameError: no such setting, or no such knob.
        TypeError: a knob's value is not of the type that its published value has.
        ValueError: a value out of range.
    """
    if isinstance(difficulty, str):
        name = "ood" if split == "ood" and difficulty == "published" else difficulty
        if name not in genre.settings:
            raise unknown(f"difficulty of {genre.name}", name, genre.settings)
        return dict(genre.settings[name])
    knobs: dict[str, Any] = dict(genre.settings["published"])
    for knob, value in difficulty.items():
        if knob not in knobs:
            raise unknown(f"knob of {genre.name}", knob, knobs)
        knobs[knob] = _like(knobs[knob], value, f"knob {knob!r} of {genre.name}")
    _check(genre, knobs)
    return knobs


def _like(example: object, value: Any, what: str) -> object:
    """The value in the type of the example (lists become tuples, whole numbers may stand for floats)."""
    if isinstance(example, tuple) and isinstance(value, list | tuple):
        return tuple(_like(example[0], item, what) for item in value)
    if isinstance(example, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(example):
        wanted, got = type(example).__name__, type(value).__name__
        raise TypeError(f"{what} must be a {wanted} like {example!r}, got {value!r} ({got})")
    return value


def _check(genre: Genre, knobs: Mapping[str, Any]) -> None:
    units, hops = knobs["units"], knobs["hops"]
    if len(units) != 2 or not 4 <= units[0] <= units[1] <= genre.longest:
        raise ValueError(f"units of {genre.name} must be (fewest, most) between 4 and {genre.longest}, got {units}")
    if not hops or not set(hops) <= {1, 2, 3}:
        raise ValueError(f"hops of {genre.name} must be some of 1, 2 and 3, got {hops}")
    if knobs["lexicon"] not in ("known", "held-out"):
        raise unknown("lexicon", knobs["lexicon"], ("known", "held-out"))
    for knob, value in knobs.items():
        if isinstance(value, float) and not 0 <= value <= 1:
            raise ValueError(f"knob {knob!r} of {genre.name} is a share and must lie in [0, 1], got {value}")


class ProseSource:
    """Passages or tales made to order, as a `reasongym.types.SpanSource`; see `passages` and `tales`."""

    def __init__(
        self,
        genre: Genre,
        *,
        split: str = "train",
        num_problems: int | Literal["auto"] | None = "auto",
        difficulty: Difficulty = "published",
        annotation: bool = True,
        tokenizer: str | os.PathLike[str] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if num_problems == "auto":
            num_problems = 100_000 if split == "train" else 10_000
        if num_problems is not None and (isinstance(num_problems, bool) or not isinstance(num_problems, int)):
            raise TypeError(f"num_problems must be a whole number, or None for an endless source, got {num_problems!r}")
        if num_problems is not None and num_problems < 1:
            raise ValueError(f"num_problems must be at least 1, or None for an endless source, got {num_problems}")
        self.genre, self.split, self.annotation = genre, split, annotation
        self.knobs = resolve(genre, difficulty, split)
        self.num_problems: int | None = num_problems
        self.name = f"{genre.name}/procedural/{split}"
        self.spans = genre.spans
        self.choices: tuple[str, ...] = ()
        self.choice_kinds: tuple[int, ...] = ()
        self.kinds: tuple[str, ...] = ("span",)
        self.entities = tuple(f"entity {i}" for i in range(MAX_ENTITIES))
        self.max_units: int = self.knobs["units"][1]
        self._tokenizer = load_tokenizer(None if tokenizer is None else os.fspath(tokenizer))
        self.vocabulary = self._tokenizer.vocabulary
        self.unit_tokens, self.question_tokens = UNIT_TOKENS, QUESTION_TOKENS
        if tokenizer is not None:
            self.unit_tokens, self.question_tokens = longest(genre.grammar, self._tokenizer)
        self._prefix = f"{genre.name}/{json.dumps(self.knobs, sort_keys=True)}/{split}"
        what = (code_hash("prose/*.py"), self._tokenizer.name, f"{hash64(repr(self.vocabulary)):x}", self._prefix)
        self.fingerprint = f"{hash64('/'.join(what)):016x}"

    def encode(self, text: str) -> Encoding:
        """A unit or a question in tokens, with offsets."""
        return self._tokenizer.encode(text)

    def encode_all(self, texts: Sequence[str]) -> list[Encoding]:
        """Many texts in tokens."""
        return self._tokenizer.encode_all(list(texts))

    def tokenize(self, text: str) -> list[int]:
        """Token ids (from 1) of a unit or a question."""
        return list(self.encode(text).ids)

    def choice_of(self, answer: str) -> int:
        """Spans have no list of choices.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{self.name} is answered with spans of its units: it has no choices, and so none for {answer!r}")

    def problem(self, index: int) -> Problem:
        """Problem `index`.

        Raises:
            IndexError: outside [0, num_problems).
        """
        events, asked, draws = self._drawn(index)
        genre = self.genre
        teller = Teller(
            genre.grammar,
            draws,
            genre.aliases(events),
            pronouns=self.knobs["pronouns"],
            by_names=self.knobs["by_names"],
        )
        units, words = [], ""
        for i, event in enumerate(events):
            text, shown = teller.sentence(event, asked.slot if i == asked.unit else -1)
            units.append(text)
            words = shown if i == asked.unit else words
        question = teller.question(asked.query)
        bits, masks = genre.grammar.entities(events, MAX_ENTITIES)
        named = {value for _, _, givens in asked.query for _, value in givens}
        meta: dict[str, object] = {"world": genre.name, "split": self.split, "source": "procedural"}
        answers: tuple[str, ...] = ()
        support: tuple[int, ...] | None = None
        prerequisites: tuple[int, ...] = ()
        if self.annotation:
            meta |= {"form": asked.form, "topic": asked.topic, "hops": len(asked.query)}
            if asked.form == "stated":
                answers = genre.references(events, asked, words)
                proof = genre.grammar.solve(tuple(enumerate(events)), asked.query)
                support, prerequisites = proof.support, proof.prerequisites
            else:
                support = ()
                meta |= {"plausible": words, "plausible_unit": asked.unit}
        return Problem(
            name=f"{genre.name}/{self.split}/{index}",
            task=1,
            story=Story(tuple(units), genre.grammar.superseded_by(events), masks, tuple(range(len(units)))),
            num_units=len(units),
            question=question,
            question_entities=sum(1 << bits[value] for value in named if value in bits),
            answer_kind="span",
            answers=answers,
            support=support,
            prerequisites=prerequisites,
            meta=meta,
        )

    def canonical(self, index: int) -> tuple[Event, ...]:
        """The events of problem `index`, whose hash decided its split."""
        return self._drawn(index)[0]

    def follows(self, index: int, units: Iterable[int]) -> bool:
        """Whether these units of problem `index` alone lead to what the whole story says: the gold answer, or none.

        Raises:
            ValueError: the source was asked for without annotation.
        """
        if not self.annotation:
            raise ValueError(f"{self.name} was loaded without gold answers: nothing can be said to follow")
        events, asked, _ = self._drawn(index)
        facts = tuple((unit, events[unit]) for unit in sorted(units))
        grammar = self.genre.grammar
        gold = grammar.solve(tuple(enumerate(events)), asked.query).answer
        return grammar.solve(facts, asked.query).answer == gold

    def needed(self, index: int, read: int) -> tuple[int, ...]:
        """What the answer to problem `index` would follow from if its story ended after so many units; () where nothing
        would."""
        events, asked, _ = self._drawn(index)
        return tuple(self.genre.grammar.solve(tuple(enumerate(events[:read])), asked.query).support)

    def _drawn(self, index: int) -> tuple[tuple[Event, ...], Asked, Draws]:
        """The first story drawn for a problem that belongs to the split, its question, and the draws for its words."""
        end = ENDLESS if self.num_problems is None else self.num_problems
        if not 0 <= index < end:
            raise IndexError(f"problem {index} of {self.name}, which has the problems 0 to {end - 1}")
        buckets, genre = BUCKETS[self.split], self.genre
        name, refused = f"{self._prefix}/{int(index)}", 0
        for attempt in range(MAX_ATTEMPTS):
            if attempt == 0 or refused == PATIENCE:
                # the first of the two streams is the same every time: what is given up is the question, not the shares
                plan, refused = genre.plan(Draws(hash64(name)), Draws(hash64(f"{name}/plan/{attempt}")), self.knobs), 0
            draws = Draws(hash64(f"{name}/{attempt}"))
            events = genre.story(draws, self.knobs, plan)
            if len(events) < self.knobs["units"][0] or story_bucket(events) not in buckets:
                continue
            asked = genre.ask(draws, self.knobs, events, plan)
            if asked is not None:
                return events, asked, draws
            refused += 1
        raise ValueError(
            f"{genre.name} found no story in the split {self.split!r} with a question of this kind "
            f"({MAX_ATTEMPTS} tried): ask for longer stories or fewer hops, got {self.knobs}"
        )


def passages(
    *,
    split: str = "train",
    num_problems: int | Literal["auto"] | None = "auto",
    difficulty: Difficulty = "published",
    annotation: bool = True,
    tokenizer: str | os.PathLike[str] | None = None,
) -> ProseSource:
    """Encyclopedic passages with questions that about half of them do not answer, as in SQuAD 2.0.

    Args:
        split: "train", "validation", "test" or "ood" (longer, more hops, held-out words).
        num_problems: upper bound; "auto" is 100,000 for train and 10,000 else; None: endless.
        difficulty: "easy", "published", "hard", "ood", or a mapping of knobs laid over "published".
        annotation: False hands out problems without gold answers and support.
        tokenizer: as for `reasongym.tasks.tokens.load_tokenizer`.

    Raises:
        UnknownNameError: a split, difficulty or knob that does not exist.
    """
    return ProseSource(
        PASSAGE, split=split, num_problems=num_problems, difficulty=difficulty, annotation=annotation, tokenizer=tokenizer
    )


def tales(
    *,
    kind: str = "summary",
    split: str = "train",
    num_problems: int | Literal["auto"] | None = "auto",
    difficulty: Difficulty = "published",
    annotation: bool = True,
    tokenizer: str | os.PathLike[str] | None = None,
) -> ProseSource:
    """Tales with free-form answers: of the length of NarrativeQA's summaries, or of FairytaleQA's tales.

    Args:
        kind: "summary" or "fairytale".
        split, num_problems, difficulty, annotation, tokenizer: as for `passages`.

    Raises:
        UnknownNameError: a kind, split, difficulty or knob that does not exist.
    """
    if kind not in TALE_KINDS:
        raise unknown("kind of tale", kind, TALE_KINDS)
    return ProseSource(
        TALE_KINDS[kind],
        split=split,
        num_problems=num_problems,
        difficulty=difficulty,
        annotation=annotation,
        tokenizer=tokenizer,
    )
