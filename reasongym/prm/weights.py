"""How much each criterion counts: β fixed, given by the selection of the step, or fitted between rounds; scaling and gates.

| weight | where it comes from |
| --- | --- |
| fixed | `beta` of the environment, or `default_beta` of the PRM |
| of the selection | a PRM that returns `Scores(values, weights)`, as `TreePRM` can: what is nearer to the aspect counts more |
| fitted | `fit_beta`: how well a criterion's scores tell, before the answer, whether the episode will succeed |

`fit_beta` never reads the cells of ANSWER steps: there a score that looked at the answer would predict success perfectly and
teach nothing about steps. It runs between rounds; within one, β stands still, or old and new rewards would not compare.

`Reweighted` puts a scale on every criterion *before* the sum, so that one with a wide spread does not drown the others, and
gates an easy criterion on a hard one: it counts only where the hard one is met (both after GDPO: Liu et al., 2026, arXiv
2601.05242). `group_advantages` is their normalisation for groups of rollouts.

Axes: n steps or rollouts, T steps of an episode, k criteria.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from reasongym.errors import unknown
from reasongym.metrics.statistics import auc
from reasongym.prm.base import ProcessRewardModel, Scores, StepBatch, carry_size, check_prm
from reasongym.prm.combinators import _call

LEAST_SPREAD = 0.05
"""A criterion whose scores spread less is scaled as if they spread this much: it would be noise, enlarged."""


class Gate(NamedTuple):
    """The criterion that must be met, and the least score that counts as met."""

    hard: str
    least: float = 0.0


class EpisodeScores(NamedTuple):
    """One episode for `fit_beta`.

    Attributes:
        scores: (T, k) in [-1, 1], NaN = unscored.
        answers: (T,) bool, which steps answer; they are left out.
        success: whether the episode succeeded.
    """

    scores: np.ndarray
    answers: np.ndarray
    success: bool


class BetaFit(NamedTuple):
    """Fitted weights.

    Attributes:
        beta: weight by criterion; their sum is that of the prior.
        auc: how often a success has the higher mean score, by criterion; NaN where it cannot be told.
        trust: share in [0, 1] that the data has in `beta`, the rest being the prior's.
    """

    beta: dict[str, float]
    auc: dict[str, float]
    trust: float


def fit_beta(
    criteria: Sequence[str], episodes: Sequence[EpisodeScores], prior: Mapping[str, float], *, strength: float = 50.0
) -> BetaFit:
    """β for the next round: in proportion to max(0, 2·AUC − 1), drawn towards the prior while there is little data.

    Args:
        criteria: k names.
        episodes: of the round that is over.
        prior: weights so far, none negative, not all 0; a criterion without an entry weighs 1.
        strength: with so many successes and so many failures, data and prior count equally.

    Raises:
        ValueError: a negative prior, all 0, or an episode whose arrays do not fit.
    """
    before = np.array([prior.get(name, 1.0) for name in criteria], dtype=float)
    if not (before >= 0).all() or not before.sum() > 0 or not np.isfinite(before).all():
        raise ValueError(f"the prior's weights must be finite, none negative and not all 0, got {dict(prior)!r}")
    if not 0 <= strength < np.inf:
        raise ValueError(f"strength must be a finite number of at least 0, got {strength!r}")
    means = np.stack([_before_answers(e, len(criteria)) for e in episodes]) if episodes else np.zeros((0, len(criteria)))
    success = np.array([bool(e.success) for e in episodes], bool)
    found = {}
    for i, name in enumerate(criteria):
        scored = ~np.isnan(means[:, i])
        found[name] = auc(means[scored, i].tolist(), success[scored].tolist())
    told = np.maximum(0, 2 * np.nan_to_num([found[name] for name in criteria], nan=0.5) - 1)
    rarer = min(int(success.sum()), int((~success).sum()))
    trust = rarer / (rarer + strength) if rarer and told.sum() > 0 else 0.0
    share = trust * told / max(told.sum(), 1e-12) + (1 - trust) * before / before.sum()
    return BetaFit(dict(zip(criteria, (before.sum() * share).tolist(), strict=True)), found, trust)


def _before_answers(episode: EpisodeScores, k: int) -> np.ndarray:
    """(k,) mean score of the steps that do not answer; NaN where none is scored."""
    scores, answers = np.asarray(episode.scores, dtype=float), np.asarray(episode.answers)
    if scores.ndim != 2 or scores.shape[1] != k or answers.shape != scores.shape[:1] or answers.dtype != bool:
        raise ValueError(
            f"an episode has scores (T, {k}) and answers (T,) bool, got {scores.shape} and {answers.dtype} {answers.shape}"
        )
    seen = ~np.isnan(scores) & ~answers[:, None]
    count = seen.sum(axis=0)
    return np.divide(np.where(seen, scores, 0).sum(axis=0), count, out=np.full(k, np.nan), where=count > 0)


def fit_scale(criteria: Sequence[str], scores: np.ndarray) -> dict[str, float]:
    """1 over the spread of each criterion's scores, the mean of all factors being 1.

    Args:
        criteria: k names.
        scores: (n, k) of earlier steps; NaN = unscored. A criterion without two scores gets the factor 1 before averaging.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or scores.shape[1] != len(criteria):
        raise ValueError(f"scores must be (n, {len(criteria)}), got {scores.shape}")
    factors = np.ones(len(criteria))
    for i, column in enumerate(scores.T):
        column = column[~np.isnan(column)]
        if len(column) > 1:
            factors[i] = 1 / max(float(column.std()), LEAST_SPREAD)
    return dict(zip(criteria, (factors / factors.mean()).tolist(), strict=True))


