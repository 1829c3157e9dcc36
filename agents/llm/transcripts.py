"""Turns of experts in words, to begin from: what a model is shown, and what it should reply."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from agents.llm.chat import Message, Prompter
from reasongym.seeding import rng


class Turn(NamedTuple):
    """One turn: the chat that the model is shown, and the reply."""

    chat: list[Message]
    reply: str


KEEPING = ("store", "update")
"""Commands that write into memory."""
WORD = re.compile(r"[^\W\d_]+")


def expert_turns(
    env_id: str,
    problems: Sequence[int],
    num_envs: int = 64,
    *,
    prudent: bool = False,
    stray: float = 0.0,
    seed: int = 0,
    **keywords: Any,
) -> Iterator[list[Turn]]:
    """The expert's turns on some problems, an episode at a time.

    The expert knows what will be needed, and keeps nothing else: nobody can learn from what is visible to do the same, and who
    only ever sees its memories does not learn to choose among several. A `prudent` expert also keeps what would be needed if
    the text ended where it is (the world's solver decides). And episodes may be led astray: where it would read on, the unit on
    the desk is stored in a free slot, and the turns from there on are the expert's again; the reply of a turn is always the
    expert's.

    Args:
        env_id: a registered text id.
        problems: indices of the split.
        num_envs: environments side by side.
        prudent: of sources with a solver, which are the procedural ones.
        stray: share of the turns it would read on in that go astray.
        seed: of straying.
        keywords: as for `gym.make_vec`: split, difficulty, memory_slots, instructions, ...

    Raises:
        ValueError: `prudent`, and the source has no solver; `stray` is no share.
    """
    if not 0 <= stray <= 1:
        raise ValueError(f"stray must lie in [0, 1], got {stray!r}")
    todo, draw = np.asarray(problems), rng(seed, 9)
    for start in range(0, len(todo), num_envs):
        some = todo[start : start + num_envs]
        env: Any = gym.make_vec(env_id, num_envs=len(some), vector_kwargs=None, **keywords)
        _, info = env.reset(seed=0, options={"problem": some})
        episodes: list[list[Turn]] = [[] for _ in some]
        playing = np.ones(len(some), bool)
        prudence = Prudence(env.batch, some) if prudent else None
        while playing.any():
            commands = env.expert_action()
            if prudence is not None:
                commands = [prudence(i, command) if playing[i] else command for i, command in enumerate(commands)]
            for i in np.flatnonzero(playing):
                episodes[i].append(Turn(info["messages"][i], commands[i]))
            if stray:
                free = _free_slots(env.batch)
                lost = draw.random(len(some)) < stray
                commands = [
                    f"store {free[i]}" if lost[i] and free[i] and command == "next" else command
                    for i, command in enumerate(commands)
                ]
            _, _, terminated, truncated, info = env.step(commands)
            playing &= ~(terminated | truncated)
        env.close()
        yield from episodes


class Prudence:
    """Turns the commands of experts that read on into those of prudent ones.

    Args:
        batch: environments, each at the beginning of its problem.
        problems: (N,) which they play.

    Raises:
        ValueError: the source has no solver.
    """

    def __init__(self, batch: Any, problems: np.ndarray) -> None:
        if not hasattr(batch.source, "needed"):
            raise ValueError(f"a prudent expert asks a solver what would be needed, and {batch.source.name} has none")
        self._batch, self._problems = batch, np.asarray(problems).tolist()

    def __call__(self, i: int, command: str) -> str:
        """The command of environment `i`, given that of the expert who knows the rest of the text."""
        batch, state = self._batch, self._batch.memory.state[i]
        at = int(state["cursor"])
        if command != "next" or at >= state["num_units"]:
            return command
        needed = batch.source.needed(self._problems[i], at + 1)
        if at not in needed:
            return command
        held = batch.memory.held["unit"][i]
        may = batch.observation.action_mask[i, 1 : 1 + batch.shapes.slots].astype(bool)
        for slots in ((held < 0).all(1), ~np.isin(held, needed).any(1)):
            if (may & slots).any():
                return f"store {1 + int((may & slots).argmax())}"
        return command


def chosen_turns(
    episodes: Iterable[Sequence[Turn]], reading: float, words: Collection[str] = (), near: float = 0.0, seed: int = 0
) -> list[list[Turn]]:
    """The turns to learn from, by episode: all that do something, and some of those that read on, nearly all in long texts.

    Args:
        episodes: of an expert.
        reading: turns of reading on for each of the others, where an episode has so many.
        words: that tell something; a turn is near where the question and the unit on the desk have one of them in common.
        near: share of the turns of reading on that are near, where there are so many.
        seed: of the choice.

    Raises:
        ValueError: `reading` is negative, or `near` no share.
    """
    if not reading >= 0 or not 0 <= near <= 1:
        raise ValueError(f"reading must not be negative and near lie in [0, 1], got {reading!r} and {near!r}")
    draw, kept, chosen = rng(seed, 21), frozenset(words), list[list[Turn]]()
    for episode in episodes:
        acts = [turn for turn in episode if turn.reply != "next"]
        reads = [episode[i] for i in draw.permutation(len(episode)) if episode[i].reply == "next"]
        reads.sort(key=lambda turn: not _is_near(turn, kept))
        count = min(len(reads), round(reading * len(acts)))
        some = round(near * count)
        chosen.append([*acts, *reads[:some], *reads[len(reads) - (count - some) :]])
    return chosen


def _is_near(turn: Turn, words: frozenset[str]) -> bool:
    """Whether the unit on the desk has one of these words in common with the question."""
    lines = turn.chat[-1]["content"].splitlines()
    question = next(line for line in lines if line.startswith("Question"))
    desk = next(line for line in lines if line.startswith("Desk"))
    return not words.isdisjoint(set(WORD.findall(question)) & set(WORD.findall(desk)))


def _free_slots(batch: Any) -> np.ndarray:
    """(N,) the first slot that is free and may be stored into, from 1; 0 = none."""
    slots = batch.shapes.slots
    open_ = batch.observation.action_mask[:, 1 : 1 + slots].astype(bool) & (batch.memory.held["unit"] < 0).all(2)
    return np.where(open_.any(1), 1 + open_.argmax(1), 0)


def tokens_of(turn: Turn, prompter: Prompter) -> tuple[list[int], list[int]]:
    """(prompt, reply with its end) in token ids."""
    return prompter(turn.chat), [*prompter.plain(turn.reply), prompter.end]
