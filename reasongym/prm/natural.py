"""What the lexical PRM reads off natural text, and what it makes of it: shared words, names, numbers, negation; no annotation.

A text's words are the light stems of all words that are no stop words. Its *names* are the words that are capitalised within
a sentence; a word that begins one is a name where it is capitalised so elsewhere in what the step shows. With W(X) = twice the
words of X that are no names, plus the names, and A = Q ∪ C (question and chain), a unit's *kinship* to what is asked is

    kin(M, A) = W(M ∩ A) / (W(A)^(3/4) W(M)^(1/4))  in [0, 1]

Names count half because a text about somebody names them in every other sentence, and what is asked counts more than the
unit's length because what nobody asked for does not make a sentence wrong. Both were chosen on training text alone.

*Promising* is a unit with a number where the question says when or how many, a name (or capitalised first word) new to question
and chain where it says who or where, a reason's word where it says why; else any unit that says something new. For `goal`, what
is not promising has 0.7 of its kinship.

*Contradicted* is a unit by a later one with (nearly) the same words and the other sign of negation. That somebody moves or
gives something away later does not count: natural text tells history, and asks about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from reasongym.prm.reading import FUNCTION_WORDS, Lexicon, Reading, words_of

LEAST_KIN = 0.15
"""Kinship from which on recalling is worth something: 90% of SQuAD's training support has more for `goal`, and 33% of its other
units; of FairytaleQA's 73% and 16%."""
NOT_PROMISING = 0.7
"""What is left of the kinship of a unit that is not promising."""
SAME = 0.8
"""Share of the longer sentence's words from which on two sentences are about the same."""
NUMBER, NAME, REASON = 1, 2, 4
ASKED = 3
"""`Reading.kinds` holds what a text brings in its lower bits, and what it asks for from this bit on."""

STOP_WORDS = FUNCTION_WORDS | words_of(
    "about above again against although among another anything because else even ever every everything few first get got half "
    "having her hers herself himself how however if instead itself just let like made make making more most must neither nor "
    "now often on once one only other others ought our ours own per quite rather said same say says since some something soon "
    "still such than theirs themselves though thus together too until unless upon use used using usually very via well while "
    "within without yet your yours yourself myself ourselves d didn doesn don isn wasn weren aren couldn wouldn shouldn won "
    "hadn hasn haven ain ll ve re m th into onto ago along away across around toward towards almost already always"
)
NEGATIONS = words_of("not no never none nobody nothing nor neither cannot")
PAST = words_of("before after originally formerly previously initially")
WH_WORDS = words_of("when who whom whose where why how what which")
COUNTING = words_of("year years date century percent percentage number population amount age")
PLACES = words_of("city country state")
NUMERALS = words_of(
    "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million billion "
    "dozen half twice once"
)
REASONS = words_of("because so since therefore due for as that wanted")
IRREGULAR = dict(
    pair.split()
    for pair in (
        "went go,gone go,took take,taken take,came come,gave give,given give,found find,told tell,thought think,knew know,"
        "known know,saw see,seen see,fell fall,fallen fall,ran run,left leave,felt feel,kept keep,held hold,brought bring,"
        "bought buy,caught catch,began begin,begun begin,became become,wrote write,written write,led lead,lost lose,won win,"
        "built build,sold sell,sent send,spoke speak,spoken speak,stood stand,sat sit,broke break,broken break,chose choose,"
        "chosen choose,died die,dead die,death die,met meet,paid pay,threw throw,thrown throw,wore wear,worn wear,ate eat,"
        "eaten eat,drank drink,slept sleep,heard hear,grew grow,grown grow,flew fly,hid hide,hidden hide,rode ride,sang sing,"
        "stole steal,stolen steal,taught teach,drew draw,drove drive,fought fight,forgot forget,laid lay,rose rise,risen rise,"
        "shot shoot,spent spend,struck strike,men man,women woman,children child,wives wife,lives life,mice mouse,"
        "wolves wolf,people person,born birth"
    ).split(",")
)
_WORD = re.compile(r"[^\W_]+")
_ENDINGS = (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""))
_OPENS = re.compile(r"(?:^|[.!?:\"“‘])\s*[\"“‘'(\[]*$")
_HOW_MANY = re.compile(r"\bhow (?:many|much|old|long|tall|high|far|often|big|large|few|fast)\b", re.IGNORECASE)
_NOT = re.compile(r"n['’]t\b", re.IGNORECASE)


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """A light stem of a lower-cased word, the same for "makes" and "making"."""
    if word.isdigit():
        return word
    word = IRREGULAR.get(word, word)
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)] + instead
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "sl":
        word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def read(text: str) -> Reading:
    """The words, names and kinds of a sentence or question; a pure function of the text."""
    found: dict[str, None] = {}
    names: dict[str, None] = {}
    openers: list[str] = []
    said: dict[str, None] = {}
    has_number = False
    for match in _WORD.finditer(text):
        token = match.group()
        word = token.lower()
        said[word] = None
        number = any(character.isdigit() for character in token)
        has_number |= number or word in NUMERALS
        if not number and (len(word) < 2 or word in STOP_WORDS):
            continue
        found[stem(word)] = None
        if token[0].isupper():
            if _OPENS.search(text, max(0, match.start() - 6), match.start()):
                openers.append(stem(word))
            else:
                names[stem(word)] = None
    kinds = NUMBER * has_number | REASON * (not REASONS.isdisjoint(said)) | _asked(text, said) << ASKED
    negated = not NEGATIONS.isdisjoint(said) or _NOT.search(text) is not None
    return Reading(
        tuple(found), tuple(found), tuple(openers[:2]), "", "", "", negated, not PAST.isdisjoint(said), tuple(names), kinds
    )


