"""What the viewer is given: an index of all episodes, and the episodes themselves, compressed, a block a run.

A page's episodes are mostly repetition, so a block is gzip in base64: a tenth of the JSON, and free of anything that HTML could
take for markup. The browser unpacks a block when one of its episodes is opened. Where a page would grow too large, every run
gives up episodes alike, its last ones first.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reasongym.report.reading import Run

STEP_TEXTS = ("thought", "command", "prompt")
MOST_TEXT = 20_000
"""Characters of a thought or prompt that are shown: its last ones."""


@dataclass(frozen=True)
class Packed:
    """Episodes as the page holds them.

    Attributes:
        index: an entry an episode: what the list shows and filters by; `block` and `place` say where the episode is.
        blocks: base64 of gzipped JSON lists of episodes.
        left_out: how many episodes did not fit.
    """

    index: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    left_out: int = 0

    @property
    def size(self) -> int:
        """Characters that they take in the page, about."""
        return sum(map(len, self.blocks)) + len(json.dumps(self.index))


def pack(runs: Sequence[Run], most: int) -> Packed:
    """The runs' episodes in at most `most` characters.

    Args:
        runs: in the order of the list.
        most: characters; runs with more episodes than fit give up their last ones.
    """
    longest = max((len(run.episodes) for run in runs), default=0)
    total = sum(len(run.episodes) for run in runs)
    for each in range(longest, 0, -1):
        packed = _pack(runs, each)
        if packed.size <= most:
            return Packed(packed.index, packed.blocks, total - len(packed.index))
    return Packed(left_out=total)


def _pack(runs: Sequence[Run], each: int) -> Packed:
    index: list[dict[str, Any]] = []
    blocks: list[str] = []
    for run in runs:
        kept = run.episodes[:each]
        for place, episode in enumerate(kept):
            index.append({**_entry(run, episode), "block": len(blocks), "place": place})
        if kept:
            text = json.dumps([_cut(episode) for episode in kept], ensure_ascii=False, allow_nan=False, default=str)
            blocks.append(base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode())
    return Packed(index, blocks)


def _entry(run: Run, episode: Mapping[str, Any]) -> dict[str, Any]:
    """What the list shows of an episode."""
    success = episode.get("success")
    return {
        "suite": run.suite,
        "agent": run.row,
        "setting": run.setting,
        "seed": run.seed,
        "task": str(episode.get("task", "")),
        "name": str(episode.get("name", "")),
        "question": str(episode.get("question", "")),
        "success": success if isinstance(success, bool) else None,
        "length": len(episode["steps"]),
        "return": _finite(episode.get("return")),
    }


def _cut(episode: Mapping[str, Any]) -> Any:
    """The episode without numbers that JSON does not have, and with long texts cut."""
    steps = []
    for step in episode["steps"]:
        texts = {name: str(step[name])[-MOST_TEXT:] for name in STEP_TEXTS if step.get(name)}
        steps.append({**{name: value for name, value in step.items() if name not in STEP_TEXTS}, **texts})
    return _plain({**episode, "steps": steps})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _finite(value) if isinstance(value, float) else value


def _finite(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None
