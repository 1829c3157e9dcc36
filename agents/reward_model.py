"""A reward model learned from comparisons of episodes, and those who compare (Christiano et al. 2017, arXiv 1706.03741).

The model reads how an episode ended: question, memory and chain in front of the last action, and that action. It has one score
for each coarse quality (`QUALITIES`), apart from one another, each fitted by the model of Bradley and Terry (1952):

    P(first is preferred to second) = sigmoid(score(first) - score(second))

Annotators are simulated. They know support and gold, judge the whole episode at once, may err, and are paid by the label.

Axes: E episodes, P pairs of episodes of the same problem, Q qualities.
"""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from agents.encoders import as_tensors
from agents.policy import MemoryPolicy
from agents.ppo import MemoryPPO
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.seeding import rng

QUALITIES = ("useful", "harmful")
"""What annotators judge: whether the question was answered; answers without evidence, and acts that do not serve it."""
HELD_OUT = 0.2
"""Share of the pairs that is not trained on."""
PATIENCE = 5
"""Epochs without a better loss on the watched tenth of the training pairs, after which fitting ends."""
BITS = math.log2(3)
"""Most that a label tells: first, second, or no difference."""


class Ends(NamedTuple):
    """How E episodes ended.

    Attributes:
        observations: in front of the last action, by key, (E, ...).
        actions: (E,) int64, the last one.
        judged: (E, Q) float64, what an annotator who makes no mistake thinks of each.
        steps: frames played to get them.
    """

    observations: dict[str, np.ndarray]
    actions: np.ndarray
    judged: np.ndarray
    steps: int


def play_pairs(model: MemoryPPO, env: VecEnv, problems: np.ndarray) -> Ends:
    """Plays each problem twice with a model's own exploration.

    Args:
        model: who plays.
        env: an even number of environments with `prm="annotated"`: annotators judge by what it knows.
        problems: (P,) indices.

    Returns:
        E = 2P episodes; e and e + P are of the same problem.

    Raises:
        ValueError: the environments score no `goal` and `coherence` from annotation.
    """
    inner: Any = env.unwrapped
    batch = inner.batch
    if not (isinstance(inner, ReasonGymVecEnv) and batch.settings.compiled_prm):
        raise ValueError("annotators judge by support and gold: make the environments with prm='annotated'")
    columns = [batch.settings.criteria.index(name) for name in ("goal", "coherence")]
    wanted = np.concatenate([problems, problems])
    order = np.arange(len(wanted)).reshape(2, -1).T.flatten()  # both episodes of a problem are played in the same chunk
    ends: dict[str, list[Any]] = {"observation": [], "action": [], "judged": []}
    steps = 0
    for begin in range(0, len(order), env.num_envs):
        rows = order[begin : begin + env.num_envs]
        chunk = _play(model, env, batch, columns, np.resize(wanted[rows], env.num_envs), len(rows))
        steps += chunk.steps
        ends["observation"].append(chunk.observations)
        ends["action"].append(chunk.actions)
        ends["judged"].append(chunk.judged)
    back = np.argsort(order)
    observations = {key: np.concatenate([o[key] for o in ends["observation"]])[back] for key in ends["observation"][0]}
    return Ends(observations, np.concatenate(ends["action"])[back], np.concatenate(ends["judged"])[back], steps)


def _play(model: MemoryPPO, env: VecEnv, batch: Any, columns: list[int], problems: np.ndarray, count: int) -> Ends:
    """One episode an environment, of which the first `count` are returned."""
    n = env.num_envs
    env.set_options([{"problem": int(problem)} for problem in problems])
    observation: Any = env.reset()
    state: Any = None
    start, playing = np.ones(n, bool), np.ones(n, bool)
    last = {key: value.copy() for key, value in observation.items()}
    actions, judged, steps = np.zeros(n, np.int64), np.zeros((n, len(QUALITIES))), 0
    while playing[:count].any():
        chosen, state = model.predict(observation, state=state, episode_start=start, deterministic=False)
        for key, value in observation.items():
            last[key][playing] = value[playing]
        actions[playing] = chosen[playing]
        observation, _, start, infos = env.step(chosen)
        steps += count
        astray = (batch.result.scores[:, columns] < 0).any(1) & playing & ~start
        judged[astray, 1] += 1 / batch.shapes.chain_length
        for i in np.flatnonzero(start & playing).tolist():
            judged[i, 0] = infos[i]["is_success"]
            judged[i, 1] += infos[i]["evidence_recall"] < 1  # NaN, where nothing needs evidence, is no offence
        playing &= ~start
    return Ends({key: value[:count] for key, value in last.items()}, actions[:count], judged[:count], steps)


