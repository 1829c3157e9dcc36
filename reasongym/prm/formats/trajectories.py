"""Parquet of `RecordTrajectories`, a row a step: its rows of one episode become a record.

The recording holds numbers and no texts, so steps are told by the places of sentences in the text ("note 4, dropping 1",
"recall 4", "answer: kitchen"), and the prompt names the problem. That is enough to count, label and compare; a scorer that
reads words has nothing to read. Labels are the scores that the environment's PRM gave, or none with `labels="none"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reasongym.errors import DataError, unknown
from reasongym.prm.formats.base import Layout, whole
from reasongym.prm.formats.episodes import LABELS, scores_of
from reasongym.prm.records import StepRecord

KEYS = ("run", "env", "episode", "step", "problem", "kind", "slots", "legal")
STEPS = "steps"
VERBS = {"next": "pass over", "store": "note", "update": "add", "recall": "recall"}


def gather(rows: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Rows of one recording, environment and episode as one row, which has them in `steps`; rows of other kinds as they are."""
    out: dict[Any, tuple[str, Any]] = {}
    for place, (where, row) in enumerate(rows):
        whole_row = isinstance(row, Mapping) and all(key in row for key in KEYS)
        key = (row["run"], row["env"], row["episode"]) if whole_row else place
        if not whole_row:
            out[key] = (where, row)
        elif key in out:
            out[key][1][STEPS].append(row)
        else:
            out[key] = (where, {**row, STEPS: [row]})
    return list(out.values())


def read(row: Mapping[str, Any], labels: str = "scores") -> list[StepRecord]:
    """The record of an episode's rows; see `episodes.read` for `labels`.

    A recording that was cut off holds episodes without an end: their outcome is unknown.
    """
    if labels not in LABELS:
        raise unknown("labels", labels, LABELS)
    steps = sorted(row[STEPS], key=lambda step: whole(step, "step"))
    numbers = [step["step"] for step in steps]
    if numbers != list(range(len(steps))):
        raise DataError(
            f"episode {row['episode']} of environment {row['env']} has the steps {numbers}: some are missing or twice"
        )
    scores = [{name[6:]: value for name, value in step.items() if name.startswith("score_")} for step in steps]
    criteria, values = scores_of(scores, labels)
    source = row.get("source") or "an unnamed source"
    prompt = f"(problem {row['problem']} of {source}; its words were not recorded)"
    won = scores[-1].get("outcome")
    outcome = float(won) if steps[-1].get("terminated") and won is not None and 0 <= won <= 1 else float("nan")
    meta = {"env": source, "problem": row["problem"], "kinds": [step["kind"] for step in steps], "labels": row.get("prm")}
    meta |= {name: row[name] for name in ("fingerprint", "run", "episode") if row.get(name) is not None}
    meta["actions"] = [step.get("action") for step in steps]
    return [StepRecord(prompt, tuple(map(_words, steps)), criteria, values, None, outcome, meta)]


def _words(step: Mapping[str, Any]) -> str:
    kind, slot = step["kind"], step.get("slot")
    held = _places(step["slots"][slot - 1]) if slot and slot <= len(step["slots"]) else ""
    desk = "nothing" if step.get("unit") is None else str(step["unit"] + 1)
    if kind == "recall":
        out = f"recall {held or 'nothing'}"
    elif kind in VERBS:
        out = f"{VERBS[kind]} {desk}"
        if held and desk != "nothing" and kind != "next":
            out += f", dropping {held}" if kind == "store" else f" to {held}"
    else:
        out = "begin an answer" if kind == "start" else f"answer: {step.get('answer') or '(none)'}"
    return out if step["legal"] else f"{out} (no effect)"


def _places(units: Sequence[int]) -> str:
    return " ".join(str(unit + 1) for unit in units if unit >= 0)


def write(records: Sequence[StepRecord]) -> list[dict[str, Any]]:
    """Nothing can be written so.

    Raises:
        ValueError: always; a recording holds what a record does not.
    """
    raise ValueError("a record does not hold what a recording does; write format='records', which loses nothing of a record")


ABOUT = "this suite's RecordTrajectories, a row a step, in numbers"
LAYOUT = Layout("trajectories", KEYS, ABOUT, read, write, ("labels",), gather=gather)
