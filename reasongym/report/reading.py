"""From a folder of runs to `Run` records. What is missing or broken is noted, with the file's name; it never stops the rest.

A benchmark writes `RUNS/<suite>/<row>--<setting>--<seed>/` with `result.json`, `metrics.jsonl` (the curve) and `episodes.jsonl`
(`wrappers.episodes`), and a suite's results in one file, `{"protocol", "suite", "settings", "runs"}`, each with its `curve`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reasongym.errors import ReasonGymError
from reasongym.wrappers.episodes import FORMAT

PROTOCOL = 1
"""Of the results that this page can show; others are not mixed with them."""
STATUSES = ("finished", "diverged")
TEXTS = ("suite", "row", "setting", "status")
SEPARATOR = "--"


class ReportError(ReasonGymError, ValueError):
    """There is nothing to make a report of."""


@dataclass(frozen=True)
class Note:
    """Something that the reader of the page has to know.

    Attributes:
        where: file or run.
        what: in words.
    """

    where: str
    what: str


@dataclass(frozen=True)
class Run:
    """One run of a benchmark.

    Attributes:
        suite, row, setting, seed: which; a row is an agent with its arguments, a setting a task with its own.
        status: "finished", or "diverged": kept, and counted as a success of 0.
        success: share of held-out problems answered right, in [0, 1].
        interval: its 95% interval over problems.
        problems: how many were played.
        rates: capture, retention, retrieval, use; those that are not known are absent.
        frames, cpu_seconds: spent on training.
        threshold: frames until the suite's threshold was reached, None where it never was.
        supervision, ledger: what it was told beside observations, and what that cost.
        config, versions, commit: how to run it again.
        curve: an entry an evaluation: frames, cpu_seconds, success, return, length, terms.
        episodes: as `wrappers.episodes` writes them.
    """

    suite: str
    row: str
    setting: str
    seed: int
    status: str
    success: float
    interval: tuple[float, float]
    problems: int
    rates: Mapping[str, float] = field(default_factory=dict)
    frames: int = 0
    cpu_seconds: float = 0.0
    threshold: int | None = None
    supervision: str = ""
    ledger: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    curve: tuple[Mapping[str, Any], ...] = ()
    episodes: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The run's id within its suite."""
        return SEPARATOR.join((self.row, self.setting, str(self.seed)))


