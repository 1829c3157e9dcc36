"""Step records from environments: any policy plays, any PRM labels.

    records = collect("ReasonGym-bAbI-qa2-v0", policies.expert, np.arange(100), labels=[CausalPRM()], split="validation")

Every problem is addressed by its index and played once, so the records do not depend on how many environments play.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import gymnasium as gym
import numpy as np

from reasongym.audit.play import NUM_ENVS
from reasongym.audit.policies import Policy, Situation
from reasongym.errors import PRMError
from reasongym.prm.base import ACTION_NAMES, ProcessRewardModel, StepBatch, carry_size, check_prm
from reasongym.prm.correctness import CausalPRM
from reasongym.prm.records import StepRecord
from reasongym.prm.rendering import UNASKED, prompt_text, step_text


class Tap:
    """A PRM that keeps, of the last vector step, every step's text and labels; its scores are those of the labelling PRMs.

    Args:
        prms: at least one; their criteria must differ.
    """

    def __init__(self, prms: Sequence[ProcessRewardModel]) -> None:
        self.prms = [check_prm(prm, "labels") for prm in prms]
        names = [name for prm in self.prms for name in prm.criteria]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"labels must be PRMs with distinct criteria, at least one; got the criteria {names}")
        for prm in self.prms:
            if carry_size(prm):
                raise TypeError(f"{prm!r} keeps state from step to step: score the collected records with it instead")
        self.criteria = tuple(names)
        self.needs_annotation = any(prm.needs_annotation for prm in self.prms)
        self.version = "tap(" + ", ".join(prm.version for prm in self.prms) + ")"
        self.default_beta: Mapping[str, float] = MappingProxyType({})
        self.cacheable = False
        self.steps: StepBatch | None = None
        self.values = np.zeros((0, len(names)), np.float32)

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, k) float32: the labels."""
        columns = []
        for prm in self.prms:
            result: Any = prm.score(steps)
            columns.append(np.asarray(result[0] if isinstance(result, tuple) else result, np.float32))
        self.steps, self.values = steps, np.concatenate(columns, axis=1)
        return self.values


@dataclass
class _Episode:
    prompt: str
    steps: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    asked: bool = True

    def add(self, tap: Tap, row: int, action: int) -> None:
        steps = tap.steps
        if steps is None or len(steps) <= row:
            raise PRMError("the environment did not show the step to its PRM; collect() needs environments of its own")
        self.steps.append(step_text(steps, row, asked=self.asked))
        self.asked |= bool(steps.question[row] >= 0)
        self.kinds.append(ACTION_NAMES[int(steps.kind[row])])
        self.labels.append(tap.values[row])
        self.actions.append(action)


def collect(
    env_id: str,
    policy: Policy,
    problems: np.ndarray,
    *,
    labels: Sequence[ProcessRewardModel] | None = None,
    seed: int = 0,
    guess: int = 0,
    num_envs: int = NUM_ENVS,
    **keywords: Any,
) -> list[StepRecord]:
    """Plays each problem once and writes down what was done, in words.

    Args:
        env_id: a ReasonGym id that is played by number.
        policy: decides; a method `meta(row) -> dict` of it, if it has one, adds to the record of the episode that ended there.
        problems: (P,) indices, each 0 or more.
        labels: PRMs whose scores are the labels; default `CausalPRM`.
        seed, guess: as in `Situation`.
        num_envs: environments side by side, at most; changes nothing but the time it takes.
        keywords: of the environments; not `prm`.

    Returns:
        One record a problem, in the order of `problems`. `meta` holds env, source (name and fingerprint), problem, task, the
        kind of each step, and the actions' numbers. `outcome` is whether the answer was right.
    """
    problems = np.asarray(problems, np.int64)
    tap = Tap([CausalPRM()] if labels is None else labels)
    n = max(1, min(num_envs, len(problems)))
    env: Any = gym.make_vec(
        env_id, num_envs=n, vectorization_mode="vector_entry_point", autoreset_mode="Disabled", prm=tap, **keywords
    )
    place, waiting = np.arange(n), n  # where in `problems` each environment is
    step = np.zeros(n, np.int64)
    open_: list[_Episode | None] = [None] * n
    records: list[StepRecord | None] = [None] * len(problems)
    observation, _ = env.reset(seed=seed, options={"problem": problems[place % len(problems)]})
    while (place < len(problems)).any():
        current = problems[place % len(problems)]
        actions = np.asarray(policy(Situation(env, observation, current, step, guess, seed)))
        observation, _, ended, _, info = env.step(actions)
        assert tap.steps is not None
        for row in np.flatnonzero(place < len(problems)).tolist():
            episode = open_[row]
            if episode is None:
                prompt = prompt_text(tap.steps, row)
                episode = open_[row] = _Episode(prompt, asked=prompt != UNASKED)
            episode.add(tap, row, int(actions[row]))
            if ended[row]:
                extra = policy.meta(row) if hasattr(policy, "meta") else {}
                records[place[row]] = _record(
                    env_id, env, tap, episode, int(current[row]), bool(info["is_success"][row]), extra
                )
                open_[row] = None
        step += 1
        if ended.any():
            rows = np.flatnonzero(ended)
            place[rows] = np.arange(waiting, waiting + len(rows))
            waiting += len(rows)
            step[rows] = 0
            options = {"reset_mask": ended, "problem": np.where(ended, problems[place % len(problems)], -1)}
            observation, _ = env.reset(options=options)
    env.close()
    return [record for record in records if record is not None]


def _record(
    env_id: str, env: Any, tap: Tap, episode: _Episode, problem: int, success: bool, extra: Mapping[str, Any]
) -> StepRecord:
    tables = env.batch.table.tables
    meta = {
        "env": env_id,
        "source": env.source.name,
        "fingerprint": env.source.fingerprint,
        "problem": problem,
        "task": int(tables.problems["task"][tables.row_of[problem]]),
        "kinds": episode.kinds,
        "actions": episode.actions,
        "labels": tap.version,
        **extra,
    }
    return StepRecord(
        prompt=episode.prompt,
        steps=tuple(episode.steps),
        criteria=tap.criteria,
        labels=np.stack(episode.labels).astype(np.float32),
        outcome=float(success),
        meta=meta,
    )
