"""Held-out accuracy of an agent: every problem of a split exactly once, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.audit.play import sample
from reasongym.engine.infos import RATES
from reasongym.metrics import wilson


class Evaluation(NamedTuple):
    """What an agent reached on P problems.

    Attributes:
        accuracy: share answered right.
        interval: 95% Wilson interval of the accuracy.
        mean_return: undiscounted.
        mean_length: in steps.
        problems: P.
        rates: means of what else is told at an episode's end: capture, retention, retrieval, use, evidence recall (each over
            the episodes in which it is defined); of spans the score (F1, ROUGE-L), and the share of right answers among the
            problems with an answer and among those without.
        terms: mean over episodes of the sum of every weighted reward term, by name; they add up to `mean_return`.
        right: of each of the P problems, whether it was answered right.
        by_task: the accuracy on each of the tasks that the problems are of (bAbI: 1-20), by its number.
    """

    accuracy: float
    interval: tuple[float, float]
    mean_return: float
    mean_length: float
    problems: int
    rates: dict[str, float]
    terms: dict[str, float]
    right: tuple[bool, ...]
    by_task: dict[int, float]


def evaluate(
    model: Any, env: ReasonGymVecEnv, problems: int | Sequence[int] | None = None, deterministic: bool = True
) -> Evaluation:
    """Play P problems of `env` once each, `env.num_envs` at a time.

    Args:
        model: anything with SB3's `predict(observation, state, episode_start, deterministic)`; its `attend(live)`, where it has
            one, is told before each step which episodes still count.
        env: the held-out environments; their number changes nothing but speed.
        problems: which ones; or P of them, always the same draw (published sources hold one task after another, so the first
            P would be of the first tasks); default all of the split.
        deterministic: the most probable action instead of a sample.

    Raises:
        ValueError: there are no such problems.
    """
    played = chosen_problems(env.batch.source.num_problems, problems)
    total = len(played)
    right, returns, lengths = np.zeros(total, bool), np.zeros(total), np.zeros(total, int)
    spans = env.batch.table.spans
    told = {name: np.full(total, np.nan) for name in (*RATES, *(() if spans is None else (spans.metric,)))}
    answerable = np.ones(total, bool)
    names = (*env.batch.settings.criteria, "memory")
    terms, tasks = np.zeros((total, len(names))), np.zeros(total, int)
    attend = getattr(model, "attend", None) or (lambda live: None)
    for begin in range(0, total, env.num_envs):
        chosen = np.minimum(np.arange(begin, begin + env.num_envs), total - 1)
        env.set_options([{"problem": int(problem)} for problem in played[chosen]])
        observation: Any = env.reset()
        tasks[chosen] = env.batch.table.tables.problems["task"][env.batch.memory.state["row"]]
        state = None
        start, playing = np.ones(env.num_envs, bool), begin + np.arange(env.num_envs) < total
        sums = np.zeros((env.num_envs, len(names)))
        while playing.any():
            attend(playing)
            actions, state = model.predict(observation, state=state, episode_start=start, deterministic=deterministic)
            observation, _, start, infos = env.step(actions)
            going_on = playing & ~start
            sums[going_on] += env.batch.result.terms[going_on]
            for i in np.flatnonzero(start & playing):
                right[chosen[i]] = infos[i]["is_success"]
                returns[chosen[i]], lengths[chosen[i]] = infos[i]["episode"]["r"], infos[i]["episode"]["l"]
                terms[chosen[i]] = sums[i] + [infos[i]["reward_terms"][name] for name in names]
                answerable[chosen[i]] = infos[i].get("gold") != ""
                for name, column in told.items():
                    column[chosen[i]] = infos[i].get(name, np.nan)
            playing = playing & ~start
    attend(None)
    count = int(right.sum())
    if spans is not None:
        told["right_where_answerable"] = np.where(answerable, right, np.nan)
        told["right_where_not"] = np.where(answerable, np.nan, right)
    rates = {name: float(np.nanmean(column)) for name, column in told.items() if not np.isnan(column).all()}
    paid = dict(zip(names, terms.mean(0).tolist(), strict=True))
    means = float(returns.mean()), float(lengths.mean())
    by_task = {int(task): float(right[tasks == task].mean()) for task in np.unique(tasks)}
    return Evaluation(count / total, wilson(count, total), *means, total, rates, paid, tuple(right.tolist()), by_task)


def chosen_problems(there: int | None, problems: int | Sequence[int] | None) -> np.ndarray:
    """(P,) indices of the problems to play, of a source that has `there` of them (None: no end).

    Raises:
        ValueError: none are chosen, or all of an endless source, or what is no problem's index.
    """
    if problems is None:
        if there is None:
            raise ValueError("the source is endless: say how many problems to play with problems=...")
        return np.arange(there)
    if isinstance(problems, int | np.integer) and not isinstance(problems, bool):
        if problems < 1:
            raise ValueError(f"problems must be at least 1, got {problems!r}")
        return sample(there, int(problems))
    chosen = np.asarray(problems)
    if chosen.size == 0:
        raise ValueError("problems names none: leave it out for all of the split")
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise ValueError(f"problems must be how many, or a list of indices, got {problems!r}")
    if chosen.min() < 0 or (there is not None and chosen.max() >= there):
        raise ValueError(f"problems must lie in [0, {'...' if there is None else there}), got {chosen.min()} to {chosen.max()}")
    return chosen.astype(np.int64)
