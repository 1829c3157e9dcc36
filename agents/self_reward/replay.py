"""The replay: episodes of earlier rounds, kept on disk, drawn by how much is left to learn from them.

A priority is difficulty times advantage: 4 p (1 - p) of the problem's pass rate p (nothing is learned from a problem that
always or never succeeds: ExGRPO, 2025, arXiv 2510.02245), times the mean of max(R - V, 0) over the steps, which is what
self-imitation learns from (Oh et al. 2018, arXiv 1806.05635). An episode is dropped when it is `max_age` rounds old, and where
there is no room those of least priority go first.

The file is one Parquet table, a row an episode, for pandas, `datasets` and whoever else reads Parquet. Needs pyarrow.

Axes: E episodes, T steps of one, K slots, U units a slot, k criteria.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.self_reward.episodes import Episode, Played
from reasongym.errors import DataError

FORMAT = 1
REPLAY_SHARE = 0.25
"""Most of a minibatch that is replayed; the rest is fresh."""
FLOOR = 0.05
"""Added to both factors of a priority, so that what looks learned is seen again now and then."""
_ARRAYS = {"actions": np.int32, "memory": np.int16, "scores": np.float32}


class Replay:
    """Episodes that may be learned from again.

    Args:
        capacity: most episodes.
        max_age: rounds after which an episode is dropped.
        held_out: hashes of held-out texts (`episodes.story_key`): an episode of one of them is refused.
        criteria: names of the columns of the scores.
    """

    def __init__(self, capacity: int, max_age: int, held_out: Iterable[int], criteria: Sequence[str]) -> None:
        for name, value in (("capacity", capacity), ("max_age", max_age)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        self.capacity, self.max_age = capacity, max_age
        self.held_out, self.criteria = frozenset(held_out), tuple(criteria)
        self.episodes: list[Episode] = []

    def __len__(self) -> int:
        return len(self.episodes)

    def add(self, episodes: Iterable[Episode], round_: int) -> None:
        """Adds episodes; then drops what is too old in this round, and, beyond the capacity, what matters least.

        Raises:
            ValueError: an episode is of a held-out text, or of scores with other columns.
        """
        new = list(episodes)
        for episode in new:
            self._check(episode)
        kept = [episode for episode in (*self.episodes, *new) if round_ - episode.round < self.max_age]
        order = np.argsort([-p for p in priorities(kept)], kind="stable")[: self.capacity]
        self.episodes = [kept[i] for i in sorted(order.tolist())]

    def _check(self, episode: Episode) -> None:
        if episode.story in self.held_out:
            raise ValueError(
                f"problem {episode.problem} of {episode.source} tells a held-out text: training on it would make the held-out "
                "results worthless. Replay only episodes of the training split"
            )
        if episode.scores.shape[1:] != (len(self.criteria),):
            raise ValueError(f"scores of {episode.scores.shape[1:]} columns, expected {len(self.criteria)}: {self.criteria}")

    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        """Places of at most `count` distinct episodes, by priority."""
        weight = priorities(self.episodes)
        count = min(count, len(weight))
        return rng.choice(len(weight), count, replace=False, p=weight / weight.sum()).tolist() if count else []

    def update(self, places: Sequence[int], episodes: Sequence[Episode]) -> None:
        """Puts rescored episodes where the old ones were."""
        for place, episode in zip(places, episodes, strict=True):
            self._check(episode)
            self.episodes[place] = episode

    def stale(self, prm: str, judge: str) -> list[int]:
        """Places of the episodes that another PRM or judge has scored."""
        return [i for i, episode in enumerate(self.episodes) if (episode.prm, episode.judge) != (prm, judge)]

    def save(self, path: str | os.PathLike) -> None:
        """Writes one Parquet file, which appears in one piece."""
        pa, pq = _arrow()
        columns: dict[str, Any] = {}
        for f in fields(Episode):
            values = [getattr(episode, f.name) for episode in self.episodes]
            if f.name in _ARRAYS:
                kind = pa.list_(pa.from_numpy_dtype(_ARRAYS[f.name]))
                columns[f.name] = pa.array([value.ravel() for value in values], kind)
            else:
                columns[f.name] = pa.array(values, _kinds(pa)[f.name])
        places = self.episodes[0].memory.shape[1:] if self.episodes else (0, 0)
        meta = {"format": FORMAT, "criteria": self.criteria, "places": places}
        table = pa.table(columns).replace_schema_metadata({"reasongym.replay": json.dumps(meta)})
        path = Path(path)
        unready = path.with_name(f".{path.name}.tmp")
        pq.write_table(table, unready)
        os.replace(unready, path)

    def load(self, path: str | os.PathLike) -> Replay:
        """Takes in what `save` wrote, in the place of what is held; returns itself.

        Raises:
            DataError: no such file, cut short, of another format, or of other criteria.
        """
        pa, pq = _arrow()
        try:
            table = pq.read_table(path)
            meta = json.loads(table.schema.metadata[b"reasongym.replay"])
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as wrong:
            raise DataError(f"{os.fspath(path)} is no replay, or was cut short: {wrong}. Replay.save() writes one") from wrong
        if meta["format"] != FORMAT or tuple(meta["criteria"]) != self.criteria:
            raise DataError(
                f"{os.fspath(path)} has format {meta['format']} and the criteria {meta['criteria']}; expected {FORMAT} and "
                f"{self.criteria}: it is of another version or another PRM"
            )
        shapes = {"actions": (-1,), "memory": (-1, *meta["places"]), "scores": (-1, len(self.criteria))}
        columns = {name: table[name].to_pylist() for name in table.column_names if name not in _ARRAYS}
        for name, kind in _ARRAYS.items():
            columns[name] = [np.asarray(row.values, kind).reshape(shapes[name]) for row in table[name]]
        self.episodes = [Episode(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
        for episode in self.episodes:
            self._check(episode)
        return self


def priorities(episodes: Sequence[Episode]) -> np.ndarray:
    """(E,) difficulty times advantage; a pass rate that is unknown counts as a half."""
    rate = np.nan_to_num([episode.pass_rate for episode in episodes], nan=0.5)
    advantage = np.array([episode.advantage for episode in episodes], dtype=float)
    return (FLOOR + 4 * rate * (1 - rate)) * (FLOOR + np.maximum(advantage, 0))


def with_advantages(played: Played, returns: np.ndarray) -> list[Episode]:
    """The episodes with the mean of max(R - V, 0) over their steps; `returns` (F,)."""
    gained = np.maximum(returns - played.values, 0)
    bounds = zip(played.starts[:-1], played.starts[1:], strict=True)
    return [replace(e, advantage=float(gained[a:b].mean())) for e, (a, b) in zip(played.episodes, bounds, strict=True)]


def rescored(old: Episode, new: Episode, advantage: float) -> Episode:
    """A recorded episode with the scores of now; who believes what of it stays."""
    return replace(old, scores=new.scores, prm=new.prm, judge=new.judge, advantage=advantage)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as missing:
        raise ImportError("a replay is a Parquet file and needs pyarrow; run: pip install 'reasongym[data]'") from missing
    return pyarrow, pyarrow.parquet


def _kinds(pa: Any) -> dict[str, Any]:
    """Column types of what is no array; stories are unsigned hashes."""
    words, whole = ("source", "answer", "prm", "judge", "beta"), ("problem", "seed", "round")
    return {
        **{name: pa.string() for name in words},
        **{name: pa.int64() for name in whole},
        "story": pa.uint64(),
        **{name: pa.float64() for name in ("label", "pass_rate", "advantage")},
    }
