"""Episodes as they are kept: what was done, what memory held, what each criterion said; and playing them, once or again.

An episode begins at a problem, and its states follow from its actions alone, so no observation is kept: `play` with the
recorded actions computes them again, scores included, by whatever PRM and judge there are now.

Axes: E episodes, T steps of one, F steps of all of them (episode by episode), N environments, K slots, U units a slot,
k criteria: the PRM's, `outcome`, `validity`, and last `judge`, the judge's probability in [0, 1] as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.self_reward.playing import Chunk, Player
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.errors import DataError
from reasongym.seeding import hash64

NO_JUDGE = "none"
"""What stands for the judge's version where none scored."""


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode.

    Attributes:
        problem: index in its source.
        source: the source's name.
        story: hash of the text, by which held-out texts are refused.
        seed: of the sampling that chose the actions (told, not needed: the actions are here).
        actions: (T,) int32.
        memory: (T, K, U) int16 unit held in each place when the action was chosen, -1 none: the trace of the memory.
        scores: (T, k) float32, raw; NaN = unscored.
        answer: what was answered, "" for an abstention; None: nothing.
        prm, judge, beta: versions of what scored it, and of the weights it was played under.
        round: in which it was played.
        label: how far it is believed to have succeeded, in [0, 1], by the arm's supervision; NaN = unknown.
        pass_rate: mean label of the episodes of its problem in that round; NaN = unknown.
        advantage: mean over the steps of max(R - V, 0) when it was looked at last.
    """

    problem: int
    source: str
    story: int
    seed: int
    actions: np.ndarray
    memory: np.ndarray
    scores: np.ndarray
    answer: str | None
    prm: str
    judge: str
    beta: str
    round: int
    label: float = float("nan")
    pass_rate: float = float("nan")
    advantage: float = 0.0

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class Played:
    """Episodes, and what the player read and thought in their steps.

    Attributes:
        episodes: E.
        observations: by key (F, ...), as the player read them.
        states: the cores' states before each step, each (F, ...); () without memory.
        values: (F,) float32.
        starts: (E + 1,) where episodes begin in F.
        right: (E,) bool, whether the answer was right; all False where gold is not read.
    """

    episodes: list[Episode]
    observations: dict[str, np.ndarray]
    states: tuple[np.ndarray, ...]
    values: np.ndarray
    starts: np.ndarray
    right: np.ndarray

    @property
    def actions(self) -> np.ndarray:
        """(F,) int64."""
        return np.concatenate([episode.actions for episode in self.episodes]).astype(np.int64)

    def spread(self, by_episode: np.ndarray) -> np.ndarray:
        """(E,) -> (F,): each episode's number at each of its steps."""
        return np.repeat(by_episode, np.diff(self.starts))


def criteria_of(env: ReasonGymVecEnv) -> tuple[str, ...]:
    """Names of the columns of `Episode.scores`."""
    return (*env.batch.settings.criteria, "judge")


def story_key(env: ReasonGymVecEnv, problem: int) -> int:
    """Hash of a problem's text; two problems with the same one are told from the same story."""
    return hash64("\n".join(env.batch.source.problem(int(problem)).story.units))


def play(
    player: Player,
    env: ReasonGymVecEnv,
    problems: np.ndarray,
    *,
    judge: Any = None,
    forced: Sequence[np.ndarray] | None = None,
    keep: bool = True,
    deterministic: bool = False,
    seed: int = 0,
    round_: int = 0,
    beta: str = "",
) -> Played:
    """Plays each problem once; draws from torch's generator.

    Args:
        player: who plays.
        env: environments; their number changes the draws, and nothing else.
        problems: (E,) indices.
        judge: scores every step (see `judge.Judge`); None leaves it NaN.
        forced: E arrays of actions to begin with, of any length; then the player goes on.
        keep: whether observations, states and values are wanted; else forced steps cost next to nothing, and none is judged.
        deterministic: the most probable action instead of a sample.
        seed, round_, beta: written into the episodes.

    Raises:
        ValueError: a forced action comes after the end of its episode.
    """
    given = [np.zeros(0, np.int32)] * len(problems) if forced is None else list(forced)
    order = np.argsort([len(actions) for actions in given], kind="stable")  # what is about equally long is played side by side
    parts: list[Any] = [None] * len(problems)
    for begin in range(0, len(order), env.num_envs):
        rows = order[begin : begin + env.num_envs]
        chunk = Chunk(player, env, problems[rows], [given[i] for i in rows], judge, keep, deterministic)
        while chunk.playing.any():
            chunk.step()
        for row, place in enumerate(rows.tolist()):
            parts[place] = chunk.part(row)
    name, version = env.batch.source.name, env.batch.settings.model.version
    judged = NO_JUDGE if judge is None else judge.version
    episodes = [
        Episode(int(problem), name, story_key(env, problem), seed, part.actions, part.memory, part.scores, part.answer,
                version, judged, beta, round_)
        for problem, part in zip(problems, parts, strict=True)
    ]  # fmt: skip
    return Played(
        episodes,
        {key: np.concatenate([part.read[key] for part in parts]) for key in parts[0].read},
        tuple(np.concatenate(tensors) for tensors in zip(*[part.states for part in parts], strict=True)),
        np.concatenate([part.values for part in parts]),
        np.concatenate([[0], np.cumsum([len(part.actions) for part in parts])]),
        np.array([part.right for part in parts], bool),
    )


def replayed(player: Player, env: ReasonGymVecEnv, episodes: Sequence[Episode], judge: Any = None) -> Played:
    """The same episodes from their starts: states computed again, scored by the PRM and the judge that there are now.

    Raises:
        DataError: what memory holds is not what was recorded: the environment is another one.
    """
    problems = np.array([episode.problem for episode in episodes])
    again = play(player, env, problems, judge=judge, forced=[episode.actions for episode in episodes])
    for old, new in zip(episodes, again.episodes, strict=True):
        if old.story != new.story or len(old) != len(new) or not np.array_equal(old.memory, new.memory):
            raise DataError(
                f"an episode of problem {old.problem} of {old.source} does not replay: its text, or what memory held, is not "
                f"what was recorded. It is of other data or other settings than these environments ({env.batch.source.name})"
            )
    return again
