"""Turns of experts in words, to begin from: what a model is shown, and what it should reply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from agents.llm.chat import Message, Prompter


class Turn(NamedTuple):
    """One turn: the chat that the model is shown, and the reply."""

    chat: list[Message]
    reply: str


def expert_turns(env_id: str, problems: Sequence[int], num_envs: int = 64, **keywords: Any) -> Iterator[list[Turn]]:
    """The expert's turns on some problems, an episode at a time.

    Args:
        env_id: a registered text id.
        problems: indices of the split.
        num_envs: environments side by side.
        keywords: as for `gym.make_vec`: split, difficulty, memory_slots, instructions, ...
    """
    todo = np.asarray(problems)
    for start in range(0, len(todo), num_envs):
        some = todo[start : start + num_envs]
        env: Any = gym.make_vec(env_id, num_envs=len(some), vector_kwargs=None, **keywords)
        _, info = env.reset(seed=0, options={"problem": some})
        episodes: list[list[Turn]] = [[] for _ in some]
        playing = np.ones(len(some), bool)
        while playing.any():
            commands = env.expert_action()
            for i in np.flatnonzero(playing):
                episodes[i].append(Turn(info["messages"][i], commands[i]))
            _, _, terminated, truncated, info = env.step(commands)
            playing &= ~(terminated | truncated)
        env.close()
        yield from episodes


def tokens_of(turn: Turn, prompter: Prompter) -> tuple[list[int], list[int]]:
    """(prompt, reply with its end) in token ids."""
    return prompter(turn.chat), [*prompter.plain(turn.reply), prompter.end]
