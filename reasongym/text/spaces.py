"""The space of strings that hold whatever a text or a language model says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gymnasium.spaces import Text
from gymnasium.vector.utils import create_shared_memory

REPLY_LENGTH = 100_000
"""Characters of a reply that the action space admits; `step` takes longer ones too, and reads their end."""


class Prose(Text):
    """Any string of at most `max_length` characters: natural text keeps to no list of characters.

    Args:
        max_length: in characters.
        examples: what `sample` draws from.
        seed: of `sample`.
    """

    def __init__(self, max_length: int, examples: Sequence[str] = ("",), seed: Any = None) -> None:
        super().__init__(max_length, min_length=0, seed=seed)
        self.examples = tuple(examples)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """One of the examples.

        Raises:
            ValueError: a mask was given; what is legal now is in `info["action_mask"]`, by number.
        """
        if mask is not None or probability is not None:
            raise ValueError("a space of free text takes neither mask nor probability")
        return self.examples[int(self.np_random.integers(len(self.examples)))]

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string that is short enough."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"Prose(max_length={self.max_length})"

    def __eq__(self, other: object, /) -> bool:
        return isinstance(other, Prose) and self.max_length == other.max_length

    __hash__ = None  # type: ignore[assignment]


@create_shared_memory.register(Prose)
def _no_shared_memory(space: Prose, n: int = 1, ctx: Any = None) -> Any:
    """AsyncVectorEnv reads strings out of shared memory once, before there are any, so they would stay empty for ever."""
    raise ValueError(
        "text observations cannot be handed over in shared memory: pass shared_memory=False "
        "(gymnasium.make_vec(..., vectorization_mode='async', vector_kwargs={'shared_memory': False})), "
        "or take the id's own vector, which needs no processes (vectorization_mode='vector_entry_point', the default)"
    )