def _asked(text: str, said: Iterable[str]) -> int:
    """The kind of answer that a question asks for, by its first wh-word and what it counts; 0 is any."""
    first = next((word for word in said if word in WH_WORDS), "")
    if first == "when" or not COUNTING.isdisjoint(said) or _HOW_MANY.search(text):
        return NUMBER
    if first in ("who", "whom", "whose", "where") or not PLACES.isdisjoint(said):
        return NAME
    return REASON if first == "why" else 0


def kinship(lexicon: Lexicon, units: np.ndarray, chain: np.ndarray, question: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows of texts (r, U), (r, H·U), (r,) -> kinship (r,), whether it is promising, whether the unit and what is asked have words.

    Nothing new, beside question and chain, is not promising either.
    """  # noqa: E501
    asking = np.concatenate([question[:, None], chain], axis=1)
    flat = [column[texts].reshape(len(units), -1) for texts in (units, asking) for column in (lexicon.mentions, lexicon.names)]
    openers = lexicon.facts[units][:, :, :2].reshape(len(units), -1)
    unit, unit_names, asked, asked_names, opening = lexicon.marks(*flat, openers)
    names = unit_names | asked_names
    shared, size, size_asked = (2 * some.sum(1) - (some & names).sum(1) for some in (unit & asked, unit, asked))
    kin = shared / np.maximum(np.sqrt(size_asked * np.sqrt(size_asked)) * np.sqrt(np.sqrt(size)), 1)  # exact roots, unlike **
    new = unit & ~asked
    kinds = np.bitwise_or.reduce(lexicon.kinds[units], axis=1) | NAME * (new & (names | opening)).any(1)
    wanted = lexicon.kinds[question] >> ASKED
    return kin, new.any(1) & ((wanted == 0) | (kinds & wanted > 0)), (size > 0) & (size_asked > 0)


def usefulness(kin: np.ndarray, promising: np.ndarray, halving: np.ndarray) -> np.ndarray:
    """The goal score: from -0.5 (no kin) over 0 (`LEAST_KIN`) to 1, what is above halved with each link."""
    kin = np.where(promising, kin, NOT_PROMISING * kin)
    return np.where(kin < LEAST_KIN, 0.5 * kin / LEAST_KIN - 0.5, halving * (kin - LEAST_KIN) / (1 - LEAST_KIN))


def contradicted(lexicon: Lexicon, units: np.ndarray, visible: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Rows (r, U), (r, Y), (r, U, Y) -> (r, U) whether a later text says it with the other sign of negation."""
    opposite = later & (lexicon.negated[units][:, :, None] != lexicon.negated[visible][:, None, :])
    row, u, y = np.nonzero(opposite & (units > 0)[:, :, None] & (visible > 0)[:, None, :])
    out = np.zeros(units.shape, bool)
    if len(row):
        one, other = lexicon.mentions[units[row, u]], lexicon.mentions[visible[row, y]]
        shared = ((one[:, :, None] == other[:, None, :]) & (one > 0)[:, :, None]).sum((1, 2))
        longest = np.maximum((one > 0).sum(1), (other > 0).sum(1))
        same = (shared >= 3) & (shared >= SAME * longest)
        out[row[same], u[same]] = True
    return out