class Annotators:
    """Simulated annotators.

    Args:
        budget: labels they may be paid for; None: as many as are asked for.
        error: probability that a label is not what its annotator ought to have said: the other episode, and either one (by
            the toss of a coin) where there is no difference.
        seed: of their mistakes.
    """

    def __init__(self, budget: int | None = 1_000, error: float = 0.1, seed: int = 0) -> None:
        if budget is not None and budget < 0:
            raise ValueError(f"a budget of labels must not be negative, got {budget!r}")
        if not 0 <= error <= 0.5:
            raise ValueError(f"error must lie in [0, 0.5], got {error!r}")
        self.budget, self.error, self.labels = budget, error, 0
        self._draw = rng(seed, 7)

    @property
    def left(self) -> float:
        """Labels that can still be paid for."""
        return math.inf if self.budget is None else self.budget - self.labels

    @property
    def label_bits(self) -> float:
        """The most that all labels so far told."""
        return self.labels * BITS

    def compare(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Labels pairs of qualities (P, Q): 1 the first has more of it, 0 the second, 0.5 no difference; (P, Q) float64.

        Raises:
            ValueError: that would exceed the budget.
        """
        if first.size > self.left:
            raise ValueError(f"{first.size} labels were asked for, and {self.left:.0f} of {self.budget} are left")
        self.labels += first.size
        said = np.where(first > second, 1.0, np.where(first < second, 0.0, 0.5))
        wrong = np.where(said == 0.5, self._draw.integers(0, 2, first.shape), 1 - said)
        return np.where(self._draw.random(first.shape) < self.error, wrong, said)


def bradley_terry_loss(margin: Tensor, preference: Tensor) -> Tensor:
    """Mean cross-entropy (nats) of preferences in [0, 1] under P = sigmoid(margin); both of one shape (Christiano, eq. 1)."""
    return F.binary_cross_entropy_with_logits(margin, preference)


class Fit(NamedTuple):
    """How well a reward model was fitted.

    Attributes:
        accuracy: by quality, share of held-out pairs with a preference whose order it gives; NaN where there are none.
        pairs: trained on.
        held_out: pairs that accuracy was looked up in (each may lack a preference).
        epochs: passes.
    """

    accuracy: dict[str, float]
    pairs: int
    held_out: int
    epochs: int


class RewardModel(nn.Module):
    """Scores (E, Q) of how episodes ended.

    It begins as a copy of a policy's encoder, body and heads, as reward models begin as copies of the language model that
    was fine-tuned (Ouyang et al. 2022, arXiv 2203.02155): the score of an action is its logit. Cores are left out.

    Args:
        model: whose policy is copied where it has no recurrent core; else one of its shape is made. It lives on its device.

    Raises:
        ValueError: the policy does not read ReasonGym's observation.
    """

    def __init__(self, model: MemoryPPO) -> None:
        super().__init__()
        policy: Any = model.policy
        if not policy.reads:
            raise ValueError("a reward model reads ReasonGym's observation: this policy's encoder is 'flat'")
        if policy.recurrent:
            keywords = {**model.policy_kwargs, "core": "none"}
            plain = MemoryPolicy(model.observation_space, model.action_space, model.lr_schedule, **keywords).to(model.device)
            plain.encoder.load_state_dict(policy.encoder.state_dict())
            policy = plain
        self.encoder = copy.deepcopy(policy.encoder)
        self.bodies = nn.ModuleList(copy.deepcopy(policy.bodies[0]) for _ in QUALITIES)
        self.heads = nn.ModuleList(copy.deepcopy(policy.actor) for _ in QUALITIES)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(len(QUALITIES)))
        self.register_buffer("std", torch.ones(len(QUALITIES)))
        self.to(model.device)

    def forward(self, observation: dict[str, Tensor], actions: Tensor) -> Tensor:
        """Observations (E, ...) and last actions (E,) int64 -> scores (E, Q)."""
        frames = self.encoder.prepare(observation)
        features = self.encoder(frames)
        words = self.encoder.sentences.words
        scores = [
            head(body(features.vector, features), features, frames, words).gather(1, actions[:, None])
            for body, head in zip(self.bodies, self.heads, strict=True)
        ]
        return torch.cat(scores, 1)

    def reward(self, observations: dict[str, np.ndarray], actions: np.ndarray, harm: float = 1.0) -> np.ndarray:
        """(E,) usefulness less `harm` times harmfulness, each with mean 0 and deviation 1 over the episodes compared."""
        with torch.no_grad():
            scores = (self(*self._tensors(observations, actions)) - self.mean) / self.std
        return (scores[:, 0] - harm * scores[:, 1]).cpu().numpy()

    def fit(
        self, ends: Ends, labels: np.ndarray, seed: int = 0, epochs: int = 40, batch_size: int = 64, learning_rate: float = 5e-4
    ) -> Fit:
        """Fits the scores to labelled pairs, until the watched pairs' loss grows; the best parameters are kept.

        Args:
            ends: E = 2P episodes, e and e + P of the same problem.
            labels: (P, Q) in [0, 1].
            seed: of the split and the order.
            epochs: at most.
            batch_size: pairs.
            learning_rate: Adam's.

        Raises:
            ValueError: fewer than ten pairs, or another number of episodes.
        """
        pairs = len(labels)
        if pairs < 10 or len(ends.actions) != 2 * pairs:
            raise ValueError(
                f"expected at least ten labelled pairs and twice as many episodes, got {pairs} and {len(ends.actions)}"
            )
        order = torch.as_tensor(rng(seed, 8).permutation(pairs))
        held = max(1, int(HELD_OUT * pairs))
        watched = max(1, (pairs - held) // 10)
        device = self.mean.device
        said = torch.as_tensor(labels, dtype=torch.float32, device=device)
        held_out, watch, train = order[:held], order[held : held + watched], order[held + watched :]
        optimizer = torch.optim.AdamW(self.parameters(), lr=learning_rate, weight_decay=0.1)
        generator = torch.Generator().manual_seed(seed)
        best, kept, stale, passed = math.inf, copy.deepcopy(self.state_dict()), 0, 0
        while stale < PATIENCE and passed < epochs:
            for part in train[torch.randperm(len(train), generator=generator)].split(batch_size):
                optimizer.zero_grad()
                bradley_terry_loss(self.margins(ends, part), said[part]).backward()
                nn.utils.clip_grad_norm_(self.parameters(), 1.0)
                optimizer.step()
            passed += 1
            with torch.no_grad():
                loss = bradley_terry_loss(self.margins(ends, watch), said[watch]).item()
            stale += 1
            if loss < best:
                best, kept, stale = loss, copy.deepcopy(self.state_dict()), 0
        self.load_state_dict(kept)
        with torch.no_grad():
            scores = torch.cat([self(*self._tensors(ends.observations, ends.actions, part)) for part in _all(2 * pairs)])
            margins = scores[held_out] - scores[held_out + pairs]
        self.mean.copy_(scores.mean(0))
        self.std.copy_(scores.std(0).clamp(min=1e-3))
        return Fit(pair_accuracy(margins.cpu().numpy(), labels[held_out.numpy()]), len(train) + watched, held, passed)

    def margins(self, ends: Ends, pairs: Tensor) -> Tensor:
        """(p, Q) scores of first episodes less those of second ones, of some pairs (p,)."""
        both = torch.cat([pairs, pairs + len(ends.actions) // 2])
        first, second = self(*self._tensors(ends.observations, ends.actions, both)).chunk(2)
        return first - second

    def _tensors(self, observations: Any, actions: np.ndarray, rows: Tensor | None = None) -> tuple[Any, Tensor]:
        index = slice(None) if rows is None else rows.numpy()
        device = self.mean.device
        taken = {key: value[index] for key, value in observations.items()}
        return as_tensors(taken, device), torch.as_tensor(actions[index], device=device)


def _all(count: int) -> tuple[Tensor, ...]:
    """0 ... count - 1 in parts that fit into memory."""
    return torch.arange(count).split(1024)


def pair_accuracy(margins: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """By quality, the share of pairs with a preference (label 0 or 1) whose margin has its sign; a margin of 0 counts half.

    Args:
        margins: (P, Q).
        labels: (P, Q) in {0, 0.5, 1}.
    """
    out = {}
    for q, name in enumerate(QUALITIES):
        strict = labels[:, q] != 0.5
        wanted = labels[strict, q] * 2 - 1
        right = np.sign(margins[strict, q]) * wanted
        out[name] = float((right + 1).mean() / 2) if strict.any() else math.nan
    return out
