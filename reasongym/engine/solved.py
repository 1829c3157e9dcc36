"""Utilities that ask the world's solver, and what it said: `answerability` and `prudence`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
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
        source: whose solver is asked.

    Raises:
        PRMError: the utility asks what this source cannot say.
    """

    def __init__(self, utility: str, source: Any) -> None:
        self._utility = utility
        method = ASKED[utility]
        solver = getattr(source, method.partition("(")[0], None)
        if solver is None:
            raise PRMError(f"utility={utility!r} needs a source with {method}; {source} has none")
        self._solver: Callable[[int, Any], Any] = solver
        self._said: dict[tuple[int, Hashable], Any] = {}

    def level(self, problem: int, units: np.ndarray, read: int) -> float:
        """Of a memory that holds these units (-1: none), where so many were read."""
        if self._utility == "answerability":
            held = np.unique(units[units >= 0])
            return float(self._ask(problem, held.tobytes(), held.tolist()))
        needed = set(self._ask(problem, read, read))
        return 2 * len(needed.intersection(units.ravel().tolist())) / len(needed) - 1 if needed else 0.0

    def _ask(self, problem: int, key: Hashable, about: Any) -> Any:
        if (problem, key) not in self._said:
            if len(self._said) >= CACHE_LIMIT:
                self._said.clear()
            self._said[problem, key] = self._solver(problem, about)
        return self._said[problem, key]
