"""How well the chain of recalled units follows the tale it answers from: its order, and whom and what it mentions."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from math import nan

TOKEN = re.compile(r"\d+(?:[.,]\d+)*(?![^\W_])|[^\W_]+(?:['’-][^\W_]+)*")
ENDING = re.compile(r"['’](?:s|m|d|ll|re|ve)$", re.IGNORECASE)
WITHIN = re.compile(r"[ ,;\n]*")
"""What may stand between two words of one sentence; quotation marks may not, since speech begins with a capital."""
TITLES = ("Mr", "Mrs", "Ms", "Dr", "St")
"""Abbreviations whose full stop ends no sentence."""


def chain_order(chain_units: Sequence[Hashable], support: Sequence[Hashable]) -> float:
    """Share of pairs of supporting units that the chain holds in the order of the support, in [0, 1].

    Of each supporting unit the first recall counts; other units and later recalls of the same unit are passed over. Of the c
    supporting units in the chain, c (c - 1) / 2 pairs can be formed; a pair is concordant when the unit recalled first is also
    the first of the two in `support`. With Kendall's tau between the two orders, the share is (1 + tau) / 2: 1 keeps the
    order, 0 turns it round, 0.5 is chance.

    Args:
        chain_units: the recalled units, in order of recall; or the section that each lies in, with `support` in sections too.
        support: the supporting units (or sections) in the order of the tale, or of reasoning; of a repeat the first counts.

    Returns:
        The share, or NaN where the chain holds fewer than two supporting units.
    """
    place: dict[Hashable, int] = {}
    for unit in support:
        place.setdefault(unit, len(place))
    places = [place[unit] for unit in dict.fromkeys(chain_units) if unit in place]
    pairs = [first < second for first, second in combinations(places, 2)]
    return sum(pairs) / len(pairs) if pairs else nan


def entity_share(chain_texts: Iterable[str], support_texts: Iterable[str], context: Iterable[str] = ()) -> float:
    """Share of the supporting units' entities that the chain mentions, in [0, 1].

    An entity of the support (see `entities`) is mentioned where its word occurs in the chain as a whole word, in any case,
    with or without a possessive "'s".

    Args:
        chain_texts: the recalled units.
        support_texts: the supporting units.
        context: more of the text (the whole tale, say), in which names are looked for; nothing in it needs mentioning.

    Returns:
        The share, or NaN where the support names nothing.
    """
    chain_texts, support_texts = list(chain_texts), list(support_texts)
    wanted = entities(support_texts, [*chain_texts, *context])
    mentioned = {_folded(word) for text in chain_texts for word, _ in _tokens(text)}
    return len(wanted & mentioned) / len(wanted) if wanted else nan


def entities(texts: Iterable[str], context: Iterable[str] = ()) -> frozenset[str]:
    """The names and numbers in some texts, lower-cased, by three rules and no model:

    1. a word with a digit in it is a number ("1,000" is "1000"; numbers in words are not seen);
    2. a capitalised word of two letters or more that does not start a sentence is a name, and so is each word of a name of
       several ("Snow White" is two). A sentence starts with each text and after anything but spaces, commas and semicolons,
       so after quotation marks too, but not after "Mr." and its like;
    3. a capitalised word at the start of a sentence is a name if rule 2 finds it elsewhere in `texts` or `context`, and it
       stands nowhere in them in lower case.

    A possessive "'s" and the like are cut off ("Jack's" is "jack", "I'll" is "I" and too short). The rules miss names that only
    ever start sentences, and take titles ("the King") and nationalities for names.
    """
    texts = list(texts)
    everything = [token for text in (*texts, *context) for token in _tokens(text)]
    names = {_folded(word) for word, starts in everything if not starts and _capitalised(word)}
    common = {word for word, _ in everything if word == word.lower()}
    found = set()
    for text in texts:
        for word, starts in _tokens(text):
            folded = _folded(word)
            if any(map(str.isdigit, word)) or (
                _capitalised(word) and (not starts or (folded in names and folded not in common))
            ):
                found.add(folded)
    return frozenset(found)


def _tokens(text: str) -> list[tuple[str, bool]]:
    """The words of a text, endings cut off, each with whether it may start a sentence."""
    out: list[tuple[str, bool]] = []
    end = 0
    for match in TOKEN.finditer(text):
        gap = text[end : match.start()]
        within = WITHIN.fullmatch(gap) or (gap == ". " and out[-1][0] in TITLES if out else False)
        out.append((ENDING.sub("", match.group()), not out or not within))
        end = match.end()
    return out


def _capitalised(word: str) -> bool:
    return len(word) > 1 and word[0].isupper()


def _folded(word: str) -> str:
    return word.lower().replace(",", "")
