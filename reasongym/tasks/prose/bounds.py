"""How many tokens a unit and a question can have at most in some tokenizer, from the templates and the lexicon alone."""

from __future__ import annotations

from reasongym.tasks.prose import lexicon
from reasongym.tasks.prose.frames import ENTITY_SLOTS, Grammar, Pieces
from reasongym.tasks.tokens import Tokenizer

NUMBERS = {"year": "1888", "number": "60,000", "amount": "400,000"}
MOST_HOPS = 3


def longest(grammar: Grammar, tokenizer: Tokenizer) -> tuple[int, int]:
    """(unit, question): upper bounds, since no tokenizer joins what it counts apart here into more tokens than it counts.

    Each literal and each word of the lexicon is counted with and without the space before it, the longer of the two.
    """

    def size(text: str) -> int:
        return max(len(tokenizer.encode(text)), len(tokenizer.encode(" " + text)))

    words = {
        name.lower(): max(size(entry) for part in pool for entry in part)
        for name, pool in vars(lexicon).items()
        if isinstance(pool, tuple) and len(pool) == 2 and isinstance(pool[0], tuple)
    }
    slots = {slot: size(text) for slot, text in NUMBERS.items()}
    widest = max(words.values()) + 3
    people = max(words["women"], words["men"]) + words["surnames"]
    slots["person"] = max(people, max(words["names_tale_women"], words["names_tale_men"]), words["roles"] + 1)
    named = 1 + max(words["brands"] + words["firms"], words["work_names"] + words["works"], words["device_kinds"] + words["devices"])
    slots |= dict.fromkeys(("org", "work", "device"), named)
    slots |= {"city": words["towns"], "river": words["rivers"], "place": words["places"], "thing": words["things"]}
    pools = {**grammar.pools}
    slots |= {slot: max(size(entry) for part in pool for entry in part) + 1 for slot, pool in pools.items()}

    def cost(pieces: Pieces, types: tuple[str, ...]) -> int:
        total = 0
        for piece in pieces:
            if isinstance(piece, str):
                total += size(piece.strip())
            else:
                style, slot = piece
                total += 1 if style in ("he", "his", "him") else slots.get(types[slot], widest) + 2 * (style in ("'s", "a"))
        return total

    extra = max(map(size, grammar.leads)) + max(map(size, grammar.tails))
    unit = max(cost(pieces, frame.types) for frame in grammar.frames.values() for pieces in frame.sentences)
    tables = [(frame, forms) for frame in grammar.frames.values() for forms in frame.phrases.values()]
    phrase = max(cost(pieces, frame.types) for frame, forms in tables for pieces in forms)
    ask = max(cost(pieces, frame.types) for frame in grammar.frames.values() for forms in frame.asks.values() for pieces in forms)
    assert ENTITY_SLOTS
    return unit + extra, ask + (MOST_HOPS - 1) * phrase
