"""What a run keeps between two rounds: one checkpoint, the replay it names, and the rows; each file appears in one piece.

The replay is written first, under the round's number, and the checkpoint names it: a kill between the two leaves the checkpoint
of the round before with the replay of the round before.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from agents.self_reward.loop import SelfReward

STATE, ROWS, CONFIG = "state.pt", "rounds.jsonl", "config.json"


def check_folder(folder: Path, shown: dict[str, Any]) -> None:
    """Writes down what the run is; refuses a folder of another one.

    Raises:
        ValueError: names what differs.
    """
    path, wanted = folder / CONFIG, json.loads(json.dumps(shown))
    if not path.exists():
        _write(path, json.dumps(wanted, indent=1) + "\n")
        return
    there = json.loads(path.read_text())
    differing = sorted(key for key in wanted if there.get(key) != wanted[key])
    if differing:
        raise ValueError(f"{folder} holds a run with other {', '.join(differing)}: name another folder, or remove it")


def save(run: SelfReward, number: int) -> None:
    """Keeps the run as it is after a round."""
    replay = f"replay-{number}.parquet"
    run.replay.save(run.folder / replay)
    state = {
        "replay": replay, "rows": run.rows, "ledger": run.ledger, "weighting": run.weighting, "judged": run.judged,
        "judge": run.judge.state_dict(), "bought": run.bought, "bits": 0.0 if run.annotator is None else run.annotator.bits,
        **run.model.kept(),
    }  # fmt: skip
    part = run.folder / "state.part"
    torch.save(state, part)
    os.replace(part, run.folder / STATE)
    _write_rows(run)
    for old in run.folder.glob("replay-*.parquet"):
        if old.name != replay:
            old.unlink()


def load(run: SelfReward) -> None:
    """Puts what was kept into a run that has just been made with the same arguments; nothing where nothing was kept."""
    path = run.folder / STATE
    if not path.exists():
        return
    state = torch.load(path, map_location=run.model.device, weights_only=False)
    run.replay.load(run.folder / state["replay"])
    run.model.resume(state)
    run.judge.load_state_dict(state["judge"])
    run.judged, run.bought, run.rows, run.ledger = (state[name] for name in ("judged", "bought", "rows", "ledger"))
    run.paid.weighting, run.paid.judge = state["weighting"], run.model.heard(run.known_judge)
    if run.annotator is not None:
        run.annotator.bits = state["bits"]
    _write_rows(run)


def _write_rows(run: SelfReward) -> None:
    _write(run.folder / ROWS, "".join(json.dumps(row, allow_nan=False) + "\n" for row in run.rows))


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text)
    os.replace(part, path)
