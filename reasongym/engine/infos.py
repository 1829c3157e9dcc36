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
        self._tells_gold = tells_gold and batch.settings.reads_gold and not batch.shapes.span
        self._criteria = batch.settings.criteria
        self._terms = (*self._criteria, "memory")
        self._choices = np.array([*batch.source.choices, ""], object)  # -1, no choice, is the last: ""
        outcome = batch.result.outcome
        self._invalid, self._terminated, self._gold = outcome["invalid"], outcome["terminated"], outcome["gold"]
        self._all = np.ones(batch.n, bool)
        self._all.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies are made anew: the columns kept here are views of one batch."""
        return _new_writer, (self._batch, self._tells_gold)

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
            out = _copied(r.outcome)
            words = self._words(out, np.zeros(1, np.int64))
            info.update({key: value.item(0) for key, value in {**self._numbers(out), **words}.items()})
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
        if self._invalid.any():
            info["invalid_action"], info["_invalid_action"] = _REASONS[self._invalid], self._invalid > 0
        ended = self._terminated.astype(bool)
        rows = np.flatnonzero(ended)
        if len(rows):
            out = _copied(r.outcome)
            for key, value in {**self._numbers(out), **self._words(out, rows)}.items():
                info[key], info[f"_{key}"] = value, ended
        return info

    def ended(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """What is told of the episodes that ended in `rows`, as a dictionary each."""
        out = self._batch.result.outcome[rows]
        columns = {**self._numbers(out), **self._words(out, np.arange(len(rows)))}
        values = zip(*[column.tolist() for column in columns.values()], strict=True)
        return [dict(zip(columns, row, strict=True)) for row in values]

    def _numbers(self, out: np.ndarray) -> dict[str, np.ndarray]:
        """What is told of ended episodes in numbers: columns of `out` (n,) OUTCOME."""
        told = {
            "out_of_steps": out["out_of_steps"].view(bool),
            "problem": out["problem"],
            "episode_length": out["length"],
            "episode_return": out["episode_return"],
        }
        if self._settings.reads_gold:
            told["is_success"] = out["success"].view(bool)
            if self._batch.table.spans is not None:
                told[self._batch.table.spans.metric] = out["score"]
        if self._settings.annotated:
            for rate in RATES:
                told[rate] = out[rate]
        return told

    def _words(self, out: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What is told in words: (n,) arrays of objects, filled in `rows`."""
        told, table = {}, self._batch.table
        for key in ("answer", "gold") if self._settings.reads_gold else ("answer",):
            told[key] = np.empty(len(out), object)  # all None
            if self._batch.shapes.span:
                say = table.answer_text if key == "answer" else table.gold_text
                for row in rows.tolist():
                    told[key][row] = say(out[row])
            else:
                told[key][rows] = self._choices[out[key][rows]]
        if self._batch.notes is not None:
            for row in rows[out["answer"][rows] == self._batch.shapes.written].tolist():
                told["answer"][row] = self._batch.notes.reply[row]
        return told


def _new_writer(batch: Batch, tells_gold: bool) -> InfoWriter:
    return InfoWriter(batch, tells_gold=tells_gold)


_REASONS = np.array(INVALID_REASONS, object)


def _copied(records: np.ndarray) -> np.ndarray:
    """A copy of structured records as one block: NumPy copies them field by field, forty times slower."""
    return records.view(np.uint8).copy().view(records.dtype)


def _columns(names: tuple[str, ...], block: np.ndarray, live: np.ndarray) -> dict[str, Any]:
    """The columns of a block (N, k), copied, by name, with their masks."""
    block = block.T.copy()
    out: dict[str, Any] = {}
    for name, column in zip(names, block, strict=True):
        out[name], out[f"_{name}"] = column, live
    return out
