"""The results of a suite: read, checked to belong together, and written into one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.benchmark.files import CURVE, RESULT, locked, read_lines, write_json, write_text
from agents.benchmark.suite import PROTOCOL, Run, Suite
from reasongym.errors import ReasonGymError

STATUSES = ("finished", "diverged")


class ProtocolError(ReasonGymError, ValueError):
    """Results that do not belong together."""


def read_result(path: Path) -> dict[str, Any]:
    """A run's result.

    Raises:
        ProtocolError: it was written by another version of the protocol, or is no result.
    """
    try:
        result = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ProtocolError(f"{path} is no JSON ({error}): remove the folder, and the run is played again") from None
    found = result.get("protocol") if isinstance(result, dict) else None
    if found != PROTOCOL:
        raise ProtocolError(
            f"{path} is of protocol {found!r}, this version plays protocol {PROTOCOL}, and results of different protocols are "
            "not mixed: give this suite another folder (--runs), or remove that one"
        )
    if result.get("status") not in STATUSES:
        raise ProtocolError(f"{path}: status must be one of {', '.join(STATUSES)}, got {result.get('status')!r}")
    return result


def refuse_other(path: Path, result: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuses a result that was played with other settings than a run's `config`.

    Raises:
        ProtocolError: names the first setting that differs, with both values.
    """
    if result["config"] == config:
        return
    for name, ours in config.items():
        if (theirs := result["config"].get(name)) != ours:
            raise ProtocolError(
                f"{path} was played with {name} {json.dumps(theirs)}, the suite says {json.dumps(ours)}: results of different "
                "settings are not mixed; give this suite another folder (--runs), or remove that run's"
            )
    raise ProtocolError(f"{path} was played with settings that the suite does not have: {sorted(result['config'])}")


def read_results(folder: Path, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The results of those of a suite's runs that are over, each with its "curve".

    Raises:
        ProtocolError: one that does not belong there, or that was played on other problems than the others of its setting.
    """
    out = []
    for run in runs:
        path = folder / run.id / RESULT
        if path.exists():
            result = read_result(path)
            refuse_other(path, result, run.config)
            out.append({**result, "curve": read_lines(folder / run.id / CURVE)})
    refuse_other_problems(out)
    return out


def refuse_other_problems(results: Sequence[Mapping[str, Any]]) -> None:
    """Refuses results of the same setting that were played on files, or generators, of different content.

    Raises:
        ProtocolError: names the first two runs that differ.
    """
    first: dict[str, Mapping[str, Any]] = {}
    for result in results:
        keywords = result["config"].get("keywords", {})
        where = {name: keywords.get(name) for name in ("source", "difficulty", "tokenizer")}
        other = first.setdefault(json.dumps([result["setting"], where], sort_keys=True), result)
        ours, theirs = (one.get("versions", {}).get("data") for one in (other, result))
        if ours != theirs:
            raise ProtocolError(
                f"{_named(other)} and {_named(result)} were played on different problems (fingerprints of the data {ours} and "
                f"{theirs}): results on different data are not mixed; give this suite another folder (--runs), or remove one "
                "of the runs'"
            )


def _named(result: Mapping[str, Any]) -> str:
    return f"{result['row']}--{result['setting']}--{result['seed']}"


def write_suite(path: Path, suite: Suite, results: Sequence[Mapping[str, Any]]) -> None:
    """Writes a suite's file: its settings as they were committed, and all results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"protocol": PROTOCOL, "suite": suite.name, "settings": suite.source, "runs": list(results)})


def read_suite(path: Path) -> tuple[str, list[dict[str, Any]]]:
    """Name and results of a suite's file.

    Raises:
        ProtocolError: of another protocol.
    """
    whole = json.loads(path.read_text())
    if whole.get("protocol") != PROTOCOL:
        raise ProtocolError(f"{path} is of protocol {whole.get('protocol')!r}, this version reads protocol {PROTOCOL}")
    return whole["suite"], whole["runs"]


def restore(path: Path, suite: Suite, runs: Sequence[Run], folder: Path) -> int:
    """Puts the results of a suite's file into the folders of its runs, as if they had been played there.

    A run that has a result already keeps it. Episodes and logs are not in such a file.

    Args:
        path: what `write_suite` wrote, of some of the runs.
        folder: of the suite's runs.

    Returns:
        How many runs have their results from the file.

    Raises:
        ProtocolError: of another protocol or suite, or a run was played with other settings; nothing is written then.
    """
    name, results = read_suite(path)
    if name != suite.name:
        raise ProtocolError(f"{path} holds results of the suite {name!r}, expected {suite.name!r}")
    known = {(run.row, run.setting, run.seed): run for run in runs}
    found = []
    for result in results:
        run = known.get((result["row"], result["setting"], result["seed"]))
        if run is None:
            raise ProtocolError(f"{path}: the suite has no run {result['row']}--{result['setting']}--{result['seed']}")
        refuse_other(path, result, run.config)
        if not (folder / run.id / RESULT).exists():
            found.append((folder / run.id, dict(result)))
    for place, result in found:
        place.mkdir(parents=True, exist_ok=True)
        with locked(place):
            curve = result.pop("curve")
            write_text(place / CURVE, "".join(json.dumps(row) + "\n" for row in curve))
            write_json(place / RESULT, result)
    return len(found)