@dataclass(frozen=True)
class Collection:
    """All that was read: the runs, what to know about them, and each suite's committed settings where they were found."""

    runs: tuple[Run, ...]
    notes: tuple[Note, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_runs(path: str | Path) -> Collection:
    """The runs of a folder (of suites, of one suite, or of one run), or of a suite's file of results.

    Raises:
        ReportError: no such path, no run in it, or none of this protocol; the message says what was found.
    """
    root = Path(path)
    if not root.exists():
        raise ReportError(f"{root} does not exist; expected a folder RUNS/<suite>/<row>--<setting>--<seed>, or a suite's .json")
    notes: list[Note] = []
    settings: dict[str, Any] = {}
    if root.is_file():
        found = list(_from_file(root, notes, settings))
    else:
        folders = run_folders(root)
        found = [run for folder in folders for run in _from_folder(folder, root, notes)]
        if not folders:
            raise ReportError(
                f"{root} holds no runs: expected folders named <row>--<setting>--<seed> in it or in its folders, each with a "
                "result.json (python -m reasongym bench writes them)"
            )
    if not found:
        reasons = "".join(f"\n  {note.where}: {note.what}" for note in notes[:5])
        raise ReportError(f"no run of {root} can be shown:{reasons}")
    order = sorted(found, key=lambda run: (run.suite, run.row, run.setting, run.seed))
    return Collection(tuple(order), tuple(notes), settings)


def run_folders(root: Path) -> list[Path]:
    """The folders of runs: `root` itself, those in it, or those in its folders."""
    if is_run(root):
        return [root]
    return sorted(path for depth in ("*", "*/*") for path in root.glob(depth) if is_run(path))


def is_run(folder: Path) -> bool:
    """Whether a folder is named as a run."""
    return folder.is_dir() and folder.name.count(SEPARATOR) >= 2


def _from_folder(folder: Path, root: Path, notes: list[Note]) -> Iterator[Run]:
    where = str(folder.relative_to(root)) if folder != root else folder.name
    path = folder / "result.json"
    if not path.exists():
        notes.append(Note(where, "is not finished: it has no result.json, and is left out of all tables"))
        return
    record = _json(path, where, notes)
    if record is None:
        return
    curve = _lines(folder / "metrics.jsonl", where, notes)
    episodes = _lines(folder / "episodes.jsonl", where, notes)
    other = [e for e in episodes if e.get("format") != FORMAT or not isinstance(e.get("steps"), list)]
    if other:
        notes.append(Note(where, f"{len(other)} episodes are of another format than {FORMAT}, and are left out"))
    kept = tuple(episode for episode in episodes if episode not in other)
    yield from _checked({**record, "curve": curve}, where, notes, kept)


def _from_file(path: Path, notes: list[Note], settings: dict[str, Any]) -> Iterator[Run]:
    record = _json(path, path.name, notes)
    if record is None:
        return
    if not isinstance(record.get("runs"), list):
        raise ReportError(f'{path} is no file of results: expected {{"protocol", "suite", "settings", "runs": [...]}}')
    suite = str(record.get("suite", path.stem))
    settings[suite] = record.get("settings", {})
    notes.append(Note(path.name, "is a file of results: it holds no episodes; make the report of the runs' folder to see them"))
    for i, run in enumerate(record["runs"]):
        if isinstance(run, dict):
            yield from _checked({"protocol": record.get("protocol"), **run, "suite": suite}, f"{path.name}, run {i}", notes, ())
        else:
            notes.append(Note(f"{path.name}, run {i}", "is no JSON object, and is left out"))


def _checked(record: Mapping[str, Any], where: str, notes: list[Note], episodes: tuple[Any, ...]) -> Iterator[Run]:
    """The run of a result, if it is one of this protocol; otherwise a note."""
    if record.get("protocol") != PROTOCOL:
        notes.append(Note(where, f"is of protocol {record.get('protocol')!r}, this page shows {PROTOCOL}: it is left out"))
        return
    try:
        run = parsed(record, episodes)
    except (KeyError, TypeError, ValueError) as error:
        what = f"has no {error}" if isinstance(error, KeyError) else str(error)
        notes.append(Note(where, f"result.json cannot be read: {what}; it is left out"))
        return
    if run.status == "diverged":
        notes.append(Note(where, "diverged: it is kept, and counts as a success of 0"))
    if not run.curve and run.frames:
        notes.append(Note(where, "has no metrics.jsonl: it is missing from the learning curves"))
    yield run


def parsed(record: Mapping[str, Any], episodes: tuple[Any, ...] = ()) -> Run:
    """A result as a `Run`.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, or not what it should be.
    """
    for name in TEXTS:
        if not isinstance(record[name], str):
            raise TypeError(f"{name} must be a string, got {record[name]!r}")
    if record["status"] not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {record['status']!r}")
    diverged = record["status"] == "diverged"
    success = 0.0 if diverged else _number(record, "success", 0, 1)
    low, high = (0.0, 0.0) if diverged else [_number(dict(enumerate(record["interval"])), i, 0, 1) for i in (0, 1)]
    reached = record.get("steps_to_threshold")
    return Run(
        **{name: record[name] for name in TEXTS},
        seed=int(record["seed"]),
        success=success,
        interval=(low, high),
        problems=int(_number(record, "problems", 0, math.inf)) if not diverged else int(record.get("problems") or 0),
        rates=numbers(record.get("rates")),
        frames=int(record.get("frames") or 0),
        cpu_seconds=float(record.get("cpu_seconds") or 0.0),
        threshold=None if reached is None else int(reached),
        supervision=str(record.get("supervision", "")),
        ledger=numbers(record.get("ledger")),
        config=record.get("config") or {},
        versions=record.get("versions") or {},
        commit=str(record.get("commit", "")),
        curve=tuple(point for point in record.get("curve") or () if isinstance(point, dict)),
        episodes=episodes,
    )


def numbers(values: Any) -> dict[str, float]:
    """Those of a mapping's values that are finite numbers."""
    pairs = values.items() if isinstance(values, Mapping) else ()
    return {str(k): float(v) for k, v in pairs if isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)}


def _number(record: Mapping[Any, Any], name: Any, low: float, high: float) -> float:
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} must be a number in [{low}, {high}], got {value!r}")
    return float(value)


def _json(path: Path, where: str, notes: list[Note]) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        notes.append(Note(where, f"{path.name} cannot be read ({error}); it is left out"))
        return None
    if not isinstance(record, dict):
        notes.append(Note(where, f"{path.name} holds {type(record).__name__}, expected an object; it is left out"))
        return None
    return record


def _lines(path: Path, where: str, notes: list[Note]) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; none where there is no file."""
    if not path.exists():
        return []
    out, broken = [], []
    for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if isinstance(record, dict):
            out.append(record)
        else:
            broken.append(number)
    if broken:
        lines = ", ".join(map(str, broken[:5])) + (" ..." if len(broken) > 5 else "")
        notes.append(Note(where, f"{path.name} has {len(broken)} broken line{'s' * (len(broken) > 1)} ({lines}), left out"))
    return out
