"""Rollouts on a Ray cluster: an agent plays problems, a slice of them in a task, and the steps come back as flat arrays.

    from agents.ray_rollouts import Rollouts, rollouts
    played = Rollouts.joined(rollouts(agent, "ReasonGym-bAbI-qa2-v0", range(10_000), address="auto"))
    played.success.mean(), played.rewards.sum() / len(played)

For whatever needs many steps of one policy: evaluations, replays, offline data, candidates for a judge. The agent goes into the
object store once, as its own `save` writes it, and is loaded for each slice; agent, problems, keywords and seed are all that a
slice depends on, so one that is played twice, because a node was lost, comes back the same.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.base import Agent, fitting, prepared
from reasongym.seeding import rng

SAVED = "agent.zip"
"""What an agent is saved as; those that write a folder write one of this name."""
Saved = tuple[tuple[str, bytes], ...]
"""Files by their path."""


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Episodes, one after another: episode e has the steps [first[e], first[e + 1]).

    Attributes:
        problems: (E,) int64.
        success: (E,) bool, answered right.
        first: (E + 1,) int64.
        observations: by key (S, ...), what each step was decided on; {} where they were not asked for.
        actions: (S,) int64.
        rewards: (S,) float32.
        terms: (S, criteria + 1) float32, the weighted terms that the rewards are sums of; the last is memory's.
    """

    problems: np.ndarray
    success: np.ndarray
    first: np.ndarray
    observations: dict[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    terms: np.ndarray

    def __len__(self) -> int:
        return len(self.problems)

    @staticmethod
    def joined(parts: Iterable[Rollouts]) -> Rollouts:
        """Those of several slices, in order.

        Raises:
            ValueError: there are none.
        """
        every = list(parts)
        if not every:
            raise ValueError("there are no rollouts to join: ask for at least one problem")
        before = np.cumsum([0, *(len(part.actions) for part in every)])
        firsts = [part.first[:-1] + start for part, start in zip(every, before, strict=False)]
        names = ("problems", "success", "actions", "rewards", "terms")
        return Rollouts(
            first=np.concatenate([*firsts, before[-1:]]),
            observations={key: np.concatenate([part.observations[key] for part in every]) for key in every[0].observations},
            **{name: np.concatenate([getattr(part, name) for part in every]) for name in names},
        )


def rollouts(
    agent: Agent,
    env_id: str,
    problems: Sequence[int] | range,
    *,
    split: str = "train",
    deterministic: bool = False,
    observations: bool = True,
    seed: int = 0,
    at_once: int = 200,
    address: str | None = None,
    in_flight: int = 0,
    num_cpus: float = 1,
    num_gpus: float = 0,
    retries: int = 20,
    device: str = "cpu",
    **keywords: Any,
) -> Iterator[Rollouts]:
    """Plays problems once each; yields them slice by slice, in their order, as they are done.

    Args:
        agent: any that `load`s what it `save`s; nodes must be able to import its class.
        env_id: a registered id.
        problems: indices of the split.
        split: whose.
        deterministic: the best action instead of a sample.
        observations: whether they come back too; without them a step is some fifty bytes.
        seed: of samples.
        at_once: problems of a slice, which are played side by side.
        address: of the cluster; None: the one that is connected, or else this machine alone.
        in_flight: slices that are played or wait to be fetched, at most, which bounds memory; 0: two for every CPU.
        num_cpus, num_gpus: of a task.
        retries: how often a slice is begun anew whose node is lost.
        device: where agents live.
        keywords: as for `gym.make_vec`.

    Raises:
        ImportError: Ray is missing; names the extra.
        ValueError: the agent is of other spaces, or `at_once` is below 1.
        IndexError: no such problem.
    """
    if at_once < 1:
        raise ValueError(f"at_once must be at least 1, got {at_once}")
    fitting(agent, env_id, 1, split=split, **keywords).close()  # refused here rather than in a task
    ray = _ray()
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=retries)(_play)
    saved, chosen = ray.put(_packed(agent)), np.asarray(problems, np.int64)
    how = {"split": split, "deterministic": deterministic, "observations": observations, "device": device}
    most = in_flight or max(2, 2 * int(ray.cluster_resources().get("CPU", 1)))
    flying: deque[Any] = deque()
    try:
        for number, lo in enumerate(range(0, len(chosen), at_once)):
            if len(flying) >= most:
                yield _fetched(ray, flying.popleft())
            flying.append(task.remote(type(agent), saved, env_id, chosen[lo : lo + at_once], (seed, number), how, keywords))
        while flying:
            yield _fetched(ray, flying.popleft())
    finally:
        for one in flying:
            ray.cancel(one, force=True)


