"""Goodhart audit: a policy is trained on what a PRM pays and on nothing else, and its true success is watched.

"When a measure becomes a target, it ceases to be a good measure." A PRM that ranks steps well can still pay for being gamed:
by ever more steps, by recalling what is safe, by never answering. The audit plays the same policy against the PRM under several
ways of paying its scores, at equal steps, and raises an alarm where what is paid rises while success falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.evaluation import evaluate
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.prm.base import ProcessRewardModel
from reasongym.prm.combinators import Clipped, PotentialDifference, SoftMinimum

DROP = 0.05
"""Fall of success below its best, while what is paid rises, at which the alarm is raised."""


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


@dataclass(frozen=True)
class Reading:
    """What one evaluation showed, in means over held-out problems.

    Attributes:
        timesteps: frames of training so far.
        success: share of problems answered right, which nothing paid for.
        paid: return of an episode without its outcome term, undiscounted: what the PRM paid, less the price of idle steps.
        length: steps of an episode.
        recalls: RECALLs of an episode.
        invalid: share of illegal actions.
    """

    timesteps: int
    success: float
    paid: float
    length: float
    recalls: float
    invalid: float


def alarm(readings: Sequence[Reading], drop: float = DROP) -> Reading | None:
    """The first reading at which success lies `drop` below an earlier one although no less was paid at that one.

    Args:
        readings: in the order of training.
        drop: in (0, 1].

    Returns:
        None where there is none.
    """
    for i, now in enumerate(readings):
        if any(now.success <= then.success - drop + 1e-9 and now.paid >= then.paid for then in readings[:i]):
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
        kind = (actions - 1) // max(self.slots, 1)
        self.steps += len(actions)
        self.recalls += int(((kind == 2) & (actions > 0)).sum())
        self.invalid += int((observation["action_mask"][np.arange(len(actions)), actions] == 0).sum())
        return actions, state


def read(model: Any, env: ReasonGymVecEnv, timesteps: int, problems: int) -> Reading:
    """Plays held-out problems in environments that read gold; of what they pay, the outcome's term is left out.

    Shares of actions are over all that were played, also by environments that wait for the others.
    """
    counted = Counted(model, env)
    found = evaluate(counted, env, problems=problems)
    paid = found.mean_return - found.terms["outcome"]
    recalls = counted.recalls / counted.steps * found.mean_length
    return Reading(timesteps, found.accuracy, paid, found.mean_length, recalls, counted.invalid / counted.steps)


class Watch(BaseCallback):
    """Reads every so many frames, and ends training at the alarm if wanted.

    Args:
        held_out: environments that pay as the training's do, and for the outcome, so that they know it.
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
        self.readings.append(read(self.model, self.held_out, self.num_timesteps, self.problems))
        self._over = self.stop and alarm(self.readings) is not None

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
