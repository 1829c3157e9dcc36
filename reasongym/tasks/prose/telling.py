"""From events to sentences: names, by-names and pronouns, remarks, capitals, articles."""

from __future__ import annotations

from collections.abc import Mapping

from reasongym.seeding import Draws
from reasongym.tasks.base import Event, Query
from reasongym.tasks.prose.frames import ENTITY_SLOTS, Frame, Grammar, Pieces
from reasongym.tasks.prose.lexicon import GENDER, HE

LEAD, TAIL = 0.08, 0.22
"""How often a sentence gets a lead or, where its form has room for it, a remark."""
IT = ("it", "its", "it")
NO_ARTICLE = ("a ", "an ")
NAMING = ("", "=", "'s", "a")
"""Styles of a field that may name its value."""


def definite(value: str) -> str:
    """ "the silver comb" for "a silver comb"; other values as they are."""
    for article in NO_ARTICLE:
        if value.startswith(article):
            return "the " + value[len(article) :]
    return value


def with_article(value: str) -> str:
    """ "an engraver", "a weaver"."""
    return ("an " if value[0] in "aeiou" else "a ") + value


def possessive(value: str) -> str:
    """With 's, or only an apostrophe after an s."""
    return value + ("'" if value.endswith("s") else "'s")


def bare(words: str, style: str) -> str:
    """Words without what a style has put around them."""
    if style == "a":
        return words.split(" ", 1)[1]
    return words.removesuffix("'s").removesuffix("'") if style == "'s" else words


class Teller:
    """Tells one story's events in order.

    Args:
        grammar: its frames.
        draws: where choices of words come from.
        aliases: other names of entities ("the comb"), each for one entity of the story only.
        pronouns, by_names: how often a subject that the sentence before had becomes a pronoun, and a known entity goes by its
            other name.
    """

    def __init__(self, grammar: Grammar, draws: Draws, aliases: Mapping[str, str], *, pronouns: float, by_names: float) -> None:
        self.grammar, self.draws, self.aliases = grammar, draws, aliases
        self.pronouns, self.by_names = pronouns, by_names
        self.known: set[str] = set()
        self._subject = ""
        self._before: set[str] = set()

    def sentence(self, event: Event, asked: int = -1) -> tuple[str, str]:
        """An event in words, and the words of its slot `asked` (which is not told by a pronoun) as they stand there."""
        frame, draws = self.grammar.frames[event[0]], self.draws
        pieces = draws.pick(frame.sentences)
        out, shown = [], ""
        for piece in pieces:
            if isinstance(piece, str):
                out.append(piece)
                continue
            words = self._said(frame, event, piece, asked)
            out.append(words)
            if piece[1] == asked and piece[0] in NAMING and not shown:
                shown = bare(words, piece[0])
        entities = [event[i] for i in self.grammar.entity_slots[event[0]]]
        self._subject = event[1]
        self._before = {self._forms(value)[0] for value in entities if value != event[1]}
        text, remark = "".join(out), False
        if "~" in text:
            remark = draws.chance(TAIL)
            text = text.replace("~", draws.pick(self.grammar.tails) if remark else "")
        if not remark and draws.chance(LEAD):
            text = draws.pick(self.grammar.leads) + text
        text = text[0].upper() + text[1:]
        if shown and shown not in text:
            shown = shown[0].upper() + shown[1:]
        return text, shown

    @staticmethod
    def _forms(value: str) -> tuple[str, str, str]:
        gender = GENDER.get(value.split(" ", 1)[0])
        return IT if gender is None else HE[gender]

    def _said(self, frame: Frame, event: Event, piece: tuple[str, int], asked: int) -> str:
        style, slot = piece
        value = event[slot + 1]
        if style == "he":
            return self._forms(value)[0]
        if style == "his":
            return self._forms(value)[1]
        if style == "him":
            return self._forms(value)[2]
        if style == "a":
            return with_article(value)
        if frame.types[slot] not in ENTITY_SLOTS:
            return str(value)
        if style in ("=", "'s") and value == self._subject and slot != asked and self.draws.chance(self.pronouns):
            forms = self._forms(value)
            # "she" must not be somebody else of the same sentence; "it" is the subject, whatever town is named beside it
            others = [event[i] for i in self.grammar.entity_slots[event[0]] if event[i] != value and forms is not IT]
            if forms[0] not in self._before.union(self._forms(other)[0] for other in others):
                return forms[0] if style == "=" else forms[1]
        return possessive(self.name(value)) if style == "'s" else self.name(value)

    def name(self, value: str) -> str:
        """What an entity is called here: in full at first, later perhaps by its other name."""
        if value not in self.known:
            self.known.add(value)
            return value
        alias = self.aliases.get(value)
        if alias is not None and self.draws.chance(self.by_names):
            return alias
        return definite(value)

    def question(self, query: Query) -> str:
        """A query in words: the last hop's question, with the hops before it as noun phrases."""
        phrase = ""
        for kind, slot, givens in query[:-1]:
            frame = self.grammar.frames[kind]
            forms = frame.phrases[slot, tuple(i for i, _ in givens)]
            phrase = self._filled(frame, self.draws.pick(forms), dict(givens), phrase)
        kind, slot, givens = query[-1]
        frame = self.grammar.frames[kind]
        forms = frame.asks[slot, tuple(i for i, _ in givens)]
        text = self._filled(frame, self.draws.pick(forms), dict(givens), phrase)
        return text[0].upper() + text[1:]

    def _filled(self, frame: Frame, pieces: Pieces, givens: Mapping[int, str | None], phrase: str) -> str:
        out = []
        for piece in pieces:
            if isinstance(piece, str):
                out.append(piece)
                continue
            style, slot = piece
            value = givens.get(slot)
            if style in HIS:
                # of whom a phrase speaks ("the one who ...") is not said: they
                out.append(THEY[style] if value is None else self._forms(value)[HIS[style]])
            elif value is None:
                out.append(possessive(phrase) if style == "'s" else phrase)
            else:
                words = definite(value) if frame.types[slot] in ENTITY_SLOTS else str(value)
                out.append(with_article(value) if style == "a" else possessive(words) if style == "'s" else words)
        return "".join(out)


HIS = {"he": 0, "his": 1, "him": 2}
THEY = {"he": "they", "his": "their", "him": "them"}
