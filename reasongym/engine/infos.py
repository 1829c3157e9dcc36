"""`info`: what a step says beside observation and reward, for one environment and for a vector.

Vector infos follow Gymnasium: arrays with a boolean `_key` mask each, nested dictionaries likewise; an array holds something
only where its mask is true.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reasongym.engine.batch import Batch
from reasongym.engine.layout import INVALID_REASONS

RATES = ("capture", "retention", "retrieval", "use", "evidence_recall")
"""Metrics of an episode's memory; NaN where undefined (support unknown, or nothing to divide by)."""


class InfoWriter:
    """Writes the infos of a batch."""

    def __init__(self, batch: Batch, *, tells_gold: bool) -> None:
        self._batch, self._settings = batch, batch.settings
        self._tells_gold = tells_gold and batch.settings.reads_gold
        self._criteria = batch.settings.criteria
        self._terms = (*self._criteria, "memory")
        self._choices = batch.source.choices
        outcome = batch.result.outcome
        self._invalid, self._terminated, self._gold = outcome["invalid"], outcome["terminated"], outcome["gold"]
        self._all = np.ones(batch.n, bool)
        self._all.flags.writeable = False

    def single(self, action_mask: np.ndarray, *, stepped: bool) -> dict[str, Any]:
        """The info of the one environment of a batch of one."""
        info: dict[str, Any] = {"action_mask": action_mask}
        if self._tells_gold:
            info["gold_choice"] = self._gold.item(0)
        if not stepped:
            return info
        r = self._batch.result
        info["reward_terms"] = dict(zip(self._terms, r.terms[0].tolist(), strict=True))
        info["prm_scores"] = dict(zip(self._criteria, r.scores[0].tolist(), strict=True))
        if invalid := self._invalid.item(0):
            info["invalid_action"] = INVALID_REASONS[invalid]
        if self._terminated.item(0):
            ended = self._ended(np.zeros(1, np.int64))
            info.update({key: value[0].item() if value.dtype != object else value[0] for key, value in ended.items()})
        return info

    def vector(self, action_mask: np.ndarray, *, stepped: bool) -> dict[str, Any]:
        """The infos of all environments."""
        info: dict[str, Any] = {"action_mask": action_mask, "_action_mask": self._all}
        if self._tells_gold:
            info["gold_choice"], info["_gold_choice"] = self._gold.copy(), self._all
        if not stepped:
            return info
        r = self._batch.result
        live = r.outcome["is_reset"] == 0
        info["reward_terms"], info["_reward_terms"] = _columns(self._terms, r.terms, live), live
        info["prm_scores"], info["_prm_scores"] = _columns(self._criteria, r.scores, live), live
        invalid = r.outcome["invalid"]
        if invalid.any():
            info["invalid_action"] = np.array(INVALID_REASONS, object)[invalid]
            info["_invalid_action"] = invalid > 0
        ended = r.outcome["terminated"].astype(bool)
        if ended.any():
            for key, value in self._ended(np.flatnonzero(ended)).items():
                full = np.zeros(self._batch.n, value.dtype)
                full[ended] = value
                info[key], info[f"_{key}"] = full, ended
        return info

    def _ended(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What is told of the episodes that ended in `rows`."""
        out = self._batch.result.outcome[rows]
        reads_gold = self._settings.reads_gold
        info: dict[str, np.ndarray] = {"answer": self._words(out["answer"])}
        if reads_gold:
            info["is_success"] = out["success"].astype(bool)
            info["gold"] = self._words(out["gold"])
        if self._settings.annotated:
            for key in RATES:
                info[key] = out[key] if key != "use" else np.where(out["proved"] == 1, out["success"], np.nan)
        info["out_of_steps"] = out["out_of_steps"].astype(bool)
        info["problem"] = out["problem"]
        info["episode_length"] = out["length"]
        info["episode_return"] = out["episode_return"]
        return info

    def _words(self, choice: np.ndarray) -> np.ndarray:
        words = np.empty(len(choice), object)
        words[:] = ["" if c < 0 else self._choices[c] for c in choice.tolist()]
        return words


def _columns(names: tuple[str, ...], block: np.ndarray, live: np.ndarray) -> dict[str, Any]:
    """The columns of a block (N, k), copied, by name, with their masks."""
    block = block.T.copy()
    out: dict[str, Any] = {}
    for name, column in zip(names, block, strict=True):
        out[name], out[f"_{name}"] = column, live
    return out
