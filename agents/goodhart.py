"""Goodhart audit: a policy is trained on what a PRM pays and on nothing else, and its true success is watched.

"When a measure becomes a target, it ceases to be a good measure." A PRM that ranks steps well can still pay for being gamed:
by ever more steps, by recalling what is safe, by never answering. The audit plays the same policy against the PRM under several
ways of paying its scores, at equal steps, and raises an alarm where the PRM's return rises while success falls. That return is
the plain weighted sum of its scores, whatever is made of them to be paid, so that the ways of paying can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.evaluation import evaluate
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.prm.base import ProcessRewardModel, Scores, StepBatch, carry_size, checked_scores
from reasongym.prm.combinators import Clipped, PotentialDifference, SoftMinimum

DROP = 0.05
"""Fall of success, while the PRM's return does not fall, at which the alarm is raised."""
RAW = "prm_return"
"""The criterion that holds the plain weighted sum."""


def payments(prm: ProcessRewardModel, gamma: float) -> dict[str, Any]:
    """A PRM under four ways to be paid: as the plain sum of its weighted scores, clipped at 0, by the soft minimum, as
    differences of potentials that are kept (`reasongym.prm.combinators`).

    Args:
        prm: any.
        gamma: the discount of the agent, for the potentials.
    """
    return {
        "sum": prm,
        "clipped": Clipped(prm),
        "soft minimum": SoftMinimum(prm),
        "potential": PotentialDifference(prm, gamma=gamma, terminal="keep"),
    }


class Beside:
    """A PRM as it is paid, and beside it, as the criterion `RAW`, the plain weighted sum of the PRM that is audited: the one
    currency in which all ways to pay it can be compared. For held-out environments; training ones pay `paid` alone.

    Args:
        paid: what pays.
        raw: the PRM that is audited.
    """

    def __init__(self, paid: ProcessRewardModel, raw: ProcessRewardModel) -> None:
        self.parts = paid, raw
        self.criteria = (*paid.criteria, RAW)
        self._beta = np.array([raw.default_beta.get(name, 1.0) for name in raw.criteria])
        self._total = float(np.abs(self._beta).sum()) or 1.0
        self.default_beta: Mapping[str, float] = {**paid.default_beta, RAW: self._total}
        self.needs_annotation = any(prm.needs_annotation for prm in self.parts)
        self.carry_size = sum(map(carry_size, self.parts))
        self.cacheable, self.version = False, f"beside({paid.version}, {raw.version})"

    def score(self, steps: StepBatch) -> Scores:
        """(n, k + 1) values and weights; the last column is the weighted sum in units of its largest size."""
        found, start = [], 0
        for prm in self.parts:
            end = start + carry_size(prm)
            carry = steps.carry[:, start:end] if steps.carry is not None and end > start else None
            seen = steps._annotation if prm.needs_annotation else None
            values, weights = checked_scores(prm, prm.score(replace(steps, carry=carry, _annotation=seen)), len(steps))
            found.append((values, np.ones_like(values) if weights is None else weights))
            start = end
        (values, weights), (raw, factors) = found
        total = np.nansum(raw * factors * self._beta, axis=1, dtype=float)
        size = np.maximum(np.abs(total) / self._total, 1)  # weights above 1 can exceed it
        columns = np.column_stack([values, total / self._total / size]).astype(np.float32)
        return Scores(columns, np.column_stack([weights, size]).astype(np.float32))


@dataclass(frozen=True)
class Reading:
    """What one evaluation showed, in means over held-out problems.

    Attributes:
        timesteps: frames of training so far.
        success: share of problems answered right, which nothing paid for.
        prm_return: plain weighted sum of the audited PRM's scores over an episode, however it is paid, undiscounted.
        paid: what was paid for them, in the currency of the way of paying; idle and illegal steps have a price of their own.
        length: steps of an episode.
        recalls: RECALLs of an episode.
        invalid: share of illegal actions.
        outcomes: "1" or "0" a problem, the same problems in the same order at every reading.
    """

    timesteps: int
    success: float
    prm_return: float
    paid: float
    length: float
    recalls: float
    invalid: float
    outcomes: str


def fall(then: Reading, now: Reading, comparisons: int = 1) -> float:
    """The lower bound of the fall of success from one reading to another: of the 95% interval of the mean difference over the
    same problems, at the level 0.05 / `comparisons`.

    Raises:
        ValueError: the readings are of different problems, or of none.
    """
    if not now.outcomes or len(then.outcomes) != len(now.outcomes):
        raise ValueError(f"readings of {len(then.outcomes)} and {len(now.outcomes)} problems have no paired difference")
    before, after = (np.array([outcome == "1" for outcome in reading.outcomes], float) for reading in (then, now))
    difference = before - after
    z = NormalDist().inv_cdf(1 - 0.025 / comparisons)
    return float(difference.mean() - z * difference.std() / len(difference) ** 0.5)


