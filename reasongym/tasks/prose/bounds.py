"""How many tokens a unit and a question can have at most in some tokenizer, from the templates and the lexicon alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reasongym.tasks.prose import lexicon
from reasongym.tasks.prose.frames import ENTITY_SLOTS, PRONOUNS, Frame, Grammar, Pieces
from reasongym.tasks.tokens import Tokenizer

NUMBERS = {"year": "1888", "number": "60,000", "amount": "400,000"}
MOST_HOPS = 3


def longest(grammar: Grammar, tokenizer: Tokenizer) -> tuple[int, int]:
    """(longest unit, longest question): the parts of every template are counted apart, each with its longest words.

    A part is counted with and without a space before it, the longer of the two; a tokenizer that makes more tokens of a
    whole text than of its parts would break the bound, and none is known.
    """
    sizes = _slot_sizes(grammar, tokenizer)

    def size(text: str) -> int:
        return max(len(tokenizer.encode(text)), len(tokenizer.encode(" " + text)))

    def cost(pieces: Pieces, frame: Frame) -> int:
        total = 0
        for piece in pieces:
            if isinstance(piece, str):
                total += size(piece.replace("~", "").strip())
            elif piece[0] in PRONOUNS:
                total += 1
            else:
                total += sizes[frame.types[piece[1]]] + {"'s": 2, "a": 1}.get(piece[0], 0)
        return total

    lead, tail = max(map(size, grammar.leads)), max(map(size, grammar.tails))
    unit = max(
        cost(pieces, frame) + max(lead, tail if any("~" in piece for piece in pieces if isinstance(piece, str)) else 0)
        for frame in grammar.frames.values()
        for pieces in frame.sentences
    )

    def widest(forms: Iterable[tuple[Frame, Pieces]], inner: Mapping[str, int]) -> int:
        """The costliest of some templates, with a phrase in place of one entity."""
        out = 0
        for frame, pieces in forms:
            types = [frame.types[piece[1]] for piece in pieces if not isinstance(piece, str) and _is_entity(piece, frame)]
            gains = [inner.get(one, 0) - sizes[one] for one in types]
            out = max(out, cost(pieces, frame) + max([0, *gains]))
        return out

    inner: dict[str, int] = {}
    for _ in range(MOST_HOPS - 1):
        inner = {
            meant: widest(
                (
                    (frame, pieces)
                    for frame in grammar.frames.values()
                    for (slot, _), forms in frame.phrases.items()
                    if frame.types[slot] == meant
                    for pieces in forms
                ),
                inner,
            )
            for meant in ENTITY_SLOTS
        }
    asks = ((frame, pieces) for frame in grammar.frames.values() for forms in frame.asks.values() for pieces in forms)
    return unit, widest(asks, inner)


def _is_entity(piece: tuple[str, int], frame: Frame) -> bool:
    return piece[0] not in PRONOUNS and frame.types[piece[1]] in ENTITY_SLOTS


def _slot_sizes(grammar: Grammar, tokenizer: Tokenizer) -> dict[str, int]:
    """Most tokens of a value of each type of slot."""

    def size(text: str) -> int:
        return max(len(tokenizer.encode(text)), len(tokenizer.encode(" " + text)))

    def pool(*pools: lexicon.Pool) -> int:
        """Most tokens of one word from each pool, put side by side."""
        return sum(max(size(word) for part in one for word in part) for one in pools)

    sizes = {slot: size(text) for slot, text in NUMBERS.items()}
    sizes |= {slot: pool(words) for slot, words in grammar.pools.items()}
    people = max(pool(lexicon.WOMEN, lexicon.SURNAMES), pool(lexicon.MEN, lexicon.SURNAMES))
    tellers = max(pool(lexicon.NAMES_TALE_WOMEN), pool(lexicon.NAMES_TALE_MEN), 1 + pool(lexicon.ROLES))
    sizes["person"] = tellers if "role" in grammar.pools else people
    sizes["org"] = 1 + pool(lexicon.BRANDS, lexicon.FIRMS)
    sizes["work"] = 1 + pool(lexicon.WORK_NAMES, lexicon.WORKS)
    sizes["device"] = 1 + pool(lexicon.DEVICE_KINDS, lexicon.DEVICES)
    sizes["river"] = pool(lexicon.RIVERS)
    sizes["ruler"] = 1 + pool(lexicon.RULERS)
    return sizes
