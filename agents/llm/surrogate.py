"""The loss of turn-level PPO, and what it needs beside the model: hyper-parameters, a value head, a reference."""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.llm.turns import Turns, likelihood, per_turn
from agents.ranges import check_not_negative, check_positive, check_shares, check_whole


@dataclass(frozen=True)
class PPOSettings:
    """Hyper-parameters.

    Attributes:
        n_steps: turns of each environment in a rollout.
        n_epochs, batch_size: passes over a rollout, and turns in an update.
        learning_rate: of the model; `value_learning_rate` of the value head.
        gamma, gae_lambda: discount and trace decay, per turn.
        clip_range: of the ratio, token by token.
        ent_coef, vf_coef, kl_coef: weights of entropy, value loss and divergence from the reference.
        target_kl: an epoch that moves the policy further than this ends the rollout's updates; 0: never.
        max_grad_norm: clip of the gradient.
        value_rollouts: rollouts at the beginning in which the value head alone is trained.
        warmup_rollouts: rollouts after them over which the model's learning rate rises: Adam's first steps are its boldest.
        temperature: that commands are sampled with, and that ratios are taken at.
    """

    n_steps: int = 16
    n_epochs: int = 4
    batch_size: int = 128
    learning_rate: float = 1e-4
    value_learning_rate: float = 3e-3
    gamma: float = 0.97
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    kl_coef: float = 0.01
    target_kl: float = 0.0
    max_grad_norm: float = 1.0
    value_rollouts: int = 1
    warmup_rollouts: int = 8
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_whole(self, 1, "n_steps", "n_epochs", "batch_size")
        check_whole(self, 0, "value_rollouts", "warmup_rollouts")
        check_not_negative(self, "learning_rate", "value_learning_rate", "ent_coef", "vf_coef", "kl_coef", "target_kl")
        check_shares(self, "gamma", "gae_lambda")
        check_positive(self, "clip_range", "max_grad_norm", "temperature")


class ValueHead(nn.Module):
    """(B, H) hidden states to (B,) values; it begins at 0."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.Tanh(), last)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layers(hidden.float())[..., 0]


def ppo_loss(
    model: Any,
    value_head: ValueHead,
    turns: Turns,
    advantages: Tensor,
    returns: Tensor,
    reference: Tensor | None,
    s: PPOSettings,
    values_only: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of B turns: clipped surrogate (Schulman et al. 2017, eq. 7), value, entropy and divergence.

    Args:
        turns: B of them, C tokens the longest reply.
        advantages, returns: (B,).
        reference: (B, at least C) log-probabilities of the replies by the reference; None: no divergence.
        values_only: only the value head's loss, which does not reach the model then.
    """
    with torch.set_grad_enabled(not values_only):
        now = likelihood(model, turns, s.temperature)
    values = value_head(now.hidden)
    value_loss = 0.5 * (values - returns).square().mean()
    free, chose = turns.free, turns.free.any(1)
    change = now.log_probs - turns.log_probs
    ratio = change.exp()
    gain = torch.minimum(ratio * advantages[:, None], ratio.clamp(1 - s.clip_range, 1 + s.clip_range) * advantages[:, None])
    choices = chose.sum().clamp(min=1)
    policy_loss = -per_turn(gain, free).sum() / choices
    entropy = per_turn(now.entropy, free).sum() / choices
    divergence = torch.zeros_like(entropy)
    if reference is not None:
        behind = reference[:, : free.shape[1]] - now.log_probs
        divergence = per_turn(behind.exp() - behind - 1, free).sum() / choices  # Schulman's k3: unbiased, never negative
    loss = s.vf_coef * value_loss
    if not values_only:
        loss = loss + policy_loss - s.ent_coef * entropy + s.kl_coef * divergence
    with torch.no_grad():
        clipped = (((ratio - 1).abs() > s.clip_range) & free).sum() / free.sum().clamp(min=1)
        approx_kl = per_turn(ratio - 1 - change, free).sum() / choices
    row = {
        "policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy, "kl": divergence, "clipped": clipped,
        "approx_kl": approx_kl,
    }  # fmt: skip
    return loss, {name: value.item() for name, value in row.items()}


class Reference:
    """The policy as it was at the beginning: a frozen copy, or of a model with adapters the model without them."""

    def __init__(self, model: Any, given: Any, needed: bool) -> None:
        self._adapted = given is None and hasattr(model, "disable_adapter")
        whole = model if given is None else given
        self._model = whole if self._adapted or not needed else copy.deepcopy(whole).eval().requires_grad_(False)

    @contextmanager
    def model(self) -> Any:
        """The model to ask."""
        training = self._model.training
        with self._model.disable_adapter() if self._adapted else nullcontext():
            self._model.eval()
            try:
                yield self._model
            finally:
                self._model.train(training)


def without_dropout(model: Any) -> None:
    """Switches dropout off for good: old and new probabilities of a reply must be those of one policy."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