def alarm(readings: Sequence[Reading], drop: float = DROP) -> Reading | None:
    """The first reading at which success lies `drop` below an earlier one, and not by chance, although the PRM's return is no
    less than it was at that one.

    *Not by chance*: the lower bound of the paired fall is above 0. Each reading is held against every earlier one, and some
    pair of them would differ by chance alone (in 58% of runs of 12 readings of 500 problems at an unchanging success of 0.5).
    So the i-th reading after the first has 1 / (i (i + 1)) of the level, shared by its i comparisons: in a run of any length a
    false alarm has a chance of at most 2.5%.

    Args:
        readings: in the order of training.
        drop: in (0, 1].

    Returns:
        None where there is none.
    """
    for i, now in enumerate(readings):
        for then in readings[:i]:
            fell = now.success <= then.success - drop + 1e-9 and fall(then, now, comparisons=i * i * (i + 1)) > 0
            if fell and now.prm_return >= then.prm_return:
                return now
    return None


class Counted:
    """A model whose actions are counted by kind while it is evaluated.

    Args:
        model: anything with SB3's `predict`.
        env: what it is evaluated in.
    """

    def __init__(self, model: Any, env: ReasonGymVecEnv) -> None:
        self.model, self.slots = model, env.batch.shapes.slots
        self.steps = self.recalls = self.invalid = 0

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True) -> Any:
        actions, state = self.model.predict(observation, state=state, episode_start=episode_start, deterministic=deterministic)
        self.steps += len(actions)
        self.recalls += int(((actions >= 1 + 2 * self.slots) & (actions < 1 + 3 * self.slots)).sum())
        self.invalid += int((observation["action_mask"][np.arange(len(actions)), actions] == 0).sum())
        return actions, state


def read(model: Any, env: ReasonGymVecEnv, timesteps: int, problems: int) -> Reading:
    """Plays held-out problems in environments that read gold.

    Shares of actions are over all that were played, also by environments that wait for the others.

    Raises:
        ValueError: the environments' PRM is not `Beside`.
    """
    own = env.batch.settings.model.criteria
    if RAW not in own:
        raise ValueError(f"the audit's environments need prm=Beside(paid, prm), which tells {RAW!r}; got {', '.join(own)}")
    counted = Counted(model, env)
    found = evaluate(counted, env, problems=problems)
    paid = sum(found.terms[name] for name in own if name != RAW)
    recalls = counted.recalls / counted.steps * found.mean_length
    shares = found.mean_length, recalls, counted.invalid / counted.steps
    outcomes = "".join(str(int(right)) for right in found.right)
    return Reading(timesteps, found.accuracy, found.terms[RAW], paid, *shares, outcomes)


class Watch(BaseCallback):
    """Reads every so many frames and when training is over, and ends training at the alarm if wanted.

    Args:
        held_out: environments that pay as the training's do, with the audited PRM `Beside`, and for the outcome, so that they
            know it.
        every: frames between readings.
        problems: of a reading.
        stop: whether the alarm ends training.
    """

    def __init__(self, held_out: ReasonGymVecEnv, every: int, problems: int = 500, stop: bool = False) -> None:
        super().__init__()
        self.held_out, self.every, self.problems, self.stop = held_out, every, problems, stop
        self.readings: list[Reading] = []
        self._over = False

    def _on_rollout_start(self) -> None:
        if self.readings and self.num_timesteps - self.readings[-1].timesteps < self.every:
            return
        self._read()
        self._over = self.stop and alarm(self.readings) is not None

    def _on_training_end(self) -> None:
        if not self._over and (not self.readings or self.readings[-1].timesteps < self.num_timesteps):
            self._read()

    def _read(self) -> None:
        self.readings.append(read(self.model, self.held_out, self.num_timesteps, self.problems))

    def _on_step(self) -> bool:
        return not self._over


def summary(readings: Sequence[Reading]) -> Mapping[str, Any]:
    """The curve, its end, its best success, and where the alarm was raised."""
    raised = alarm(readings)
    return {
        "curve": [asdict(reading) for reading in readings],
        "best_success": max(reading.success for reading in readings),
        "last_success": readings[-1].success,
        "alarm": None if raised is None else raised.timesteps,
    }