class Reweighted:
    """A PRM with other weights: the same criteria and values, the weights of each step multiplied.

    Args:
        prm: the PRM inside.
        beta: replaces its `default_beta`, in part or whole; what `fit_beta` gave, say.
        scale: a positive factor by criterion; what `fit_scale` gave, say. Others keep 1.
        gates: by easy criterion the gate that it stands behind; unscored is not met.

    Raises:
        ValueError: an unknown criterion, a factor that is not positive, or gates in a circle.
    """

    def __init__(
        self,
        prm: ProcessRewardModel,
        *,
        beta: Mapping[str, float] | None = None,
        scale: Mapping[str, float] | None = None,
        gates: Mapping[str, Gate] | None = None,
    ) -> None:
        self.prm = check_prm(prm, "Reweighted")
        beta, scale, gates = dict(beta or {}), dict(scale or {}), dict(gates or {})
        for name in (*beta, *scale, *gates, *(gate.hard for gate in gates.values())):
            if name not in prm.criteria:
                raise unknown("criterion in Reweighted", name, prm.criteria)
        for what, numbers in (("beta", beta), ("scale", scale)):
            for name, value in numbers.items():
                if isinstance(value, bool) or not np.isfinite(value) or (what == "scale" and value <= 0):
                    raise ValueError(
                        f"{what}[{name!r}] must be a {'positive ' * (what == 'scale')}finite number, got {value!r}"
                    )
        _no_circle(gates)
        self.criteria, self.needs_annotation = prm.criteria, prm.needs_annotation
        self.carry_size = carry_size(prm)
        self.cacheable = getattr(prm, "cacheable", True)
        self.default_beta: Mapping[str, float] = {**prm.default_beta, **beta}
        self._scale = np.array([scale.get(name, 1.0) for name in prm.criteria], np.float32)
        place = prm.criteria.index
        self._gates = [(place(easy), place(gate.hard), gate.least) for easy, gate in gates.items()]
        factors = ", ".join(f"{name}={value:g}" for name, value in scale.items())
        behind = ", ".join(f"{easy}<-{gate.hard}>={gate.least:g}" for easy, gate in gates.items())
        self._reweighting = f"{factors}; {behind}"

    @property
    def version(self) -> str:
        """Changes with the PRM inside."""
        return f"reweighted[{self.prm.version}; {self._reweighting}]"

    def score(self, steps: StepBatch) -> Scores:
        """(n, k) values of the PRM inside, and its weights times scale, 0 behind a closed gate."""
        values, weights = _call(self.prm, steps, steps.carry)
        weights = weights * self._scale
        for easy, hard, least in self._gates:
            weights[:, easy] *= np.nan_to_num(values[:, hard], nan=-np.inf) >= least
        return Scores(values, weights)


def _no_circle(gates: Mapping[str, Gate]) -> None:
    for easy in gates:
        seen, name = {easy}, gates[easy].hard
        while name in gates and name not in seen:
            seen.add(name)
            name = gates[name].hard
        if name in seen:
            raise ValueError(
                f"gates in a circle: {easy!r} stands behind {gates[easy].hard!r}, and that in the end behind itself"
            )


def group_advantages(rewards: np.ndarray, groups: np.ndarray, beta: Sequence[float]) -> np.ndarray:
    """Advantages of rollouts, each reward normalised within its group before the sum, the sum over the batch after it.

    Summing first would give a rollout that wins on one criterion the advantage of one that wins on two.

    Args:
        rewards: (n, k), NaN = unscored: counts as the group's mean.
        groups: (n,) which group a rollout is of.
        beta: (k,) weights.

    Returns:
        (n,) of mean 0 and, unless all are equal, standard deviation 1.
    """
    rewards, groups = np.asarray(rewards, dtype=float), np.asarray(groups)
    if rewards.ndim != 2 or groups.shape != rewards.shape[:1] or len(beta) != rewards.shape[1]:
        raise ValueError(f"expected rewards (n, k), groups (n,), beta (k,), got {rewards.shape}, {groups.shape}, {len(beta)}")
    total = np.zeros(len(rewards))
    for group in np.unique(groups):
        rows = groups == group
        for column, weight in zip(rewards[rows].T, beta, strict=True):
            total[rows] += weight * _standardised(column)
    return _standardised(total)


def _standardised(values: np.ndarray) -> np.ndarray:
    """(values − mean)/std over what is not NaN; 0 for NaN, and where all are equal."""
    known = ~np.isnan(values)
    spread = values[known].std() if known.any() else 0.0
    if spread < 1e-9:
        return np.zeros_like(values)
    return np.where(known, (np.nan_to_num(values) - values[known].mean()) / spread, 0)
