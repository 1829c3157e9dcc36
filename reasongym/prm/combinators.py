"""PRMs made of PRMs: a weighted sum, and three ways to keep a sum of good steps from being worth more than a right answer.

| combinator | criteria | what the rewards of an episode add up to |
| --- | --- | --- |
| `WeightedSum` | those of its parts, itemised | the weighted sum of its parts |
| `Clipped` | `combined` | at most 0: a step is penalised or nothing (Clip of Gao et al., 2024, arXiv 2410.15115) |
| `PotentialDifference` | `combined` | 0, or the last step's score: F = γΦ(s') − Φ(s) (Ng, Harada & Russell, 1999) |
| `SoftMinimum` | `combined` | the soft minimum of the steps' scores (PURE: Cheng et al., 2025, arXiv 2504.15275) |

The value of a step is p = Σ_i β_i s_i / Σ_i |β_i| over the criteria of the PRM inside, an unscored one adding 0, and p itself
unscored where all are. `default_beta` of `combined` gives the scale back, so a combinator pays in the currency of the PRM inside.

Two of them need earlier steps of the episode. They keep them in `StepBatch.carry`, which belongs to the environments: it is cleared,
saved and copied with them, so one object can serve many vectors at once and nothing passes from one environment to another.

Axes: n steps, k criteria, c numbers carried per environment.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from reasongym.errors import PRMError, unknown
from reasongym.prm.base import ProcessRewardModel, Scores, StepBatch, carry_size, check_prm, checked_scores

COMBINED = "combined"


def _call(prm: ProcessRewardModel, steps: StepBatch, carry: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(values, weights), (n, k) each, of a part: it sees its own carry, and annotation only when it declares so."""
    if carry_size(prm) and carry is None:
        raise _no_carry(type(prm).__name__, carry_size(prm))
    annotation = steps._annotation if prm.needs_annotation else None
    part = replace(steps, carry=carry, _annotation=annotation)
    values, weights = checked_scores(prm, prm.score(part), len(steps))
    return values, np.ones_like(values) if weights is None else weights


def _no_carry(name: str, size: int) -> PRMError:
    return PRMError(
        f"{name} keeps {size} numbers from step to step of an episode, but this StepBatch has no carry; "
        f"pass carry=np.zeros((n, {size})) at the first step and the same array at the following ones"
    )


