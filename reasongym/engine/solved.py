"""Utilities that ask the world's solver, and what it said: `answerability` and `prudence`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reasongym.errors import PRMError

CACHE_LIMIT = 200_000
"""Most replies that are remembered."""
ASKED = {"answerability": "follows(problem, units)", "prudence": "needed(problem, read)"}
"""By utility the method of a source that it asks."""


class Solved:
    """The level of a utility.

    Args:
        utility: one of `ASKED`.
        source: whose solver is asked, at the first level.
        places: of memory.
    """

    def __init__(self, utility: str, source: Any, places: int) -> None:
        self._utility, self._source, self._places = utility, source, places
        self._said: dict[tuple[int, Any], Any] = {}

    def level(self, problem: int, units: np.ndarray, read: int) -> float:
        """Of a memory that holds these units (-1: none), where so many were read."""
        if self._utility == "answerability":
            held = np.unique(units[units >= 0])
            return float(self._ask(problem, held.tobytes(), lambda ask: ask(problem, held.tolist())))
        needed = self._ask(problem, read, lambda ask: set(ask(problem, read)))
        held = units[units >= 0].tolist()
        kept = len(needed.intersection(held)) / len(needed) if needed else 0.5
        return 2 * kept - 1 - sum(unit not in needed for unit in held) / max(self._places, 1)

    def _ask(self, problem: int, key: Any, put: Callable[[Callable[..., Any]], Any]) -> Any:
        if (problem, key) not in self._said:
            method = ASKED[self._utility]
            ask = getattr(self._source, method.partition("(")[0], None)
            if ask is None:
                raise PRMError(f"utility={self._utility!r} needs a source with {method}; {self._source} has none")
            if len(self._said) >= CACHE_LIMIT:
                self._said.clear()
            self._said[problem, key] = put(ask)
        return self._said[problem, key]
