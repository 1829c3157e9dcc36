"""What one iteration of on-policy training collected, as tensors on one device, and the advantages computed from it.

Axes: T time (n_steps), N environments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from agents.frames import Frames, Observation
from agents.memory import State
from agents.policy import MemoryPolicy


def gae(
    rewards: Tensor, values: Tensor, starts: Tensor, last_values: Tensor, last_starts: Tensor, gamma: float, lam: float
) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16).

    Args:
        rewards: (T, N); where an episode was cut short by a time limit, `gamma` times the value of the state it was cut
            in is already added (its terminal observation is not part of the rollout).
        values: (T, N) critic.
        starts: (T, N) bool, whether step t is the first of an episode.
        last_values: (N,) value of the observation after the last step.
        last_starts: (N,) bool, whether that observation begins an episode.
        gamma, lam: discount and trace decay.

    Returns:
        (T, N) advantages; advantages + values are the critic's targets.
    """
    advantages = torch.empty_like(rewards)
    running = torch.zeros_like(last_values)
    next_values, next_starts = last_values, last_starts
    for t in reversed(range(len(rewards))):
        goes_on = (~next_starts).to(rewards.dtype)
        delta = rewards[t] + gamma * next_values * goes_on - values[t]
        running = delta + gamma * lam * goes_on * running
        advantages[t] = running
        next_values, next_starts = values[t], starts[t]
    return advantages


class Minibatch(NamedTuple):
    """A part of a rollout: t * b frames, time first (t = 1 for a core without memory).

    Attributes:
        frames: prepared observations, t * b.
        state: the cores' state before the first step, b rows.
        reset: (t, b) bool.
        actions, log_probs, values, advantages, returns, gold, best: (t * b,).
    """

    frames: Frames
    state: State
    reset: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    gold: Tensor
    best: Tensor


class Rollout:
    """n_steps of N environments.

    Args:
        n_steps, num_envs: T and N.
        device: where everything is kept.
    """

    def __init__(self, n_steps: int, num_envs: int, device: torch.device) -> None:
        self.n_steps, self.num_envs, self.device = n_steps, num_envs, device
        shape = (n_steps, num_envs)
        self.observations: Observation = {}
        self.actions = torch.zeros(shape, dtype=torch.long, device=device)
        self.log_probs, self.values, self.rewards, self.advantages = (torch.zeros(shape, device=device) for _ in range(4))
        self.starts = torch.zeros(shape, dtype=torch.bool, device=device)
        self.gold = torch.full(shape, -1, dtype=torch.long, device=device)
        self.best = torch.full(shape, -1, dtype=torch.long, device=device)
        self.state: State = ()
        self.frames: Frames | None = None

    def begin(self, state: State) -> None:
        """Start over; `state` is the cores' state before the first step."""
        self.state, self.frames = state, None

    def put_observation(self, t: int, observation: Observation) -> None:
        """Copy the observations of step t in, as the network read them."""
        if not self.observations:
            self.observations = {
                key: torch.empty((self.n_steps, *value.shape), dtype=value.dtype, device=self.device)
                for key, value in observation.items()
            }
        for key, value in observation.items():
            self.observations[key][t].copy_(value)

    def finish(self, policy: MemoryPolicy, last_values: Tensor, last_starts: Tensor, gamma: float, gae_lambda: float) -> None:
        """Compute advantages and prepare the observations for `minibatches`."""
        self.advantages = gae(self.rewards, self.values, self.starts, last_values, last_starts, gamma, gae_lambda)
        self.frames = policy.prepare({key: value.flatten(0, 1) for key, value in self.observations.items()})

    @property
    def returns(self) -> Tensor:
        """(T, N) targets of the critic."""
        return self.advantages + self.values

    def minibatches(self, batch_size: int, by_columns: bool) -> Iterator[Minibatch]:
        """Every frame once, in random order, in parts of about `batch_size` frames.

        A part is whole columns (environments over all T steps), as a recurrent core needs it, or single frames.
        """
        T, N = self.n_steps, self.num_envs
        if not by_columns:
            for part in torch.randperm(T * N, device=self.device).split(min(batch_size, T * N)):
                reset = torch.zeros(1, len(part), dtype=torch.bool, device=self.device)
                yield self._minibatch(part, (), reset)
            return
        steps = torch.arange(T, device=self.device)[:, None] * N
        for columns in torch.randperm(N, device=self.device).split(max(1, min(N, batch_size // T))):
            state = tuple(s[columns] for s in self.state)
            yield self._minibatch((steps + columns).flatten(), state, self.starts[:, columns])

    def _minibatch(self, index: Tensor, state: State, reset: Tensor) -> Minibatch:
        assert self.frames is not None, "finish() comes before minibatches()"
        columns = (self.actions, self.log_probs, self.values, self.advantages, self.returns, self.gold, self.best)
        return Minibatch(self.frames.take(index), state, reset, *(column.flatten()[index] for column in columns))