def _positive(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < np.inf:
        raise ValueError(f"{name} must be a positive finite number, got {value!r}")
    return float(value)


class WeightedSum:
    """Several PRMs at once, each criterion still on its own; one that several parts have is their weighted mean.

    Args:
        prms: the parts.
        weights: a positive factor for each part's `default_beta`; all 1 by default.
    """

    def __init__(self, *prms: ProcessRewardModel, weights: Sequence[float] | None = None) -> None:
        if not prms:
            raise ValueError("WeightedSum needs at least one PRM")
        self.prms = tuple(check_prm(prm, f"WeightedSum part {i}") for i, prm in enumerate(prms))
        factors = [_positive("a weight of WeightedSum", w) for w in (weights if weights is not None else [1] * len(prms))]
        if len(factors) != len(prms):
            raise ValueError(f"WeightedSum got {len(factors)} weights for {len(prms)} PRMs; it takes one for each")
        self.criteria = tuple(dict.fromkeys(c for prm in prms for c in prm.criteria))
        self.needs_annotation = any(prm.needs_annotation for prm in prms)
        self.carry_size = sum(map(carry_size, prms))
        self.cacheable = self.carry_size == 0 and any(getattr(prm, "cacheable", True) for prm in prms)
        self._shares = [[w * prm.default_beta.get(c, 1.0) for c in prm.criteria] for w, prm in zip(factors, prms, strict=True)]
        if any(share < 0 for shares in self._shares for share in shares):
            raise ValueError("WeightedSum takes PRMs whose default_beta is not negative")
        totals = dict.fromkeys(self.criteria, 0.0)
        for prm, shares in zip(self.prms, self._shares, strict=True):
            for criterion, share in zip(prm.criteria, shares, strict=True):
                totals[criterion] += share
        self.default_beta: Mapping[str, float] = totals
        self._factors = factors

    @property
    def version(self) -> str:
        """Changes with the parts, a judge that is calibrated among them."""
        return "sum[" + ", ".join(f"{w:g}*{prm.version}" for w, prm in zip(self._factors, self.prms, strict=True)) + "]"

    def score(self, steps: StepBatch) -> Scores:
        """(n, k) values and weights whose products, times `default_beta`, are the sum of the parts."""
        n, k = len(steps), len(self.criteria)
        paid, share_scored = np.zeros((n, k)), np.zeros((n, k))
        scored = np.zeros((n, k), bool)
        start = 0
        for prm, shares in zip(self.prms, self._shares, strict=True):
            end = start + carry_size(prm)
            values, weights = _call(prm, steps, None if steps.carry is None else steps.carry[:, start:end])
            columns = [self.criteria.index(c) for c in prm.criteria]
            share = np.where(np.isnan(values), 0, np.asarray(shares) * weights)
            paid[:, columns] += share * np.nan_to_num(values)
            share_scored[:, columns] += share
            scored[:, columns] |= ~np.isnan(values)
            start = end
        totals = np.array([self.default_beta[c] for c in self.criteria])
        value = np.divide(paid, share_scored, out=np.zeros_like(paid), where=share_scored != 0)
        weight = np.divide(share_scored, totals, out=np.zeros_like(paid), where=totals != 0)
        value = np.where(scored, np.clip(value, -1, 1), np.nan)  # a mean of scores, up to rounding
        return Scores(value.astype(np.float32), weight.astype(np.float32))


class _Combined:
    """What the combinators that are no sum share: one criterion, and the value of a step.

    Args:
        prm: the PRM inside; `WeightedSum` makes one of several.
        beta: weight by criterion of the PRM inside, overriding its `default_beta`.
        scale: largest |value| of this combinator in units of p, so that scores can be handed out in [-1, 1].
        own_carry: how many numbers this combinator carries, before those of the PRM inside.
        name: of the combinator with its arguments, for `version`.
    """

    criteria = (COMBINED,)

    def __init__(
        self, prm: ProcessRewardModel, beta: Mapping[str, float] | None, scale: float, own_carry: int, name: str
    ) -> None:
        self.prm = check_prm(prm, type(self).__name__)
        for name, weight in (beta or {}).items():
            if name not in prm.criteria:
                raise unknown(f"criterion in the beta of {type(self).__name__}", name, prm.criteria)
            if isinstance(weight, bool) or not isinstance(weight, (int, float, np.number)) or not np.isfinite(weight):
                raise ValueError(f"beta[{name!r}] must be a finite number, got {weight!r}")
        self._beta = np.array([(beta or {}).get(c, prm.default_beta.get(c, 1.0)) for c in prm.criteria], dtype=float)
        self._total = float(np.abs(self._beta).sum())
        if self._total == 0:
            raise ValueError(f"{type(self).__name__} needs a weight other than 0 among {', '.join(prm.criteria)}")
        self._scale, self._own_carry = scale, own_carry
        self.needs_annotation = prm.needs_annotation
        self.carry_size = own_carry + carry_size(prm)
        self.cacheable = self.carry_size == 0 and getattr(prm, "cacheable", True)
        self.default_beta: Mapping[str, float] = {COMBINED: self._total * scale}
        self._name = name

    @property
    def version(self) -> str:
        """Changes with the PRM inside."""
        weights = ", ".join(f"{c}={b:g}" for c, b in zip(self.prm.criteria, self._beta, strict=True))
        return f"{self._name}[{self.prm.version}; {weights}]"

    def _step_values(self, steps: StepBatch) -> np.ndarray:
        """p: (n,) in [-1, 1], NaN where no criterion is scored."""
        if self.carry_size and steps.carry is None:
            raise _no_carry(type(self).__name__, self.carry_size)
        values, weights = _call(self.prm, steps, None if steps.carry is None else steps.carry[:, self._own_carry :])
        p = np.nansum(values * weights * self._beta, axis=1, dtype=float) / self._total
        p[np.isnan(values).all(axis=1)] = np.nan
        return np.clip(p, -1, 1)  # weights above 1 are the only way out of the interval

    def _column(self, paid: np.ndarray) -> np.ndarray:
        """(n, 1) scores of an (n,) payment in units of p."""
        return np.clip(paid / self._scale, -1, 1).astype(np.float32)[:, None]


class Clipped(_Combined):
    """min(p − threshold, 0): no step is paid for, so repeating right but useless steps earns nothing.

    Args:
        prm, beta: the PRM inside and its weights.
        threshold: η in [-1, 1]; steps below it are penalised.
    """

    def __init__(self, prm: ProcessRewardModel, *, beta: Mapping[str, float] | None = None, threshold: float = 0.0) -> None:
        if not -1 <= threshold <= 1:
            raise ValueError(f"threshold must lie in [-1, 1], got {threshold!r}")
        self.threshold = float(threshold)
        super().__init__(prm, beta, 1 + max(threshold, 0), 0, f"clipped(threshold={threshold:g})")

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, 1) float32 in [-1, 0]."""
        return self._column(np.minimum(self._step_values(steps) - self.threshold, 0))


class PotentialDifference(_Combined):
    """γΦ(s') − Φ(s), where the potential Φ of a state is the value p of the step that led to it.

    Φ is 0 at the start of an episode, and an unscored step leaves it as it is. With `terminal="zero"` it is 0 again
    where the episode terminates, so that the discounted sum over an episode is 0 and the best policy the same as
    without it (for the agent whose discount is `gamma`). With "keep" the sum (γ = 1) is the last score: progress that
    is kept is paid once, a step up and down again earns nothing. Truncation by an outer time limit is no termination.

    Args:
        prm, beta: the PRM inside and its weights.
        gamma: the discount of the agent that is trained, in (0, 1].
        terminal: "zero" or "keep".
    """

    def __init__(
        self,
        prm: ProcessRewardModel,
        *,
        beta: Mapping[str, float] | None = None,
        gamma: float = 1.0,
        terminal: str = "zero",
    ) -> None:
        if not 0 < gamma <= 1:
            raise ValueError(f"gamma must lie in (0, 1], got {gamma!r}")
        if terminal not in ("zero", "keep"):
            raise unknown("terminal potential", terminal, ("zero", "keep"))
        self.gamma, self.terminal = float(gamma), terminal
        super().__init__(prm, beta, 1 + gamma, 1, f"difference(gamma={gamma:g}, terminal={terminal})")

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, 1) float32 scores; the payment divided by 1 + γ."""
        value = self._step_values(steps)
        potential = steps.carry[:, 0]  # type: ignore[index]
        reached = np.where(np.isnan(value), potential, value)
        if self.terminal == "zero":
            reached = np.where(steps.terminated, 0, reached)
        paid = self.gamma * reached - potential
        potential[:] = reached
        return self._column(np.where(np.isnan(value) & (paid == 0), np.nan, paid))


class SoftMinimum(_Combined):
    """What each step adds to the soft minimum of the episode so far: an episode is as good as its worst step.

    softmin(p_1 ... p_t) = Σ w_i p_i with w = softmax(−p/T). PURE pays w_t p_t once the episode is over; its sum is
    softmin(p_1 ... p_n). Paying softmin(p_1 ... p_t) − softmin(p_1 ... p_{t-1}) at each step has the same sum and needs
    no hindsight; the first scored step pays itself.

    Args:
        prm, beta: the PRM inside and its weights.
        temperature: T in [0.01, inf); PURE uses 0.1.
    """

    def __init__(self, prm: ProcessRewardModel, *, beta: Mapping[str, float] | None = None, temperature: float = 0.1) -> None:
        if not 0.01 <= temperature < np.inf:
            raise ValueError(f"temperature must lie in [0.01, inf), got {temperature!r}")
        self.temperature = float(temperature)
        super().__init__(prm, beta, 2, 2, f"softmin(temperature={temperature:g})")

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, 1) float32 scores; the payment divided by 2."""
        value = self._step_values(steps)
        mass, weighted = steps.carry[:, 0], steps.carry[:, 1]  # type: ignore[index]
        before = np.divide(weighted, mass, out=np.zeros_like(mass), where=mass > 0)
        scored = ~np.isnan(value)
        weight = np.where(scored, np.exp(-np.nan_to_num(value) / self.temperature), 0)  # e^100 at most: T >= 0.01
        mass += weight
        weighted += weight * np.nan_to_num(value)
        after = np.divide(weighted, mass, out=np.zeros_like(mass), where=mass > 0)
        return self._column(np.where(scored, after - before, np.nan))
