"""A small benchmark folder in the layout that the report reads; its episodes are played, its curves are written here."""

from __future__ import annotations

import json
import shutil

import pytest

from agents.base import evaluate
from agents.baselines import make
from agents.episodes import record_episodes
from reasongym.adapters.sb3 import make_vec_env

ID = "ReasonGym-bAbI-qa2-v0"
SETTINGS = {
    "easy": {"difficulty": {"max_units": 6}, "memory_slots": 3},
    "small": {"difficulty": {"max_units": 6}, "memory_slots": 2},
}
ROWS = ("expert", "random")
SEEDS = (1, 2)


def result(row, setting, seed, **fields):
    """A result.json as the contract has it."""
    kept = {"protocol": 1, "suite": "tiny", "row": row, "setting": setting, "seed": seed, "status": "finished"}
    found = {"success": 0.5, "interval": [0.4, 0.6], "problems": 100, "rates": {"capture": 0.9, "retention": 0.8}}
    spent = {"frames": 1000, "cpu_seconds": 2.0, "steps_to_threshold": 800, "ledger": {"label_bits": 12}}
    made = {"config": {"agent": "ppo"}, "versions": {"python": "3"}, "commit": "0123456789abcdef", "supervision": "answers"}
    return {**kept, **found, **spent, **made, **fields}


def write_run(root, record, curve=(), episodes=()):
    """Writes a run's folder; returns it."""
    folder = root / record["suite"] / f"{record['row']}--{record['setting']}--{record['seed']}"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(record))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in curve))
    (folder / "episodes.jsonl").write_text("".join(json.dumps(episode) + "\n" for episode in episodes))
    return folder


def curve(last, points=5):
    """A learning curve that rises to `last`."""
    return [
        {
            "frames": 250 * i,
            "cpu_seconds": 0.5 * i,
            "success": last * i / (points - 1),
            "terms": {"goal": 0.1 * i, "outcome": 0.2},
        }
        for i in range(points)
    ]


@pytest.fixture(scope="session")
def played(tmp_path_factory):
    """The folder itself: do not write into it."""
    root = tmp_path_factory.mktemp("runs")
    for setting, keywords in SETTINGS.items():
        for row in ROWS:
            observer = {"observer": "lexical", "gate": "salience"} if row == "random" else {}
            agent = make(row, make_vec_env(ID, n_envs=2, **keywords, **observer)).learn(0)
            episodes = record_episodes(agent, ID, name=row, problems=3, **keywords, **observer)
            found = evaluate(agent, ID, problems=50, num_envs=50, **keywords, **observer)
            for seed in SEEDS:
                record = result(row, setting, seed, success=found.accuracy, interval=list(found.interval), problems=50)
                write_run(root, record, curve(found.accuracy), episodes if seed == 1 else ())
    return root


@pytest.fixture
def runs(played, tmp_path):
    """A copy of the folder, to be spoilt."""
    return shutil.copytree(played, tmp_path / "runs")
