"""The words that all 20 bAbI worlds share: entities, answers and their kinds, and the joint vocabulary.

Source: the published files of bAbI v1.2 (Weston et al., 2015, arXiv 1502.05698). Token ids, choices and entity bits are
positions in these tuples, so a change of order here is a change of every environment.
"""

from __future__ import annotations

import re

PEOPLE = ("Mary", "John", "Sandra", "Daniel", "Fred", "Bill", "Jeff", "Julie")
DEDUCTION_NAMES = ("Jessica", "Gertrude", "Winona", "Emily")
INDUCTION_NAMES = ("Lily", "Bernhard", "Greg", "Julius", "Brian")
MOTIVATION_NAMES = ("Jason", "Antoine", "Sumit", "Yann")
FEMALE = frozenset({"Mary", "Sandra", "Julie", "Jessica", "Gertrude", "Winona", "Emily", "Lily"})
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office", "cinema", "park", "school")
THINGS = ("apple", "football", "milk", "pajamas")
ANIMALS = ("cat", "mouse", "sheep", "wolf", "frog", "lion", "rhino", "swan")
COLOURS = ("gray", "green", "white", "yellow", "blue", "pink", "red")
SHAPES = ("rectangle", "sphere", "square", "triangle")
CONTAINERS = ("box", "box of chocolates", "chest", "chocolate", "container", "suitcase")
STATES = ("bored", "hungry", "thirsty", "tired")

ENTITIES = (
    *PEOPLE, *DEDUCTION_NAMES, *INDUCTION_NAMES, *MOTIVATION_NAMES,
    *PLACES, *THINGS, *ANIMALS, *COLOURS, *SHAPES, *CONTAINERS, *STATES,
)  # fmt: skip
ENTITY_BIT = {name: 1 << i for i, name in enumerate(ENTITIES)}

KINDS = ("yesno", "count", "list", "thing", "person", "place", "animal", "colour", "state", "path")
_LISTS = ("nothing", "apple", "football", "milk", "apple,football", "apple,milk", "football,milk", "apple,football,milk")
_PATHS = ("e,e", "e,n", "e,s", "n,e", "n,n", "n,w", "s,e", "s,s", "s,w", "w,n", "w,s", "w,w")
_KINDS_OF = {
    **dict.fromkeys(("yes", "no", "maybe"), ("yesno",)),
    **dict.fromkeys(("none", "one", "two", "three"), ("count",)),
    **dict.fromkeys(_LISTS, ("list",)),
    **dict.fromkeys(("apple", "football", "milk"), ("list", "thing")),
    **dict.fromkeys(("Mary", "Fred", "Bill", "Jeff"), ("person",)),
    **dict.fromkeys(PLACES, ("place",)),
    **dict.fromkeys(("cat", "mouse", "sheep", "wolf"), ("animal",)),
    **dict.fromkeys(("gray", "green", "white", "yellow"), ("colour",)),
    **dict.fromkeys(STATES, ("state",)),
    **dict.fromkeys(_PATHS, ("path",)),
}

CHOICES = tuple(_KINDS_OF)
"""The 52 closed answers, jointly over all tasks: task 8's lists are sets (parts sorted), task 19's paths are ordered."""

CHOICE_KINDS = tuple(sum(1 << KINDS.index(kind) for kind in _KINDS_OF[choice]) for choice in CHOICES)

VOCABULARY = tuple(
    "a above afraid after afternoon afterwards and antoine apple are back bathroom bedroom before below bernhard bigger "
    "bill blue bored box brian carrying cat cats chest chocolate chocolates cinema color container daniel did discarded "
    "do does down dropped e east either emily evening fit fits following football fred frog from garden gave gertrude "
    "get give go got grabbed gray green greg hallway handed he how hungry in inside is jason jeff jessica john journeyed "
    "julie julius kitchen left lily lion longer many mary maybe mice milk morning mouse moved n no none north not "
    "nothing objects of office one or pajamas park passed picked pink put received rectangle red rhino right s sandra "
    "school she sheep south sphere square suitcase sumit swan than that the then there they thirsty this three tired to "
    "took travelled triangle two up w was went west what where white who why will winona wolf wolves yann yellow yes "
    "yesterday you".split()
)
"""The 156 word types of the published files, questions and answers included, lower-cased, without `.` and `?`."""

_TOKEN_ID = {word: i + 1 for i, word in enumerate(VOCABULARY)}
_WORD = re.compile(r"[^\s.?!,]+")


def tokenize(text: str) -> list[int]:
    """Token ids (1 ... 156) of a sentence: lower-cased words, punctuation dropped.

    Raises:
        ValueError: a word is not in the vocabulary.
    """
    try:
        return [_TOKEN_ID[word] for word in _WORD.findall(text.lower())]
    except KeyError as missing:
        raise ValueError(f"the word {missing} in {text!r} is not in the bAbI vocabulary of {len(VOCABULARY)} words") from None


def entity_mask(*names: str) -> int:
    """The bit mask of some entities."""
    mask = 0
    for name in names:
        mask |= ENTITY_BIT[name]
    return mask


def canonical_answer(answer: str) -> str:
    """The choice that a published answer string stands for: lists become sets, paths (one-letter parts) keep their order."""
    parts = answer.split(",")
    return answer if len(parts) == 1 or len(parts[0]) == 1 else ",".join(sorted(parts))
