"""The synonym sets of WordNet (Fellbaum, 1998) from its own files, as far as METEOR asks for them.

NLTK's reader finds a set by its byte offset, so it fails on copies with the line ends of Windows, and the one copy on the
Python package index is such. This one reads lines. Words of several parts ("ice_cream") are left out: METEOR passes over them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reasongym.errors import DataError

ENDINGS = {
    "noun": "s: ses:s ves:f xes:x zes:z ches:ch shes:sh men:man ies:y",
    "verb": "s: ies:y es:e es: ed:e ed: ing:e ing:",
    "adj": "er: est: er:e est:e",
    "adv": "",
}
"""The regular endings of each part of speech with what they stand for: WordNet's morphy(7), "rules of detachment"."""
FILES = tuple(f"data.{part}" for part in ENDINGS) + tuple(f"{part}.exc" for part in ENDINGS)
MARKER = re.compile(r"\(.*\)$")
"""Where an adjective may stand: "galore(ip)"."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a synonym set, spelled as in WordNet."""

    spelling: str

    def name(self) -> str:
        return self.spelling


@dataclass(frozen=True, slots=True)
class SynonymSet:
    """Words that mean the same."""

    words: tuple[Word, ...]

    def lemmas(self) -> tuple[Word, ...]:
        return self.words


class WordNet:
    """The synonym sets in a folder of WordNet's files (`data.noun`, `noun.exc`, ...); some 150,000 lines are read at once.

    Raises:
        DataError: a file is missing, or a line is not one of WordNet.
    """

    def __init__(self, folder: Path) -> None:
        lacking = [name for name in FILES if not (folder / name).is_file()]
        if lacking:
            raise DataError(f"{str(folder)!r} is not a folder of WordNet's files: it lacks {', '.join(lacking)}")
        self._sets: dict[str, dict[str, list[SynonymSet]]] = {part: _sets(folder / f"data.{part}") for part in ENDINGS}
        self._irregular = {part: _irregular(folder / f"{part}.exc") for part in ENDINGS}
        self._endings = {part: [tuple(rule.split(":")) for rule in rules.split()] for part, rules in ENDINGS.items()}

    def synsets(self, word: str) -> list[SynonymSet]:
        """All sets that a word or its base form is in."""
        word = word.lower()
        return [
            found
            for part, sets in self._sets.items()
            for form in dict.fromkeys(self._forms(word, part))
            for found in sets[form]
        ]

    def _forms(self, word: str, part: str) -> Iterator[str]:
        """The word itself, and its base forms: the irregular ones where it has any, else the regular ones."""
        candidates = self._irregular[part].get(word)
        if candidates is None:
            candidates = [word[: -len(old)] + new for old, new in self._endings[part] if word.endswith(old)]
        yield from (form for form in (word, *candidates) if form in self._sets[part])


def _sets(path: Path) -> dict[str, list[SynonymSet]]:
    """Lower-cased word to its sets. A line: offset, file, kind, number of words (hexadecimal), word, number, word, ..."""
    out: dict[str, list[SynonymSet]] = defaultdict(list)
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if line.startswith(" ") or not line:  # the licence, indented
            continue
        fields = line.split(" | ", 1)[0].split()
        try:
            spelled = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        except (IndexError, ValueError):
            raise DataError(f"{path}:{number}: not a line of WordNet: {line[:60]!r}") from None
        words = tuple(Word(MARKER.sub("", word)) for word in spelled if "_" not in word)
        for key in {word.spelling.lower() for word in words}:
            out[key].append(SynonymSet(words))
    return dict(out)


def _irregular(path: Path) -> dict[str, list[str]]:
    """Irregular form to base forms."""
    rows = (line.split() for line in path.read_text("utf-8").splitlines())
    return {row[0]: row[1:] for row in rows if row}
