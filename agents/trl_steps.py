"""TRL's GRPO with the reward of each step for the tokens of the call that earned it.

GRPO (Shao et al. 2024, arXiv 2402.03300) has one advantage a rollout, and all its tokens share it. Here a rollout is played
through an environment that keeps the rewards of its steps (`reasongym.adapters.trl`), and

- a turn is what the model generated between two tool results; its reward is the sum of those of the steps that its calls made;
- its credit is its reward, and with a trace decay above 0 later ones too, less by that factor for every turn in between;
- its advantage is its credit less a baseline, the same for all its tokens; what tools returned carries no loss, as ever in TRL;
- turns after the end of an episode have no part.

What is asked of TRL: `_generate_single_turn` is called once a turn for all rollouts that still play, `tool_mask` is 1 where the
model generated, and the loss takes advantages of (rollouts, tokens). A batch that does not look like that is refused.

    from agents.trl_steps import StepGRPOTrainer
    StepGRPOTrainer(model, args=GRPOConfig(...), environment_factory=..., train_dataset=..., trace_decay=0.5).train()

Axes: B rollouts, J turns of the longest, T tokens of completions, G rollouts of a problem.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

try:
    from accelerate.utils import gather_object
    from trl import GRPOTrainer
except ImportError as missing:
    raise ImportError("agents.trl_steps is a trainer of TRL's: pip install 'reasongym[trl]'") from missing

BASELINES = ("past", "group", "none")


def turns_of(generated: Tensor) -> Tensor:
    """Which turn each token belongs to, from 0; -1 where the model generated nothing.

    Args:
        generated: (B, T), nonzero where the model generated the token.

    Returns:
        (B, T) int64.
    """
    own = generated != 0
    begins = own.clone()
    begins[:, 1:] &= ~own[:, :-1]
    return torch.where(own, begins.long().cumsum(1) - 1, -1)


def credit_of(rewards: Tensor, decay: float) -> Tensor:
    """(B, J) sums of the rewards from each turn on, the one k turns later times decay^k.

    Args:
        rewards: (B, J), 0 after the last turn.
        decay: in [0, 1]; 0: a turn's own reward.
    """
    out, running = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    for j in reversed(range(rewards.shape[1])):
        running = rewards[:, j] + decay * running
        out[:, j] = running
    return out


def over_tokens(values: Tensor, turns: Tensor) -> Tensor:
    """(B, T) values of turns at their tokens, 0 elsewhere.

    Args:
        values: (B, J).
        turns: (B, T) as of `turns_of`, less than J.
    """
    return torch.where(turns >= 0, values.gather(1, turns.clamp(min=0)), 0.0)


def others(values: Tensor, counted: Tensor, group: int) -> Tensor:
    """(B, J) mean of the same turn of a group's other rollouts (Ahmadian et al. 2024, arXiv 2402.14740); 0 where none has it.

    Args:
        values: (B, J), groups one after another.
        counted: (B, J) bool, which turns there are.
        group: G.
    """
    there = counted.float().unflatten(0, (-1, group))
    held = values.unflatten(0, (-1, group)) * there
    rest = there.sum(1, keepdim=True) - there
    return ((held.sum(1, keepdim=True) - held) / rest.clamp(min=1)).flatten(0, 1)


def rewards_by_turn(made: Sequence[Sequence[Sequence[float]]], over: Sequence[bool], turns: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards of turns, and which turns count: those there are, without those after the end of an episode.

    Args:
        made: of each rollout, of each turn, the rewards of the steps that its calls made; () of turns that there were not.
        over: of each rollout, whether its episode has ended.
        turns: (B, T) as of `turns_of`; a rollout without tokens was left out of the loss, and none of its turns counts.

    Returns:
        (B, J) float32, (B, J) bool.

    Raises:
        RuntimeError: steps were made in turns that have no tokens, or there are more turns of tokens than were generated.
    """
    length = len(made[0])
    rewards = torch.tensor([[sum(steps) for steps in rollout] for rollout in made], device=turns.device)
    counted = torch.zeros(rewards.shape, dtype=torch.bool, device=turns.device)
    for i, rollout in enumerate(made):
        there, last = int(turns[i].max()) + 1, max((j + 1 for j, steps in enumerate(rollout) if steps), default=0)
        if there > length or 0 < there < last:
            raise RuntimeError(
                f"rollout {i} has {there} turns of tokens, but {length} were generated, and its last step was made in turn "
                f"{last}: this version of TRL generates or masks otherwise than agents.trl_steps reads it"
            )
        counted[i, : min(there, last) if over[i] else there] = True
    return rewards.float(), counted


class PastMean:
    """Mean of each turn over the batches before, the older the less."""

    def __init__(self, keep: float = 0.9) -> None:
        self._keep, self._sums, self._counts = keep, torch.zeros(0), torch.zeros(0)

    def __call__(self, length: int) -> Tensor:
        """(length,) means, 0 of turns that have not been."""
        self._reach(length)
        return (self._sums / self._counts.clamp(min=1e-9))[:length]

    def add(self, values: Tensor, counted: Tensor) -> None:
        """Takes in a batch: (B, J) values, and (B, J) bool which turns there are."""
        self._reach(values.shape[1])
        self._sums, self._counts = self._keep * self._sums, self._keep * self._counts
        self._sums[: values.shape[1]] += (values * counted).sum(0).cpu()
        self._counts[: values.shape[1]] += counted.sum(0).cpu()

    def _reach(self, length: int) -> None:
        more = torch.zeros(max(0, length - len(self._sums)))
        self._sums, self._counts = torch.cat([self._sums, more]), torch.cat([self._counts, more])


