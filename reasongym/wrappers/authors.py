"""What the working memory of one environment holds, as JSON, and who wrote it when. Keys as in `wrappers.episodes`."""

from __future__ import annotations

from typing import Any

from reasongym.engine.batch import Batch
from reasongym.engine.layout import WORDS
from reasongym.prm.base import ACTION_NAMES, RECALL, STORE, UPDATE

Written = tuple[int, str]
"""The step that wrote something, from 0, and its verb."""
GATED = ("store", "update", "recall")


class Authors:
    """Follows one episode of environment `row` of a batch."""

    def __init__(self, batch: Batch, row: int) -> None:
        self._batch, self._row = batch, row
        self._units: list[dict[int, Written]] = [{} for _ in range(batch.shapes.slots)]
        self._words: list[Written | None] = [None] * batch.shapes.slots
        self._links: list[tuple[int, int]] = []

    def note(self, step: int) -> None:
        """Step `step` has been taken: remembers what it wrote or recalled."""
        out = self._batch.result.outcome[self._row]
        kind, slot = int(out["kind"]), int(out["slot"])
        if out["invalid"] or kind not in (STORE, UPDATE, RECALL):
            return
        if kind == RECALL:
            self._links.append((step, slot + 1))
            return
        written = (step, ACTION_NAMES[kind])
        noted = int(self._batch.memory.slots[self._row, slot]["noted"])
        if kind == STORE:
            self._words[slot] = written if noted else None
        if not (kind == STORE and noted):
            self._units[slot][int(out["desk"])] = written

    def memory(self) -> dict[str, Any]:
        """Slots and chain as they are now."""
        state = self._batch.memory.state[self._row]
        return {
            "slots": [self._slot(k) for k in range(int(state["occupied"]))],
            "chain": [self._link(h) for h in range(int(state["chain_length"]))],
        }

    def _slot(self, k: int) -> dict[str, Any]:
        memory, notes = self._batch.memory, self._batch.notes
        slot = memory.slots[self._row, k]
        noted = int(slot["noted"])
        units = [unit for unit in memory.held["unit"][self._row, k].tolist()[noted:] if unit >= 0]
        out: dict[str, Any] = {
            "units": units,
            "by": [list(self._units[k][unit]) if unit in self._units[k] else None for unit in units],
            "salience": round(float(slot["salience"]), 3),
            "recalls": int(slot["recalls"]),
        }
        if noted and notes is not None:
            author = self._words[k]
            out["words"], out["words_by"] = notes.slots[self._row, k], None if author is None else list(author)
        closed = [verb for verb in GATED if not slot[verb]]
        return {**out, "closed": closed} if closed else out

    def _link(self, h: int) -> dict[str, Any]:
        link, notes = self._batch.memory.chain[self._row, h].tolist(), self._batch.notes
        step, slot = self._links[h] if h < len(self._links) else (None, None)
        out: dict[str, Any] = {"units": [unit for unit in link if unit >= 0], "step": step, "slot": slot}
        if WORDS in link and notes is not None:
            out["words"] = notes.links[self._row, h]
        return out
