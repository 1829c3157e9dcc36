"""N environments in lock-step, each one episode: by actions that are given, by the policy, or first so, then so.

Axes: N environments, T steps of an episode, K slots, U units a slot, k criteria.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from agents.distributions import sample
from agents.frames import as_tensors
from agents.policy import MemoryPolicy


class Thought(NamedTuple):
    """What a player makes of some situations, R of them in N environments.

    Attributes:
        read: by key (R, ...), what it read there.
        actions: (R,) what it would do.
        values: (R,) what it expects to earn; () where they were not wanted.
        states: of its memory before the step, each (N, ...); () without one.
    """

    read: dict[str, np.ndarray]
    actions: np.ndarray
    values: np.ndarray
    states: tuple[np.ndarray, ...]


class Player(Protocol):
    """Whoever plays.

    Attributes:
        stateful: whether it must see every situation, those included in which it is told what to do.
    """

    @property
    def stateful(self) -> bool: ...

    def begin(self, env: Any) -> None:
        """New episodes begin in these environments."""
        ...

    def think(self, observation: Any, begins: np.ndarray, rows: np.ndarray, deterministic: bool, keep: bool) -> Thought:
        """Of the situations `rows` (R,) of the N environments; `begins` (N,) says where an episode begins, `keep` whether
        values and states are wanted."""
        ...

    def acted(self, actions: np.ndarray) -> None:
        """(N,) what is done in all environments, told before it is done."""
        ...

    def propose(self, read: dict[str, np.ndarray], states: tuple[np.ndarray, ...], most: int) -> list[np.ndarray]:
        """For each of G situations at most so many distinct legal actions, drawn by their probability."""
        ...


class PolicyPlayer:
    """A memory policy as a `Player`."""

    def __init__(self, policy: MemoryPolicy) -> None:
        self.policy = policy

    @property
    def stateful(self) -> bool:
        return self.policy.recurrent or self.policy.slots is not None

    def begin(self, env: Any) -> None:
        self.policy.set_training_mode(False)
        self._state = self.policy.initial_state(env.num_envs)

    def think(self, observation: Any, begins: np.ndarray, rows: np.ndarray, deterministic: bool, keep: bool) -> Thought:
        device, before = self.policy.device, self._state
        seen = as_tensors({key: value[rows] for key, value in observation.items()}, device)
        with torch.no_grad():
            step = self.policy(seen, before, torch.as_tensor(begins[rows], device=device))
            actions = step.log_probs.argmax(1) if deterministic else sample(step.log_probs)
        read = {key: value.cpu().numpy() for key, value in step.observation.items()}
        if self.stateful:
            self._state = step.state
        states: tuple[np.ndarray, ...] = ()
        if keep:
            count = 0 if self.policy.slots is None else self.policy.slots.num_tensors
            states = tuple(state.cpu().numpy() for state in before[count:])  # of episodes that begin they are zeros already
        return Thought(read, actions.cpu().numpy(), step.values.cpu().numpy() if keep else np.zeros(0), states)

    def acted(self, actions: np.ndarray) -> None:
        """It sees what was done in the next observation."""

    def propose(self, read: dict[str, np.ndarray], states: tuple[np.ndarray, ...], most: int) -> list[np.ndarray]:
        """Without replacement: Gumbel's noise, the top ones."""
        device, count = self.policy.device, len(read["action_mask"])
        state = tuple(torch.as_tensor(s, device=device) for s in states)
        with torch.no_grad():
            reset = torch.zeros(1, count, dtype=torch.bool, device=device)
            log_probs, _, _ = self.policy.evaluate(self.policy.prepare(as_tensors(read, device)), state, reset)
            noise = -torch.empty_like(log_probs).exponential_().log()
        order = (log_probs + noise).argsort(1, descending=True)[:, :most].cpu().numpy()
        legal = read["action_mask"].astype(bool)
        return [row[legal[g, row]] for g, row in enumerate(order)]


class Part(NamedTuple):
    """One episode of a chunk; `read`, `states` and `values` are empty unless they were to be kept."""

    actions: np.ndarray
    memory: np.ndarray
    scores: np.ndarray
    answer: str | None
    right: bool
    read: dict[str, np.ndarray]
    states: tuple[np.ndarray, ...]
    values: np.ndarray


