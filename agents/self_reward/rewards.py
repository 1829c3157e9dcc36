"""What a step earns: weights β over the PRM's criteria and the judge's, criteria behind gates, and environments that pay it.

Between rounds β is fitted to what the round showed (`reasongym.prm.weights.fit_beta`), and a criterion is put behind the judge
where it tells success better once the judge is content (`fit_gates`). Raw scores are kept, so what a recorded step earns can be
computed for any weights.

Axes: n steps, T steps of an episode, k criteria (`episodes.criteria_of`: the last is the judge's raw probability).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from agents.self_reward.episodes import Episode, criteria_of
from agents.self_reward.judge import Judge, judge_scores
from reasongym.errors import unknown
from reasongym.metrics.statistics import auc
from reasongym.prm.base import ENVIRONMENT_CRITERIA
from reasongym.prm.weights import EpisodeScores, Gate, fit_beta

JUDGED = ("judge", "verdict")
"""Criteria that are the judge's: of steps before the last one, and of the last one."""
FEWEST = 20
"""Successes, and failures, without which no gate is fitted."""
GAIN = 0.05
"""How much better (in AUC) a criterion must tell success behind the gate."""


@dataclass(frozen=True)
class Weighting:
    """Weights and gates.

    Attributes:
        beta: weight by criterion: the PRM's, `outcome`, `validity`, `judge`, `verdict`; missing ones weigh 0.
        gates: by criterion of the PRM the gate `Gate("judge", least)`: it counts where 2p - 1 >= least.
        meaning: what the judge's probabilities mean (`judge.MEANINGS`).
    """

    beta: Mapping[str, float]
    gates: Mapping[str, Gate] = field(default_factory=dict)
    meaning: str = "value"

    @property
    def version(self) -> str:
        """What is written into episodes."""
        gates = {name: list(gate) for name, gate in self.gates.items()}
        return json.dumps({"beta": dict(self.beta), "gates": gates, "meaning": self.meaning}, sort_keys=True)

    def terms(
        self, criteria: Sequence[str], scores: np.ndarray, before: np.ndarray, answered: np.ndarray, ended: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Weighted terms (n,) by name; their sum is the reward.

        Args:
            criteria: k names, "judge" last.
            scores: (n, k) raw.
            before: (n,) the judge's probability of the step before; NaN where an episode begins.
            answered, ended: as for `judge_scores`.
        """
        now = scores[:, -1].astype(np.float64)
        steps, verdicts = judge_scores(now, before, answered, ended, self.meaning)
        out = {}
        for name, column in zip(criteria[:-1], scores.T[:-1].astype(np.float64), strict=True):
            counted = np.nan_to_num(column)
            if name in self.gates:
                counted = counted * (np.nan_to_num(2 * now - 1, nan=-np.inf) >= self.gates[name].least)
            out[name] = self.beta.get(name, 0.0) * counted
        return {**out, "judge": self.beta.get("judge", 0.0) * steps, "verdict": self.beta.get("verdict", 0.0) * verdicts}

    def rewards(self, episode: Episode, criteria: Sequence[str], answers: int) -> np.ndarray:
        """(T,) float64 what an episode's steps earn; `answers` is the first ANSWER action."""
        terms = self.terms(criteria, *_columns(episode, answers))
        return np.sum(list(terms.values()), axis=0)

    def returns(self, episode: Episode, criteria: Sequence[str], answers: int, gamma: float) -> np.ndarray:
        """(T,) float64 discounted sums of what is earned from each step on."""
        out = self.rewards(episode, criteria, answers)
        for t in range(len(out) - 2, -1, -1):
            out[t] += gamma * out[t + 1]
        return out

    def fitted(self, episodes: Sequence[Episode], criteria: Sequence[str], answers: int, strength: float = 50.0) -> Weighting:
        """The weights and gates of the next round, from this one's episodes with a label.

        β moves among the PRM's criteria and `judge`; `outcome`, `validity` and `verdict` stay.
        """
        moved = [name for name in criteria if name not in ENVIRONMENT_CRITERIA]
        known = [episode for episode in episodes if not np.isnan(episode.label)]
        shown = []
        for episode in known:
            scores, before, answered, ended = _columns(episode, answers)
            steps, _ = judge_scores(scores[:, -1].astype(np.float64), before, answered, ended, self.meaning)
            kept = [steps if name == "judge" else scores[:, criteria.index(name)] for name in moved]
            shown.append(EpisodeScores(np.stack(kept, 1), np.asarray(episode.actions) >= answers, episode.label >= 0.5))
        prior = {name: self.beta.get(name, 0.0) for name in moved}
        if not known or not sum(prior.values()) > 0:
            return self
        fit = fit_beta(moved, shown, prior, strength=strength)
        return replace(self, beta={**self.beta, **fit.beta}, gates=fit_gates(known, criteria, answers))


def fit_gates(episodes: Sequence[Episode], criteria: Sequence[str], answers: int) -> dict[str, Gate]:
    """Criteria of the PRM that tell success better by `GAIN` where the judge is as content as it mostly is in successes.

    Args:
        episodes: with labels.
        criteria: k names, "judge" last.
        answers: the first ANSWER action; from there on nothing is looked at.
    """
    success = [bool(episode.label >= 0.5) for episode in episodes]
    if min(sum(success), len(success) - sum(success)) < FEWEST:
        return {}
    before = [episode.scores[np.asarray(episode.actions) < answers] for episode in episodes]
    content = np.concatenate([2 * s[:, -1] - 1 for s, good in zip(before, success, strict=True) if good])
    content = content[~np.isnan(content)]
    if not len(content):
        return {}
    least = float(np.median(content))
    out = {}
    for column, name in enumerate(criteria[:-1]):
        if name in ENVIRONMENT_CRITERIA:
            continue
        plain = _told([s[:, column] for s in before], success)
        behind = _told([np.where(2 * s[:, -1] - 1 >= least, s[:, column], 0 * s[:, column]) for s in before], success)
        if behind >= plain + GAIN:
            out[name] = Gate("judge", least)
    return out


def _told(scores: list[np.ndarray], success: list[bool]) -> float:
    """AUC of the episodes' mean score; episodes without any are left out, 0.5 where it cannot be told."""
    means = [(float(np.nanmean(s)), good) for s, good in zip(scores, success, strict=True) if not np.isnan(s).all()]
    found = auc([mean for mean, _ in means], [good for _, good in means])
    return 0.5 if np.isnan(found) else found


def _columns(episode: Episode, answers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An episode as the arguments of `Weighting.terms`."""
    ended = np.arange(len(episode)) == len(episode) - 1
    before = np.concatenate([[np.nan], episode.scores[:-1, -1]])
    return episode.scores, before, ended & (np.asarray(episode.actions) >= answers), ended


class SelfRewardVecEnv(VecEnvWrapper):
    """Environments that pay what a `Weighting` says, of their PRM's raw scores and the agent's judge.

    Args:
        venv: ReasonGym environments.
        weighting: the weights.
        judge: None until there is one: then its terms are 0.

    Attributes:
        ended: episodes that have ended so far: each told its outcome, where outcomes are paid.
        paid: sums of the terms by name, over all steps so far.
    """

    inner: Any

    def __init__(self, venv: VecEnv, weighting: Weighting, judge: Judge | None = None) -> None:
        super().__init__(venv)
        self.inner = venv.unwrapped
        self.weighting, self.judge = weighting, judge
        self.criteria = criteria_of(self.inner)
        self.answers = 1 + 3 * self.inner.batch.shapes.slots
        unknown_names = [name for name in weighting.beta if name not in (*self.criteria, *JUDGED)]
        if unknown_names:
            raise unknown("criterion", unknown_names[0], (*self.criteria, *JUDGED))
        if weighting.beta.get("outcome") and not self.inner.batch.settings.reads_gold:
            raise PermissionError("outcomes are to be paid for, but these environments read no gold answers")
        self.ended, self.paid = 0, dict.fromkeys((*self.criteria[:-1], *JUDGED), 0.0)
        self._before = np.full(self.num_envs, np.nan)

    def reset(self) -> Any:
        self._observation: Any = self.venv.reset()
        self._before[:] = np.nan
        return self._observation

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = np.asarray(actions)
        super().step_async(actions)

    def step_wait(self) -> Any:
        now = np.full(self.num_envs, np.nan, np.float32)
        if self.judge is not None:
            now = self.judge.probability(self._observation, self._actions)
        self._observation, _, dones, infos = self.venv.step_wait()
        scores = np.concatenate([self.inner.scores, now[:, None]], axis=1)
        terms = self.weighting.terms(self.criteria, scores, self._before, dones & (self._actions >= self.answers), dones)
        for name, term in terms.items():
            self.paid[name] += float(term.sum())
        self.ended += int(dones.sum())
        self._before = np.where(dones, np.nan, now)
        return self._observation, np.sum(list(terms.values()), axis=0).astype(np.float32), dones, infos
