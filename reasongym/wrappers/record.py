"""`RecordTrajectories`: every step of every episode to Parquet, one row a step.

| column | content |
| --- | --- |
| `run`, `env`, `episode`, `step` | which recording, environment, episode since the recording began, step; from 0 |
| `problem` | index of the problem in its source |
| `action`, `kind` | the action's number, and next, store, update, recall or answer |
| `slot`, `unit`, `answer` | slot acted on (from 1), unit on the desk (from 0), answer; null where there is none |
| `slots` | K x U unit indices held when the action was chosen, -1 = none |
| `legal` | whether the action did anything |
| `score_<criterion>` | the PRM's score, NaN = unscored |
| `term_<criterion>`, `term_memory` | the weighted terms of the reward |
| `reward`, `terminated`, `truncated` | as the environment gave them |

The file's metadata names the source, its fingerprint, the PRM's version and the weights. Finished episodes are written in
parts, each a complete file that appears in one piece: a process that is killed loses no part, only the steps since the last
one. `close()` writes what is left, unfinished episodes included. Read a folder with `pyarrow.parquet.read_table(folder)`.
Needs the extra `data` (pyarrow). Put it outside of wrappers that change rewards or truncate, or the record lacks what they do.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from reasongym.prm.base import ACTION_NAMES, ANSWER, START

Columns = dict[str, np.ndarray]


class TrajectoryWriter:
    """Buffers rows and writes finished episodes in parts.

    Args:
        folder: made when it does not exist; other recordings in it are left alone.
        num_envs: how many environments.
        rows_per_part: steps that are buffered before a part is written.
        metadata: strings for the files' metadata.
    """

    def __init__(self, folder: str | os.PathLike, num_envs: int, rows_per_part: int, metadata: dict[str, str]) -> None:
        if isinstance(rows_per_part, bool) or not isinstance(rows_per_part, int) or rows_per_part < 1:
            raise ValueError(f"rows_per_part must be a whole number of at least 1, got {rows_per_part!r}")
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as missing:
            raise ImportError("RecordTrajectories needs pyarrow; run: pip install 'reasongym[data]'") from missing
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run = uuid.uuid4().hex[:12]
        self.parts = 0
        self.episode, self.step = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int32)
        self._metadata, self._rows_per_part = metadata, rows_per_part
        self._buffer: list[Columns] = []
        self._buffered, self._limit = 0, rows_per_part

    def add(self, columns: Columns, rows: np.ndarray, done: np.ndarray) -> None:
        """Adds a step of the environments `rows`; `done` says whose episode it ended."""
        if not len(rows):
            return
        place = {"env": rows.astype(np.int32), "episode": self.episode[rows], "step": self.step[rows]}
        self._buffer.append({**place, **columns})
        self.step[rows] += 1
        self.begin(rows[done])
        self._buffered += len(rows)
        if self._buffered >= self._limit:
            self.flush()

    def begin(self, rows: np.ndarray) -> None:
        """The next step of these environments belongs to a new episode."""
        begun = rows[self.step[rows] > 0]
        self.episode[begun] += 1
        self.step[begun] = 0

    def flush(self, unfinished: bool = False) -> None:
        """Writes the finished episodes as a part; with `unfinished`, the others too."""
        if not self._buffer:
            return
        columns = {name: np.concatenate([part[name] for part in self._buffer]) for name in self._buffer[0]}
        write = np.full(self._buffered, unfinished) | (columns["episode"] < self.episode[columns["env"]])
        order = np.lexsort((columns["step"], columns["episode"], columns["env"]))
        chosen = order[write[order]]
        if len(chosen):
            self._write({name: column[chosen] for name, column in columns.items()})
        self._buffer = [] if write.all() else [{name: column[~write] for name, column in columns.items()}]
        self._buffered -= len(chosen)
        self._limit = self._buffered + self._rows_per_part  # unfinished episodes do not shorten the next part

    def _write(self, columns: Columns) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = len(columns["env"])
        arrays: dict[str, Any] = {"run": pa.array([self.run] * rows).dictionary_encode()}
        for name, column in columns.items():
            array = pa.array(column.ravel())
            for width in column.shape[:0:-1]:
                array = pa.FixedSizeListArray.from_arrays(array, width)
            arrays[name] = array
        for name, none in (("slot", 0), ("unit", -1)):
            arrays[name] = pa.array(columns[name], mask=columns[name] == none)
        table = pa.table(arrays).replace_schema_metadata(self._metadata)
        unready = self.folder / f".{self.run}-{self.parts:05d}.tmp"
        pq.write_table(table, unready)
        os.replace(unready, self.folder / f"{self.run}-{self.parts:05d}.parquet")
        self.parts += 1


class _Recorder:
    """What the wrapper for one environment and the one for a vector do alike."""

    def __init__(self, env: Any, folder: str | os.PathLike, num_envs: int, rows_per_part: int) -> None:
        self._batch = env.unwrapped.batch
        if self._batch.notes is not None:
            raise TypeError(
                "RecordTrajectories records actions by number, but this environment is played in words: keep info['thought'], "
                "info['command'] and info['messages'] of each step instead"
            )
        source, settings = self._batch.source, self._batch.settings
        metadata = {
            "source": source.name,
            "fingerprint": source.fingerprint,
            "prm": settings.model.version,
            "beta": json.dumps(settings.weights),
            "utility": str(settings.utility),
            "utility_weight": str(settings.utility_weight),
        }
        self.writer = TrajectoryWriter(folder, num_envs, rows_per_part, {k: str(v) for k, v in metadata.items()})
        self._choices = np.array([*source.choices, None], dtype=object)
        self._kinds = np.array(ACTION_NAMES, dtype=object)

    def _answers(self, kind: np.ndarray, choice: np.ndarray, blocks: dict[str, Any], rows: np.ndarray) -> np.ndarray:
        """What each ANSWER said ("" where it abstained); None for all other steps, and for a span that was illegal."""
        if not self._batch.shapes.span:
            return self._choices[np.where(kind == ANSWER, choice, -1)]
        told = np.atleast_1d(np.asarray(blocks.get("answer", np.full(self._batch.n, None, object)), object))[rows]
        told[kind != ANSWER] = None
        return told

    def before(self) -> Columns:
        """What a step changes, as it is before the step."""
        state, held = self._batch.memory.state, self._batch.memory.held["unit"]
        reading = state["cursor"] < state["num_units"]
        unit = np.where(reading, state["cursor"], -1)
        return {"problem": state["problem"].copy(), "unit": unit.astype(np.int16), "slots": held.astype(np.int16)}

    def after(self, before: Columns, actions: np.ndarray, result: Columns, blocks: dict[str, Any], live: np.ndarray) -> None:
        """Adds the step of the environments `live` (bool)."""
        rows, slots = np.flatnonzero(live), self._batch.shapes.slots
        action = actions[rows].astype(np.int32)
        kind = np.where(action == 0, 0, np.minimum((action - 1) // max(slots, 1) + 1, ANSWER) if slots else ANSWER)
        if self._batch.shapes.span:
            kind = np.where((kind == ANSWER) & (action - 1 - 3 * slots < self._batch.shapes.positions), START, kind)
        acts_on_slot = (kind > 0) & (kind < ANSWER)
        columns = {
            "problem": before["problem"][rows],
            "action": action,
            "kind": self._kinds[kind],
            "slot": np.where(acts_on_slot, (action - 1) % max(slots, 1) + 1, 0).astype(np.int16),
            "unit": before["unit"][rows],
            "answer": self._answers(kind, action - 1 - 3 * slots, blocks, rows),
            "slots": before["slots"][rows],
            **{name: np.asarray(column)[rows] for name, column in result.items()},
        }
        for prefix, key in (("score", "prm_scores"), ("term", "reward_terms")):
            for name, column in blocks[key].items():
                if not name.startswith("_"):
                    columns[f"{prefix}_{name}"] = np.atleast_1d(np.asarray(column, np.float32))[rows]
        self.writer.add(columns, rows, columns["terminated"] | columns["truncated"])


class RecordTrajectories(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Records one environment; see the module's docstring.

    Args:
        env: a ReasonGym environment.
        folder: where the parts go.
        rows_per_part: steps that are buffered before a part is written.
    """

    def __init__(self, env: gym.Env, folder: str | os.PathLike, *, rows_per_part: int = 100_000) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, folder=str(folder), rows_per_part=rows_per_part)
        gym.Wrapper.__init__(self, env)
        self._recorder = _Recorder(env, folder, 1, rows_per_part)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's own; an unfinished episode is left as it is."""
        self._recorder.writer.begin(np.zeros(1, np.int64))
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's own."""
        before = self._recorder.before()
        observation, reward, terminated, truncated, info = super().step(action)
        result = {
            "legal": np.array(["invalid_action" not in info]),
            "reward": np.array([reward], np.float64),
            "terminated": np.array([terminated]),
            "truncated": np.array([truncated]),
        }
        self._recorder.after(before, np.array([action]), result, info, np.ones(1, bool))
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Writes what is left, and closes the environment."""
        self._recorder.writer.flush(unfinished=True)
        super().close()


class VectorRecordTrajectories(VectorWrapper):
    """Records a vector of environments; arguments as for `RecordTrajectories`. All autoreset modes are served."""

    def __init__(self, env: VectorEnv, folder: str | os.PathLike, *, rows_per_part: int = 100_000) -> None:
        super().__init__(env)
        self._recorder = _Recorder(env, folder, env.num_envs, rows_per_part)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the vector's own; unfinished episodes are left as they are."""
        mask = (options or {}).get("reset_mask")
        self._recorder.writer.begin(np.arange(self.num_envs) if mask is None else np.flatnonzero(mask))
        return self.env.reset(seed=seed, options=options)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As the vector's own."""
        before = self._recorder.before()
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        invalid = infos.get("_invalid_action", np.zeros(self.num_envs, bool))
        result = {"legal": ~invalid, "reward": rewards, "terminated": terminations, "truncated": truncations}
        self._recorder.after(before, np.asarray(actions), result, infos, infos["_reward_terms"])
        return observations, rewards, terminations, truncations, infos

    def close(self, **kwargs: Any) -> None:
        """Writes what is left, and closes the vector."""
        self._recorder.writer.flush(unfinished=True)
        super().close(**kwargs)
