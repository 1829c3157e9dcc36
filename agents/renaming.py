"""Gives entities other names in every episode of training, where no answer names them: more stories from the same stories.

Whether Mary or Sandra took the milk, whether the triangle or the blue square is to the left: what follows from a text does
not depend on names, and what an agent learns of them by heart does not carry over to held-out stories. In each episode the
names of a kind that occur in a task change places, in question, desk, memory and chain alike. Kinds that hold the task's
answers keep their names, as the gold answer and the choices stand still. The same is done for entities of reading
comprehension by Hermann et al. (2015, arXiv 1506.03340), who replace every entity by a marker that is drawn anew.

Held-out problems are not touched: this wraps training environments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from agents.curriculum import problem_tasks
from reasongym.seeding import rng
from reasongym.tasks.source import BabiSource
from reasongym.tasks.worlds import lexicon

RENAMING = 0x72656E
"""Stream of the draws' generator, apart from those of the same seed elsewhere."""
PARTS = ("question", "unit", "memory", "chain")
"""The keys of an observation that hold words."""
GROUPS = (
    lexicon.PEOPLE, lexicon.DEDUCTION_NAMES, lexicon.INDUCTION_NAMES, lexicon.MOTIVATION_NAMES, lexicon.PLACES, lexicon.THINGS,
    lexicon.ANIMALS, lexicon.COLOURS, lexicon.SHAPES,
)  # fmt: skip
"""Names that may change places. (Containers have names of several words.)"""
MEANINGFUL = {20: lexicon.THINGS}
"""By task names that mean something in it: who gets milk is thirsty."""
PRONOUNS = frozenset(lexicon.tokenize("he she"))
SAMPLE = 200
"""Problems of a task in which its names are looked for."""


class Renaming(VecEnvWrapper):
    """Other names in every episode of bAbI's training environments.

    Args:
        venv: a `ReasonGymVecEnv` on a finite source of bAbI problems, or wrappers around one.
        seed: of the draws.

    Attributes:
        names: by task the groups of token ids that change places in it; a task without one is played as it is.

    Raises:
        TypeError: other environments.
        ValueError: the source is endless.
    """

    def __init__(self, venv: VecEnv, seed: int = 0) -> None:
        inner: Any = venv.unwrapped
        source = getattr(getattr(inner, "batch", None), "source", None)
        if not isinstance(source, BabiSource):
            raise TypeError(f"Renaming wraps a ReasonGymVecEnv on bAbI problems (adapters.sb3.make_vec_env), got {inner!r}")
        self._of = problem_tasks(source)
        super().__init__(venv)
        self.names = {task: exchangeable(source, np.flatnonzero(self._of == task)[:SAMPLE]) for task in source.tasks}
        self._problem = inner.batch.memory.state["problem"]  # a view: (N,) what is played now
        self._rng = rng(seed, RENAMING)
        self._table = np.tile(np.arange(len(lexicon.VOCABULARY) + 1, dtype=np.int16), (self.num_envs, 1))
        """(N, V) what stands for each token in each environment; 0 is padding."""

    def reset(self) -> Any:
        observation = self.venv.reset()
        self._draw(range(self.num_envs))
        return self._renamed(observation)

    def step_wait(self) -> Any:
        observation, rewards, dones, infos = self.venv.step_wait()
        ended = np.flatnonzero(dones).tolist()
        for i in ended:
            last = infos[i]["terminal_observation"]
            infos[i]["terminal_observation"] = {**last, **{part: self._table[i][last[part]] for part in PARTS}}
        self._draw(ended)
        return self._renamed(observation), rewards, dones, infos

    def feedback(self, amount: np.ndarray) -> Any:
        """As the wrapped environments' `feedback`, with the names of the episodes."""
        return self._renamed(self.venv.feedback(amount))  # type: ignore[attr-defined]

    def _draw(self, rows: Sequence[int] | range) -> None:
        """New names for the episodes that begin."""
        for i in rows:
            self._table[i] = np.arange(self._table.shape[1])
            for group in self.names[int(self._of[self._problem[i]])]:
                self._table[i, group] = self._rng.permutation(group)

    def _renamed(self, observation: Any) -> dict[str, np.ndarray]:
        rows = np.arange(self.num_envs)
        return {
            **observation,
            **{part: self._table[rows.reshape(-1, *[1] * (observation[part].ndim - 1)), observation[part]] for part in PARTS},
        }

    def get_state(self) -> dict[str, Any]:
        """The environments' state, the names, and the generator's state."""
        own = {"table": self._table.copy(), "generator": self._rng.bit_generator.state}
        return {"environments": self.venv.get_state(), **own}  # type: ignore[attr-defined]

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`."""
        self.venv.set_state(state["environments"])  # type: ignore[attr-defined]
        self._table[:] = state["table"]
        self._rng.bit_generator.state = state["generator"]


def exchangeable(source: BabiSource, problems: np.ndarray) -> list[np.ndarray]:
    """The groups of token ids that change places in the task of these problems.

    They are the names of `GROUPS` that the problems hold, where none is an answer of the task or means something in it; where
    there are pronouns, people are grouped by the pronoun that stands for them.
    """
    texts = [source.problem(int(problem)) for problem in problems]
    world = next(world for world in source.worlds if world.task == texts[0].task)
    told = {token for text in texts for line in (*text.story.units, text.question) for token in source.tokenize(line)}
    fixed = {part for answer in world.answers for part in answer.split(",")} | set(MEANINGFUL.get(world.task, ()))
    groups = []
    for group in GROUPS:
        held = [name for name in group if source.tokenize(name)[0] in told]
        if set(group) & fixed:
            continue
        for part in by_pronoun(held) if told & PRONOUNS else (held,):
            if len(part) > 1:
                groups.append(np.array([source.tokenize(name)[0] for name in part], np.int16))
    return groups


def by_pronoun(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that "she" stands for, and the others."""
    return [name for name in names if name in lexicon.FEMALE], [name for name in names if name not in lexicon.FEMALE]