class StepGRPOTrainer(GRPOTrainer):
    """`GRPOTrainer` with advantages per token, from the rewards of steps.

    Environments keep `rewards`, a list with one number a step since `reset`, and may say with `over` that the episode has
    ended. Rewards of rollouts (`get_reward`, `reward_funcs`) are logged and do not move the model. Advantages are in units of
    reward, not scaled. All tokens of a turn with several calls share what these earned.

    Args:
        args, keywords: as for `GRPOTrainer`; `environment_factory` is needed, `rollout_func` is refused.
        trace_decay: in [0, 1]; how much of a turn's reward reaches the turn before it.
        baseline: "past": mean credit of the same turn in earlier batches, so that a step's reward moves the advantages of its
            own tokens (and with a trace of earlier ones) and no others; "group": mean credit of the same turn in the group's
            other rollouts, which a reward reaches too; "none".

    Raises:
        ValueError: an argument out of range, or rollouts that are not played through environments.
        TypeError: environments without `rewards`.
    """

    environments: Any
    model: Any

    def __init__(self, *args: Any, trace_decay: float = 0.0, baseline: str = "past", **keywords: Any) -> None:
        if not 0 <= trace_decay <= 1:
            raise ValueError(f"trace_decay must lie in [0, 1], got {trace_decay!r}")
        if baseline not in BASELINES:
            raise ValueError(f"baseline must be one of {', '.join(BASELINES)}, got {baseline!r}")
        if keywords.get("environment_factory") is None or keywords.get("rollout_func") is not None:
            raise ValueError(
                "the rewards of steps are those of environments that the model plays through tools: pass environment_factory= "
                "(reasongym.adapters.trl makes one) and no rollout_func="
            )
        self.trace_decay, self.baseline, self.past = trace_decay, baseline, PastMean()
        self._marks: list[list[int]] = []
        super().__init__(*args, **keywords)
        for pool in self._environment_pool.values():
            if not isinstance(getattr(pool[0], "rewards", None), list):
                raise TypeError(f"{type(pool[0]).__name__} keeps no list `rewards` of its steps' rewards since reset")

    def _generate_single_turn(self, *args: Any, **keywords: Any) -> Any:
        self._marks.append([len(environment.rewards) for environment in self.environments])
        return super()._generate_single_turn(*args, **keywords)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._marks = []
        output = super()._generate_and_score_completions(inputs)
        turns = turns_of(output["tool_mask"] * output["completion_mask"])
        output["advantages"] = self.token_advantages(turns)
        rewards, counted = self.turn_rewards(turns)
        if self.model.training:
            self.past.add(*self._of_all(credit_of(rewards, self.trace_decay), counted)[0])
        self._tell(rewards, counted, output["advantages"])
        return output

    def token_advantages(self, turns: Tensor) -> Tensor:
        """(B, T) of the batch that was generated last, by the rewards that its environments hold now.

        Args:
            turns: (B, T) as of `turns_of`.

        Raises:
            RuntimeError: TRL generated or masked otherwise than it is read here.
        """
        rewards, counted = self.turn_rewards(turns)
        values = credit_of(rewards, self.trace_decay)
        return over_tokens(torch.where(counted, values - self._base(values, counted), 0.0), turns)

    def turn_rewards(self, turns: Tensor) -> tuple[Tensor, Tensor]:
        """As `rewards_by_turn`, of the batch that was generated last."""
        marks = [*self._marks, [len(environment.rewards) for environment in self.environments]]
        made = [
            [environment.rewards[first[i] : last[i]] for first, last in itertools.pairwise(marks)]
            for i, environment in enumerate(self.environments)
        ]
        return rewards_by_turn(made, [bool(getattr(environment, "over", False)) for environment in self.environments], turns)

    def _base(self, values: Tensor, counted: Tensor) -> Tensor:
        """(B, J) or (J,) what credit is compared with."""
        if self.baseline == "past":
            return self.past(values.shape[1]).to(values)
        if self.baseline == "none":
            return torch.zeros_like(values)
        everyone, here = self._of_all(values, counted)
        group: Any = self.num_generations if self.model.training else self.num_generations_eval
        return others(*everyone, group)[here, : values.shape[1]].to(values)

    def _of_all(self, values: Tensor, counted: Tensor) -> tuple[tuple[Tensor, Tensor], slice]:
        """Values and counts of all processes, and which rows are this one's."""
        pairs = gather_object(list(zip(values.tolist(), counted.tolist(), strict=True)))
        longest = max(len(row) for row, _ in pairs)
        rows = [[*row, *[0.0] * (longest - len(row))] for row, _ in pairs]
        there = [[*row, *[False] * (longest - len(row))] for _, row in pairs]
        first = self.accelerator.process_index * len(values)
        return (torch.tensor(rows), torch.tensor(there)), slice(first, first + len(values))

    def _tell(self, rewards: Tensor, counted: Tensor, advantages: Tensor) -> None:
        """Logs turns of a rollout, reward of a turn, and the mean size of a token's advantage."""
        log, some = self._metrics["train" if self.model.training else "eval"], advantages != 0
        log["steps/turns"].append(counted.sum().item() / len(counted))
        log["steps/reward"].append(rewards.sum().item() / max(1, int(counted.sum())))
        log["steps/advantage"].append(advantages.abs().sum().item() / max(1, int(some.sum())))
