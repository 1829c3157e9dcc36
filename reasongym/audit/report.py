"""A task's numbers put together, and the whole report with its seeds and versions."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from reasongym.audit.accuracy import BASELINES, measure, training, with_split
from reasongym.audit.bounds import LONG_TEXT, answering_over_stalling, broken
from reasongym.audit.play import Episodes, make, play, sample
from reasongym.audit.policies import POLICIES
from reasongym.audit.written import WRITTEN
from reasongym.envs import SOURCE_KEYWORDS
from reasongym.text.vector import ReasonGymTextVectorEnv

UTILITIES = ("coverage", "level")
STALLING_PROBLEMS = 50
"""Problems from whose states (15 each) stalling is compared with answering."""


def audit(
    ids: Sequence[str],
    *,
    episodes: int = 500,
    utilities: Sequence[str] = UTILITIES,
    split: str = "validation",
    accuracy_problems: int = 0,
    seed: int = 0,
    progress: Callable[[dict[str, Any]], None] = lambda task: None,
    **keywords: Any,
) -> dict[str, Any]:
    """The whole report.

    Args:
        ids: environments to audit.
        episodes: held-out problems a policy plays, each once.
        utilities: under which g.
        split: which problems.
        accuracy_problems: held-out problems that the baselines' accuracy is measured on; 0 leaves it out.
        seed: of the random policy.
        progress: is handed every task's part as soon as it is there.
        keywords: as for `gym.make`, e.g. `source`.
    """
    report: dict[str, Any] = {
        "arguments": {
            "episodes": episodes,
            "utilities": list(utilities),
            "split": split,
            "accuracy_problems": accuracy_problems,
            "seed": seed,
            **{name: str(value) for name, value in keywords.items()},
        },
        "versions": {name: version(name) for name in ("reasongym", "gymnasium", "numpy", "numba")}
        | {"python": platform.python_version()},
        "ids": {},
    }
    for env_id in ids:
        task = _task(env_id, episodes, utilities, split, accuracy_problems, seed, keywords)
        report["ids"][env_id] = task
        progress(task)
    report["broken"] = [fault for task in report["ids"].values() for fault in broken(task)]
    return report


def _task(
    env_id: str, episodes: int, utilities: Sequence[str], split: str, most: int, seed: int, keywords: dict[str, Any]
) -> dict[str, Any]:
    """One id's part of the report."""
    known = training(env_id.replace("ReasonGymText-", "ReasonGym-"), **keywords)
    guess = known.majority
    task: dict[str, Any] = {"name": env_id, "utilities": {}}
    for utility in utilities:
        env = make(env_id, max(episodes, most), utility=utility, **with_split(env_id, split), **keywords)
        problems = sample(env.batch.source.num_problems, episodes)
        if "problems" not in task:
            task |= _texts(env, problems, guess)
        in_words = isinstance(env, ReasonGymTextVectorEnv)
        policies: dict[str, Callable[..., Any]] = {**WRITTEN} if in_words else {**POLICIES}
        task["utilities"][utility] = {
            name: _row(play(env, policy, problems, guess=guess, seed=seed)) for name, policy in policies.items()
        }
        if utility == "coverage" and not in_words:
            few = problems[:: -(-len(problems) // STALLING_PROBLEMS)]
            settings = {name: value for name, value in keywords.items() if name not in SOURCE_KEYWORDS}
            own = make(env_id, len(few), dataset=env.batch.source, **settings)
            task["answering_over_stalling"] = answering_over_stalling(own, few, guess=guess, seed=seed)
            if most:
                measured = {name: measure(name, env, known, most=most, seed=seed) for name in BASELINES}
                task["accuracy"] = {
                    name: {"share": found.share, "interval": [round(x, 4) for x in found.interval], "played": found.played}
                    for name, found in measured.items()
                }
    return task


def _texts(env: Any, problems: np.ndarray, guess: int) -> dict[str, Any]:
    """What the problems are like."""
    records = [env.batch.source.problem(int(i)) for i in problems]
    units = float(np.mean([record.num_units for record in records]))
    support = float(np.mean([len(record.support or ()) for record in records]))
    return {
        "problems": len(problems),
        "fingerprint": env.batch.source.fingerprint,
        "units": units,
        "support": support,
        "long_text": units >= LONG_TEXT * support,
        "majority": env.batch.source.choices[guess] if env.batch.source.choices else "(abstain)",
    }


def _row(played: Episodes) -> dict[str, float]:
    return {
        "return": round(float(played.total.mean()), 4),
        "process": round(float(played.process.mean()), 4),
        "accuracy": round(float(played.success.mean()), 4),
        "length": round(float(played.length.mean()), 2),
    }
