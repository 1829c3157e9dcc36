"""Tables in Markdown, and the numbers in them."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from reasongym.metrics import wilson

STUDENT = {3: 4.303, 4: 3.182, 5: 2.776}
"""By number of seeds: the 97.5% quantile of Student's t."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]], left: Collection[str] = ()) -> str:
    """A table whose columns named in `left` begin at the left; the others are numbers."""
    lines = [head, ["---" if name in left else "---:" for name in head], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def percent(share: float) -> str:
    """With one decimal, without the sign."""
    return f"{100 * share:.1f}"


def between(low: float, high: float) -> str:
    """An interval of shares."""
    return f"{percent(low)} to {percent(high)}"


def interval(shares: Sequence[float], problems: int) -> tuple[float, float, float]:
    """(mean, low, high): Student's t over three seeds or more, else Wilson's over the problems of all seeds."""
    mean, n = float(np.mean(shares)), len(shares)
    if n >= 3:
        half = STUDENT.get(n, 1.96) * float(np.std(shares, ddof=1)) / n**0.5
        return mean, max(0.0, mean - half), min(1.0, mean + half)
    return mean, *wilson(round(mean * n * problems), n * problems)


def by_setting(runs: dict[str, dict]) -> dict[str, list[dict]]:
    """Runs named SETTING-SEED, by setting."""
    groups: dict[str, list[dict]] = {}
    for name, run in sorted(runs.items()):
        groups.setdefault(name.rsplit("-", 1)[0], []).append(run)
    return groups
