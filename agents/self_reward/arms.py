"""Where an arm's belief that an episode succeeded comes from: gold outcomes, agreement among samples, or a few annotated steps.

| arm | may read | label of an episode | what its judge learns |
| --- | --- | --- | --- |
| `gold` | whether each training answer was right | that | its episodes' labels (value) |
| `none` | nothing | whether its answer is that of the strict plurality of the samples of its problem | the same (value) |
| `annotation` | the steps of a few episodes, sound or not | what the judge says of its last step | the bought steps (correct) |

That nothing else is read is enforced: environments of `none` and `annotation` are made with no weight on outcomes, so that the
source is loaded without annotation, and their problems raise `GoldSealedError` when answers or support are read all the same.
Step annotation is bought by the step from environments of its own.

Axes: E episodes, S samples of a problem, T steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from agents.self_reward.episodes import Episode, Played, replayed
from agents.self_reward.playing import Player
from reasongym.adapters.sb3 import ReasonGymVecEnv, make_vec_env
from reasongym.envs import SETTING_KEYWORDS, ReasonGymVectorEnv
from reasongym.errors import unknown
from reasongym.prm.correctness import CausalPRM
from reasongym.types import Problem, ProblemSource


class GoldSealedError(PermissionError):
    """Gold answers or support were read in a run that must not."""


@dataclass(frozen=True)
class Arm:
    """What a run may read, and what it pays for.

    Attributes:
        name: of `ARMS`.
        supervision: in words, for tables.
        meaning: of the judge's probabilities (`judge.MEANINGS`).
        sealed: whether gold and support raise when they are read.
        beta: weights to begin with, beside the PRM's own.
    """

    name: str
    supervision: str
    meaning: str
    sealed: bool
    beta: Mapping[str, float]


def _beta(**weights: float) -> Mapping[str, float]:
    return MappingProxyType({"validity": 0.05, "judge": 0.3, **weights})


ARMS = {
    arm.name: arm
    for arm in (
        Arm("gold", "outcomes of training episodes + lexical PRM + own judge", "value", False, _beta(outcome=1.0)),
        Arm("none", "lexical PRM + own judge, fitted to agreement among samples", "value", True, _beta(verdict=0.5)),
        Arm("annotation", "lexical PRM + own judge, fitted to a few annotated steps", "correct", True, _beta(verdict=0.5)),
    )
}


def arm_of(name: str) -> Arm:
    """The arm of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in ARMS:
        raise unknown("arm", name, ARMS)
    return ARMS[name]


class SealedProblem:
    """A problem whose gold answers and support raise when they are read."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def __getattr__(self, name: str) -> Any:
        if name in ("answers", "support", "prerequisites"):
            raise GoldSealedError(f"{name!r} of {self._problem.name} was read, although this arm reads no gold and no support")
        return getattr(object.__getattribute__(self, "_problem"), name)


class SealedSource:
    """A source of sealed problems; it offers no columns, which would hand gold out by the array."""

    columns = None
    follows = None

    def __init__(self, source: ProblemSource) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        if name == "_source":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self._source, name)

    def problem(self, index: int) -> Any:
        """Problem `index`, sealed."""
        return SealedProblem(self._source.problem(index))


def make_env(arm: Arm, env_id: str, num_envs: int, seed: int, **keywords: Any) -> ReasonGymVecEnv:
    """Training environments of an arm: no utility, outcomes read only where the arm may, problems sealed where it may not.

    Args:
        arm: of `ARMS`.
        env_id, num_envs, seed: as for `make_vec_env`.
        keywords: as for `gym.make_vec`; `prm` (default "lexical") must need no annotation.

    Raises:
        ValueError: the PRM reads annotation, which is no arm's.
    """
    chosen = {"prm": "lexical", **keywords, "utility": "none", "utility_weight": 0.0, "split": "train"}
    chosen["beta"] = {"outcome": 0.0 if arm.sealed else 1.0}
    probe = make_vec_env(env_id, 1 if arm.sealed else num_envs, seed, **chosen)
    if probe.batch.settings.annotated:
        raise ValueError(f"prm={chosen['prm']!r} reads annotation: the PRM of self-reward must do without (say 'lexical')")
    if not arm.sealed:
        return probe
    settings = {name: value for name, value in chosen.items() if name in SETTING_KEYWORDS}
    settings |= {f"{name}_tokens": getattr(probe.batch.shapes, f"{name}_tokens") for name in ("unit", "question")}
    env = ReasonGymVecEnv(ReasonGymVectorEnv(dataset=SealedSource(probe.batch.source), num_envs=num_envs, **settings))
    env.seed(seed)
    return env


def labelled(arm: Arm, played: Played, samples: int) -> list[Episode]:
    """The episodes with label and pass rate; `annotation` labels by its judge's last word.

    Args:
        arm: whose supervision labels.
        played: P problems by S samples, those of a problem one after another.
        samples: S.
    """
    episodes = played.episodes
    if arm.name == "gold":
        labels = played.right.astype(float)
    elif arm.name == "none":
        labels = np.concatenate([agreement([e.answer for e in group]) for group in _groups(episodes, samples)])
    else:
        labels = np.array([e.scores[-1, -1] if e.answer is not None else 0.0 for e in episodes], float)
    rates = [_mean(labels[i : i + samples]) for i in range(0, len(labels), samples)]
    return [
        replace(e, label=float(label), pass_rate=rates[i // samples])
        for i, (e, label) in enumerate(zip(episodes, labels.tolist(), strict=True))
    ]


def agreement(answers: Sequence[str | None]) -> np.ndarray:
    """(S,) 1 for the answer that more samples give than any other (at least two), 0 for others; NaN where there is none.

    No answer at all counts 0 where others agree.
    """
    given = Counter(answer for answer in answers if answer is not None).most_common(2)
    if not given or given[0][1] < 2 or (len(given) > 1 and given[1][1] == given[0][1]):
        return np.full(len(answers), np.nan)
    return np.array([float(answer == given[0][0]) for answer in answers])


class StepAnnotator:
    """Sells step labels: 1 where a step is sound, 0 where it is an error, as far as it could be known at the time.

    Args:
        env_id, num_envs, keywords: of the annotated environments (the training split).

    Attributes:
        bits: sold so far, one a step.
    """

    def __init__(self, env_id: str, num_envs: int, **keywords: Any) -> None:
        chosen = {**keywords, "prm": CausalPRM(), "utility": "none", "utility_weight": 0.0, "split": "train"}
        self.env = make_vec_env(env_id, num_envs, 0, **chosen)
        self.bits = 0.0

    def annotate(self, player: Player, episodes: Sequence[Episode]) -> list[np.ndarray]:
        """A (T,) float array an episode; NaN where support is unknown."""
        found = replayed(player, self.env, episodes).episodes
        out = [(e.scores[:, 0].astype(float) + 1) / 2 for e in found]
        self.bits += float(sum((~np.isnan(labels)).sum() for labels in out))
        return out


def _groups(episodes: Sequence[Episode], size: int) -> list[Sequence[Episode]]:
    return [episodes[i : i + size] for i in range(0, len(episodes), size)]


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
