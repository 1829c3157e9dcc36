"""Process reward models on a Ray cluster: the rows of a batch of steps are scored by several actors at once.

    import ray
    from reasongym.adapters.ray import RayPRM
    ray.init(address="auto")
    env = gym.make_vec("ReasonGym-bAbI-v0", num_envs=4096, prm=RayPRM(LearnedPRM.load("runs/prm"), workers=8))

It pays where scoring a step costs more than sending it: language models and networks, not rules. The tables of distinct texts
behind a batch's indices go into the object store once and are read there by all actors; a step itself is a few hundred bytes.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reasongym.prm.base import ProcessRewardModel, Scores, StepBatch, carry_size, check_prm

TABLES = ("sentences", "questions", "choices", "sentence_tokens", "question_tokens", "span_text")
"""Columns that all steps of a batch share."""


class _Worker:
    """Holds the PRM on its node."""

    def __init__(self, prm: bytes) -> None:
        self._prm: ProcessRewardModel = pickle.loads(prm)  # not through the object store, whose arrays cannot be written

    def score(self, tables: dict[str, Any], columns: dict[str, Any]) -> np.ndarray | Scores:
        return self._prm.score(StepBatch(**tables, **columns))


class RayPRM:
    """A PRM whose scores are those of another, computed by actors.

    Args:
        prm: any that judges each step by itself; it is sent to the actors once, so nodes must be able to import its class.
        workers: actors.
        num_cpus, num_gpus: of each.
        least: steps below which an actor is not worth asking: smaller batches go to fewer actors.

    Raises:
        ImportError: Ray is missing; names the extra.
        ValueError: a PRM that keeps something from step to step (`carry_size`), or fewer than one worker.
    """

    def __init__(
        self, prm: ProcessRewardModel, workers: int = 2, *, num_cpus: float = 1, num_gpus: float = 0, least: int = 16
    ) -> None:
        check_prm(prm)
        if carry_size(prm):
            raise ValueError(
                f"{type(prm).__name__} keeps numbers from step to step of an episode, which actors do not share: score it here"
            )
        if workers < 1 or least < 1:
            raise ValueError(f"workers and least must be at least 1, got {workers} and {least}")
        self._ray = _ray()
        if not self._ray.is_initialized():
            self._ray.init(log_to_driver=False)
        self.criteria: tuple[str, ...] = tuple(prm.criteria)
        self.needs_annotation, self.version = prm.needs_annotation, prm.version
        self.default_beta: Mapping[str, float] = prm.default_beta
        self._least = least
        actor = self._ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_restarts=-1, max_task_retries=-1)(_Worker)
        packed = self._ray.cloudpickle.dumps(prm)
        self._workers = [actor.remote(packed) for _ in range(workers)]
        self._shared: tuple[tuple[int, ...], Any] | None = None

    def score(self, steps: StepBatch) -> np.ndarray | Scores:
        """(n, k) scores, in order; an actor whose node is lost is begun anew elsewhere, and asked again."""
        count = max(1, min(len(self._workers), len(steps) // self._least))
        tables = self._tables(steps)
        asked = [
            worker.score.remote(tables, _columns(steps.select(rows)))
            for worker, rows in zip(self._workers, np.array_split(np.arange(len(steps)), count), strict=False)
        ]
        parts = self._ray.get(asked)
        if isinstance(parts[0], Scores):
            return Scores(np.concatenate([part.values for part in parts]), np.concatenate([part.weights for part in parts]))
        return np.concatenate(parts)

    def close(self) -> None:
        """Ends the actors."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers = []

    def _tables(self, steps: StepBatch) -> Any:
        """The batch's tables in the object store; put there anew only when they have changed or grown."""
        tables = {name: getattr(steps, name) for name in TABLES}
        key = tuple(part for value in tables.values() for part in _identity(value))
        if self._shared is None or self._shared[0] != key:
            whole = {name: list(value) if isinstance(value, Sequence) else value for name, value in tables.items()}
            self._shared = key, (self._ray.put(whole), tables)  # the tables are held, or an id might come again
        return self._shared[1][0]


def _identity(table: Any) -> tuple[int, int]:
    """What tells a table from others, and from itself before it grew; of a method, whose it is."""
    owner = getattr(table, "__self__", table)
    return id(owner), len(owner) if isinstance(owner, (Sequence, np.ndarray)) else 0


def _columns(steps: StepBatch) -> dict[str, Any]:
    """What a batch has beside its tables."""
    return {name: value for name, value in vars(steps).items() if name not in TABLES and name != "carry"}


def _ray() -> Any:
    try:
        import ray
    except ImportError as missing:
        raise ImportError("scoring on a cluster needs Ray; run: pip install 'reasongym[ray]'") from missing
    return ray
