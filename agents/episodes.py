"""Plays a few held-out episodes of an agent and writes them down whole, for the report's viewer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from agents.base import Agent, fitting
from reasongym.audit.play import sample
from reasongym.wrappers.episodes import EpisodeRecorder, write_episodes


def record_episodes(
    agent: Agent,
    env_id: str,
    path: str | os.PathLike | None = None,
    *,
    name: str = "",
    problems: int | Sequence[int] = 6,
    split: str = "validation",
    deterministic: bool = True,
    wrap: Callable[[VecEnv], VecEnv] | None = None,
    **keywords: Any,
) -> list[dict[str, Any]]:
    """Plays each of some held-out problems once and records the episodes (format: `reasongym.wrappers.episodes`).

    Args:
        agent: any.
        env_id: a registered id.
        path: where `episodes.jsonl` goes; None: nowhere.
        name: what the agent is called; default its class.
        problems: how many, the same draw for every agent; or which.
        split: whose.
        deterministic: the best action instead of a sample.
        wrap: put around the environments, e.g. `lambda venv: ValueFeedback(venv, model)`.
        keywords: as for `gym.make_vec`; the widths of texts are those of the agent's observations where they are not given.

    Returns:
        The episodes, in the order of the problems.

    Raises:
        ValueError: the agent is of other spaces, or no problem was asked for.
    """
    count = problems if isinstance(problems, int) else len(problems)
    if count < 1:
        raise ValueError(f"problems must be a number of at least 1, or indices of problems, got {problems!r}")
    inner = fitting(agent, env_id, count, split=split, **keywords)
    chosen = sample(inner.batch.source.num_problems, count) if isinstance(problems, int) else np.asarray(problems)
    playing = np.arange(count) < len(chosen)  # fewer where the split has fewer
    env = inner if wrap is None else wrap(inner)
    attach = getattr(agent, "attach", None)
    if attach is not None:
        attach(inner)
    words = getattr(agent, "interface", None)
    recorder = EpisodeRecorder(
        inner.batch,
        agent=name or type(agent).__name__,
        environment=env_id,
        interface=words,
        prompts=words is not None,
        once=True,
    )
    try:
        inner.set_options([{"problem": int(problem)} for problem in np.resize(chosen, count)])
        observation: Any = env.reset()
        state, start = None, np.ones(count, bool)
        while playing.any():
            actions, state = agent.act(observation, state, start, deterministic)
            observation, _, start, _ = env.step(actions)
            playing &= ~start
    finally:
        found = recorder.close()
        env.close()
    order = {int(problem): place for place, problem in enumerate(chosen)}
    episodes = sorted({episode["problem"]: episode for episode in found}.values(), key=lambda e: order[e["problem"]])
    if path is not None:
        write_episodes(path, episodes)
    return episodes
