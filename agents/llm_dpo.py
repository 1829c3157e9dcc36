"""Step-wise DPO for language models (Lai et al. 2024, arXiv 2406.18629): pairs of commands after the same situation.

At the situations of an episode several commands are drawn from the policy; each is tried for one step from the same state,
and what the process rewards say of it, criterion by criterion, makes a group. A Pareto pair (`reasongym.prm.tree.pareto`) is a
command that none of its group dominates and one that it dominates on every criterion; nothing is summed up.

    from agents.llm_dpo import candidates, learn_pairs, pairs_of
    found = candidates(trainer, rounds=16, most=4)
    chosen, report = pairs_of(found)
    learn_pairs(trainer, chosen)

Axes: P pairs, M candidates at one situation, k criteria.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.llm.sampling import Reply
from agents.llm.turns import gathered, likelihood
from agents.llm_ppo import LLMPPO
from agents.self_reward.candidates import KINDS_OF_PAIRS
from agents.self_reward.updates import dpo_loss
from reasongym.errors import unknown
from reasongym.prm.tree.pareto import Group, Report, pareto_pairs
from reasongym.seeding import rng


@dataclass(frozen=True)
class Situation:
    """What may be said in one situation, and what that brings.

    Attributes:
        prompt: token ids.
        replies: M distinct ones, M at least 2.
        commands: as they were read.
        scores: (M, k) raw scores of the step, NaN = unscored.
        problem: which problem is played.
    """

    prompt: list[int]
    replies: list[Reply]
    commands: list[str]
    scores: np.ndarray
    problem: int


class Found(NamedTuple):
    """Situations with candidates; `criteria` names the columns of their scores, `steps` counts the steps that were tried."""

    situations: list[Situation]
    criteria: tuple[str, ...]
    steps: int


class Preference(NamedTuple):
    """A chosen and a rejected reply to one prompt."""

    prompt: list[int]
    chosen: Reply
    rejected: Reply


def candidates(trainer: LLMPPO, rounds: int, most: int = 4) -> Found:
    """Plays `rounds` turns of the training environments from fresh episodes on, trying up to `most` commands in each.

    Every try begins at the same state; the episode goes on with the first that was drawn.

    Raises:
        ValueError: less than two candidates were asked for.
    """
    if most < 2:
        raise ValueError(f"a pair takes at least two candidates, got most={most}")
    env = trainer.env
    interface = trainer.begin()
    starts, situations, steps = np.ones(env.num_envs, bool), [], 0
    criteria = tuple(env.batch.settings.criteria)
    for _ in range(rounds):
        prompts, drawn = trainer.propose(starts, most)
        before, text = env.get_state(), interface.get_state()
        problems = env.batch.memory.state["problem"].copy()
        commands, scores = [], []
        for m in reversed(range(most)):  # the first comes last, and is gone on from
            env.set_state(before)
            interface.set_state(text)
            said = [trainer.backend.decode(replies[min(m, len(replies) - 1)].tokens) for replies in drawn]
            actions = interface.read(said)
            commands.append([turn.command for turn in interface.turns])
            _, _, ended, _ = env.step(actions)
            scores.append(env.scores.copy())
            steps += sum(m < len(replies) for replies in drawn)
        starts = ended
        commands, scores = commands[::-1], scores[::-1]
        for i, replies in enumerate(drawn):
            if len(replies) > 1:
                told = [commands[m][i] for m in range(len(replies))]
                earned = np.stack([scores[m][i] for m in range(len(replies))])
                situations.append(Situation(prompts[i], replies, told, earned, int(problems[i])))
    return Found(situations, criteria, steps)


def pairs_of(
    found: Found, kind: str = "pareto", *, margin: float = 0.1, per_problem: int = 8, seed: int = 0
) -> tuple[list[Preference], Report]:
    """Pairs to learn from.

    Args:
        found: candidates.
        kind: "pareto"; "random": in the same situations two candidates by the toss of a coin, as a control; "none".
        margin, per_problem: as for `pareto_pairs`.
        seed: of the coin.
    """
    if kind not in KINDS_OF_PAIRS:
        raise unknown("kind of pairs", kind, KINDS_OF_PAIRS)
    groups = [
        Group(
            "",
            (str(g),),
            tuple(str(m) for m in range(len(situation.replies))),
            found.criteria,
            np.clip(situation.scores, -1, 1),
            str(situation.problem),
        )
        for g, situation in enumerate(found.situations)
    ]
    pairs, report = pareto_pairs(groups, margin=margin, per_problem=per_problem)
    draw, out = rng(seed, 3), []
    for pair in pairs if kind != "none" else []:
        situation = found.situations[int(pair.prefix[0])]
        two = int(pair.chosen), int(pair.rejected)
        if kind == "random":
            two = tuple(draw.choice(len(situation.replies), 2, replace=False).tolist())
        out.append(Preference(situation.prompt, situation.replies[two[0]], situation.replies[two[1]]))
    return out, report


@contextmanager
def learning_at(optimizer: torch.optim.Optimizer, rate: float) -> Iterator[None]:
    """One learning rate for all parameters; those from before come back, whatever happens."""
    before = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = rate
    try:
        yield
    finally:
        for group, rate_before in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = rate_before


def learn_pairs(
    trainer: LLMPPO,
    pairs: Sequence[Preference],
    *,
    beta: float = 0.1,
    epochs: int = 1,
    batch_size: int = 32,
    learning_rate: float | None = None,
) -> dict[str, float]:
    """DPO on pairs; the reference is the policy as it is now.

    Args:
        trainer: whose model learns, with its optimizer.
        pairs: what to learn from.
        beta: of DPO.
        epochs: over the pairs.
        batch_size: pairs in an update.
        learning_rate: None: that of the trainer's settings, whatever its schedule has come to.

    Returns:
        The mean loss, and the share of pairs whose order the policy agrees with, before and after; empty without pairs.

    Raises:
        ValueError: a hyper-parameter is out of range.
        FloatingPointError: the loss is no finite number.
    """
    rate = trainer.settings.learning_rate if learning_rate is None else learning_rate
    if not 0 < beta < math.inf or not 0 <= rate < math.inf:
        raise ValueError(f"beta must be positive and learning_rate not negative, got {beta!r}, {rate!r}")
    for name, count in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {count!r}")
    if not pairs:
        return {}
    model, device = trainer.model, trainer.model.device
    prompts = [pair.prompt for pair in pairs for _ in range(2)]
    replies = [reply for pair in pairs for reply in (pair.chosen, pair.rejected)]
    turns = gathered(prompts, replies, trainer.backend.pad, device)

    def both(rows: Tensor) -> tuple[Tensor, Tensor]:
        """(P,) log-probabilities of chosen and rejected replies."""
        some = turns.take(torch.stack([2 * rows, 2 * rows + 1], 1).flatten())
        total = likelihood(model, some, trainer.settings.temperature).log_probs.sum(1)
        return total[0::2], total[1::2]

    def all_of_them() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            parts = [both(rows) for rows in torch.arange(len(pairs), device=device).split(batch_size)]
        return torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts])

    model.eval()
    reference = all_of_them()
    losses: list[float] = []
    with learning_at(trainer.optimizer, rate):
        for _ in range(epochs):
            for rows in trainer.shuffled(len(pairs)).split(batch_size):
                chosen, rejected = both(rows)
                loss = dpo_loss(chosen, rejected, reference[0][rows], reference[1][rows], beta)
                trainer.descend(loss)
                losses.append(loss.item())
    after = all_of_them()
    return {
        "dpo_pairs": float(len(pairs)),
        "dpo_loss": float(np.mean(losses)),
        "preferred_before": (reference[0] > reference[1]).float().mean().item(),
        "preferred_after": (after[0] > after[1]).float().mean().item(),
    }
