"""Labelled episodes to test process reward models on, fixed by seed: `python -m reasongym prm-sets --out sets.jsonl`.

    python -m reasongym prm-bench --data sets.jsonl --group-by set --threshold fit --prm references --prm runs/prm

| set | whose steps | of which problems |
| --- | --- | --- |
| `seen, planted` | the expert's; every other episode with one planted error of a named class | tasks 1, 2, 5, 6, 7, 8, 12 |
| `seen, sampled` | the expert's with three in ten actions drawn at random | the same tasks |
| `held-out, planted`, `held-out, sampled` | the same two | tasks 3, 11, 13, in the same words |
| `longer, planted`, `longer, sampled` | the same two | seen tasks, asked after 6 to 10 rounds instead of 1 to 5 |

A trained agent's own steps are what `examples/agent_steps.py` writes. "Seen" are the tasks that `examples/train_prm.py` trains
on. Labels are `correct`, causal (`reasongym.prm.correctness`), of the test split. Each set holds as many episodes of each of
its tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reasongym.audit.collect import collect
from reasongym.audit.corruption import Planter
from reasongym.audit.policies import Policy, wandering
from reasongym.prm.records import StepRecord

SEEN, HELD_OUT = (1, 2, 5, 6, 7, 8, 12), (3, 11, 13)
USUAL: Mapping[str, Any] = {"max_units": 30}
LONGER: Mapping[str, Any] = {"max_units": 80, "rounds": (6, 10)}
"""Difficulties."""


@dataclass(frozen=True)
class StepSet:
    """Which tasks of bAbI, whose steps ("planted" or "sampled"), and how difficult the problems are."""

    tasks: tuple[int, ...]
    source: str
    difficulty: Mapping[str, Any]

    def policy(self) -> Policy:
        """Who plays."""
        return Planter(rate=0.5, seed=1) if self.source == "planted" else wandering(0.3)


SETS = {
    f"{name}, {source}": StepSet(tasks, source, difficulty)
    for name, tasks, difficulty in (("seen", SEEN, USUAL), ("held-out", HELD_OUT, USUAL), ("longer", SEEN, LONGER))
    for source in ("planted", "sampled")
}


def step_set(name: str, episodes: int) -> list[StepRecord]:
    """The records of one set; `meta["set"]` is its name.

    Args:
        name: of `SETS`.
        episodes: at least; rounded up to as many of each task.

    Raises:
        KeyError: no such set.
    """
    found = SETS[name]
    problems = np.arange(-(-episodes // len(found.tasks)))
    records: list[StepRecord] = []
    for task in found.tasks:
        keywords: dict[str, Any] = {"split": "test", "difficulty": dict(found.difficulty)}
        records += collect(f"ReasonGym-bAbI-qa{task}-v0", found.policy(), problems, **keywords)
    return named(name, records)


def named(name: str, records: Sequence[StepRecord]) -> list[StepRecord]:
    """The records with the set's name in `meta`."""
    return [replace(record, meta={**record.meta, "set": name}) for record in records]
