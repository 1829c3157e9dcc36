"""Plays tasks that are not yet solved more often: most of an id with many tasks is soon learned, and then only takes time.

The next problem is of a task drawn in proportion to `floor + the share of wrong answers` in that task's last episodes, and
within the task any problem; a task that is being forgotten comes back by itself. Tasks whose solution is soon hidden by a
habit that others teach can come first, alone. It is the idea of prioritised level replay
(Jiang et al. 2021, arXiv 2010.03934) with tasks for levels and the failure rate for the score.

Held-out problems are not touched: this wraps training environments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from reasongym.seeding import rng
from reasongym.tasks.procedural import ProceduralSource

CURRICULUM = 0x637572
"""Stream of the draws' generator, apart from those of the same seed elsewhere."""
SOLVED = 0.2
"""Share of wrong answers, while exploring, below which a task that came first counts as solved."""


class TaskCurriculum(VecEnvWrapper):
    """Chooses what a `ReasonGymVecEnv` plays next by the failures so far.

    Args:
        venv: a `ReasonGymVecEnv`, or wrappers around one, on a finite source.
        seed: of the draws.
        floor: what a solved task still weighs beside one that always fails.
        window: episodes of a task over which its failures are averaged (exponentially); every task begins as one that fails.
        first: numbers of tasks that are played alone until each fails in less than `SOLVED` of its episodes.

    Raises:
        TypeError: other environments.
        ValueError: `floor` or `window` is out of range, `first` names a task that is not there, the source does not say
            which problems are of which task, the environments read no gold, or they have a curriculum.
    """

    def __init__(self, venv: VecEnv, seed: int = 0, floor: float = 0.05, window: int = 200, first: Sequence[int] = ()) -> None:
        if not 0 < floor <= 1:
            raise ValueError(f"floor must lie in (0, 1], got {floor!r}: a task that is never played can be forgotten")
        if not window >= 1:
            raise ValueError(f"window must be at least 1 episode, got {window!r}")
        inner: Any = venv.unwrapped
        if not hasattr(inner, "next_problems"):
            raise TypeError(f"TaskCurriculum wraps a ReasonGymVecEnv (adapters.sb3.make_vec_env), got {inner!r}")
        if inner.next_problems is not None:
            raise ValueError("these environments have a curriculum already: set their next_problems to None, or wrap others")
        if not inner.batch.settings.reads_gold:
            raise ValueError("a curriculum follows right and wrong answers, and these environments read no gold")
        of = problem_tasks(inner.batch.source)
        super().__init__(venv)
        self.tasks = np.unique(of)
        """(J,) the numbers of the tasks."""
        self.failures = np.ones(len(self.tasks))
        """(J,) the average share of wrong answers in each one's last episodes."""
        if missing := set(first) - set(self.tasks.tolist()):
            raise ValueError(f"first names the tasks {sorted(missing)}, there are {self.tasks.tolist()}")
        self.alone = np.isin(self.tasks, list(first))
        """(J,) which tasks are played alone now; none when these are solved."""
        self._members = [np.flatnonzero(of == task) for task in self.tasks]
        self._place = np.searchsorted(self.tasks, of)
        self._floor, self._window, self._rng = floor, window, rng(seed, CURRICULUM)
        self._inner = inner
        inner.next_problems = self.next_problems

    @property
    def shares(self) -> np.ndarray:
        """(J,) how often each task is played next; they sum to 1."""
        weights = self._floor + self.failures
        if self.alone.any():
            weights = weights * self.alone
        return weights / weights.sum()

    def next_problems(self, ended: np.ndarray) -> np.ndarray:
        """(N,) bool which episodes ended -> (N,) problems that follow them, -1 for the others."""
        chosen = np.full(len(ended), -1)
        drawn = self._rng.choice(len(self.tasks), size=int(ended.sum()), p=self.shares)
        chosen[ended] = [self._rng.choice(self._members[task]) for task in drawn]
        return chosen

    def go_on_from(self, other: TaskCurriculum) -> None:
        """Takes over what is known of the tasks that both have, as after a warm-up on easier problems of them."""
        shared = np.isin(self.tasks, other.tasks)
        there = np.searchsorted(other.tasks, self.tasks[shared])
        self.failures[shared], self.alone[shared] = other.failures[there], other.alone[there]

    def reset(self) -> Any:
        if not any(self._inner._options):  # nobody has asked for other problems
            chosen = self.next_problems(np.ones(self.num_envs, bool))
            self._inner.set_options([{"problem": int(problem)} for problem in chosen])
        return self.venv.reset()

    def step_wait(self) -> Any:
        result = self.venv.step_wait()
        dones, infos = result[2], result[3]
        for i in np.flatnonzero(dones).tolist():
            place = self._place[infos[i]["problem"]]
            self.failures[place] += (1.0 - infos[i]["is_success"] - self.failures[place]) / self._window
        if self.alone.any() and (self.failures[self.alone] < SOLVED).all():
            self.alone = np.zeros_like(self.alone)
        return result

    def get_state(self) -> dict[str, Any]:
        """The environments' state, the failures, and the generator's state."""
        own = {"failures": self.failures.copy(), "alone": self.alone.copy(), "generator": self._rng.bit_generator.state}
        return {"environments": self.venv.get_state(), **own}  # type: ignore[attr-defined]

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`."""
        self.venv.set_state(state["environments"])  # type: ignore[attr-defined]
        self.failures, self.alone = state["failures"].copy(), state["alone"].copy()
        self._rng.bit_generator.state = state["generator"]


def problem_tasks(source: Any) -> np.ndarray:
    """(P,) the task of each problem of a finite source with tasks.

    Raises:
        ValueError: it is endless, or has no tasks.
    """
    if source.num_problems is None or not hasattr(source, "tasks"):
        raise ValueError(f"a curriculum of tasks needs a finite source with tasks, {source.name} is none")
    if hasattr(source, "columns"):
        return source.columns().task
    if isinstance(source, ProceduralSource):
        return np.resize(source.tasks, source.num_problems)  # they take turns
    return np.array([source.problem(i).task for i in range(source.num_problems)])