class Chunk:
    """Up to N problems, played in lock-step; environments that have ended play on, unrecorded."""

    def __init__(
        self, player: Player, env: Any, problems: np.ndarray, forced: list[np.ndarray], judge: Any, keep: bool,
        deterministic: bool,
    ) -> None:  # fmt: skip
        n = env.num_envs
        self.player, self.env, self.judge, self.keep, self.deterministic = player, env, judge, keep, deterministic
        env.set_options([{"problem": int(problem)} for problem in np.resize(problems, n)])
        self.observation: Any = env.reset()
        self.playing = np.arange(n) < len(problems)
        self.lengths = np.array([len(actions) for actions in forced] + [0] * (n - len(forced)))
        self.forced = np.zeros((n, int(self.lengths.max()) + 1), np.int64)
        for row, actions in zip(self.forced, forced, strict=False):
            row[: len(actions)] = actions
        player.begin(env)
        self.begins = np.ones(n, bool)
        self.steps: list[dict[str, np.ndarray]] = []
        self.reads: list[tuple[dict[str, np.ndarray], tuple[np.ndarray, ...], np.ndarray]] = []
        self.ends: list[tuple[str | None, bool]] = [(None, False)] * n

    def step(self) -> None:
        """One step of all environments."""
        n, t, batch = len(self.playing), len(self.steps), self.env.batch
        told = t < self.lengths
        actions = np.where(told, self.forced[:, min(t, self.forced.shape[1] - 1)], self.observation["action_mask"].argmax(1))
        rows = np.arange(n) if self.player.stateful else np.flatnonzero(self.playing & (self.keep | ~told))
        if len(rows):
            thought = self.player.think(self.observation, self.begins, rows, self.deterministic, self.keep)
            mine = self.playing[rows] & ~told[rows]
            actions[rows[mine]] = thought.actions[mine]
            if self.keep:
                read, values = spread(thought.read, rows, n), spread({"values": thought.values}, rows, n)["values"]
                self.reads.append((read, thought.states, values))
        self.player.acted(actions)
        held = batch.memory.held["unit"].astype(np.int16)
        self.observation, _, dones, infos = self.env.step(actions)
        scores = np.full((n, self.env.scores.shape[1] + 1), np.nan, np.float32)
        scores[:, :-1] = self.env.scores
        if not batch.settings.reads_gold:
            scores[:, batch.settings.criteria.index("outcome")] = np.nan
        if self.judge is not None and self.keep and len(rows):
            scores[rows, -1] = self.judge.probability(thought.read, actions[rows])
        self.steps.append({"actions": actions, "memory": held, "scores": scores})
        for i in np.flatnonzero(dones & self.playing).tolist():
            self.ends[i] = (infos[i].get("answer"), bool(infos[i].get("is_success", False)))
            if t + 1 < self.lengths[i]:
                raise ValueError(
                    f"{self.lengths[i]} actions were recorded, but the episode ends after {t + 1}: they are of another problem"
                )
            self.lengths[i] = -t - 1  # ended: its length, negative
        self.playing &= ~dones
        self.begins = dones

    def part(self, i: int) -> Part:
        """What environment i played."""
        length = -int(self.lengths[i])
        columns = {name: np.stack([step[name][i] for step in self.steps[:length]]) for name in self.steps[0]}
        kept = self.reads[:length]
        read = {key: np.stack([r[key][i] for r, _, _ in kept]) for key in kept[0][0]} if kept else {}
        states = tuple(np.stack(tensors) for tensors in zip(*[[s[i] for s in found] for _, found, _ in kept], strict=True))
        values = np.array([v[i] for _, _, v in kept], np.float32)
        return Part(
            columns["actions"].astype(np.int32), columns["memory"], columns["scores"], *self.ends[i], read, states, values
        )


def spread(parts: dict[str, np.ndarray], rows: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Arrays of some environments as arrays of all n, zeros elsewhere."""
    if len(rows) == n:
        return parts
    out = {}
    for key, value in parts.items():
        out[key] = np.zeros((n, *value.shape[1:]), value.dtype)
        out[key][rows] = value
    return out