def _fetched(ray: Any, one: Any) -> Rollouts:
    """A slice; what its task raised is raised as it was."""
    try:
        return ray.get(one)
    except ray.exceptions.RayTaskError as error:
        raise getattr(error, "cause", None) or error from None


def _play(
    kind: type,
    saved: Saved,
    env_id: str,
    problems: np.ndarray,
    seed: tuple[int, int],
    how: dict[str, Any],
    keywords: dict[str, Any],
) -> Rollouts:
    """The task: one slice."""
    import torch

    torch.set_num_threads(1)
    agent = _loaded(kind, saved, how["device"])
    inner = fitting(agent, env_id, len(problems), split=how["split"], **keywords)
    try:
        env = prepared(agent, inner)
        torch.manual_seed(int(rng(*seed).integers(1 << 62)))  # last: loading an agent may seed, too
        inner.set_options([{"problem": int(problem)} for problem in problems])
        return _played(agent, env, inner, problems, how["deterministic"], how["observations"])
    finally:
        inner.close()


def _played(agent: Any, env: Any, inner: Any, problems: np.ndarray, deterministic: bool, observations: bool) -> Rollouts:
    """One episode of each environment, which are at the beginning of their problems."""
    names = (*inner.batch.settings.criteria, "memory")
    observation, state = env.reset(), None
    start, playing = np.ones(len(problems), bool), np.ones(len(problems), bool)
    success = np.zeros(len(problems), bool)
    steps: list[tuple[np.ndarray, ...]] = []
    seen: list[dict[str, np.ndarray]] = []
    while playing.any():
        rows = np.flatnonzero(playing)
        if observations:
            seen.append({key: value[rows].copy() for key, value in observation.items()})
        actions, state = agent.act(observation, state, start, deterministic)
        observation, rewards, start, infos = env.step(actions)
        terms = inner.batch.result.terms[rows].copy()
        for place, i in enumerate(rows):
            if start[i]:
                success[i] = infos[i]["is_success"]
                terms[place] = [infos[i]["reward_terms"][name] for name in names]
        steps.append((rows, actions[rows], rewards[rows], terms))
        playing &= ~start
    which = np.concatenate([rows for rows, *_ in steps])
    order = np.argsort(which, kind="stable")  # by episode, then by time
    actions, rewards, terms = (np.concatenate([step[k] for step in steps])[order] for k in (1, 2, 3))
    first = np.r_[0, np.cumsum(np.bincount(which, minlength=len(problems)))]
    shown = {key: np.concatenate([one[key] for one in seen])[order] for key in (seen[0] if seen else ())}
    return Rollouts(problems, success, first, shown, actions, rewards, terms)


def _packed(agent: Agent) -> Saved:
    """What an agent saves."""
    with tempfile.TemporaryDirectory(prefix="reasongym-") as place:
        agent.save(Path(place) / SAVED)
        files = sorted(path for path in Path(place).rglob("*") if path.is_file())
        return tuple((str(path.relative_to(place)), path.read_bytes()) for path in files)


def _loaded(kind: Any, saved: Saved, device: str) -> Any:
    """The agent that was saved: anew for every slice, since what it remembers of the last one is not to matter."""
    with tempfile.TemporaryDirectory(prefix="reasongym-") as place:
        for name, content in saved:
            path = Path(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return kind.load(Path(place) / SAVED, device=device)


def _ray() -> Any:
    try:
        import ray
    except ImportError as missing:
        raise ImportError("rollouts on a cluster need Ray; run: pip install 'reasongym[ray]'") from missing
    return ray
