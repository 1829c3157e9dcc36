"""The tables of all bAbI tasks: errors in percent by task, their mean over the tasks that every run has, and what failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from readme_tables import babi


def cells(table: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {line[0]: line[1:] for line in lines}


def test_one_agent_for_all():
    def run(error: float) -> dict:
        return {"by_task": {str(task): 1 - (error if task < 11 else 0.0) for task in range(1, 21) if task != 3}}

    found = cells(babi.joint({"answers-1": run(0.1), "answers-2": run(0.04), "rewards-1": run(0.2)}))
    assert found["task"][:2] == ["answers (2)", "rewards (1)"]
    assert found["10"][:2] == ["7.0", "20.0"]
    assert "3" not in found
    assert found["mean of 19"][:2] == ["3.32 ± 2.01", "9.47"]
    assert found["above 5%"][:2] == ["4.5", "9"]
    dnc = found["task"].index("DNC")
    left = [error for task, error in enumerate(babi.JOINT["DNC"], 1) if task != 3]
    assert float(found["mean of 19"][dnc]) == pytest.approx(sum(left) / 19, abs=0.005)


def test_an_agent_each():
    runs = [{"row": "answers", "setting": f"qa{task}", "seed": 1, "success": 1 - task / 100} for task in range(1, 21)]
    found = cells(babi.single({"runs": runs}, []))
    assert found["3*"][0] == "3.0"
    assert found["mean of 20"][0] == "10.50"
    assert found["above 5%"][0] == "15"


def test_agents_of_stories_made_to_order_have_a_column():
    runs = [{"row": "answers", "setting": f"qa{task}", "seed": 1, "success": 0.9} for task in range(1, 21)]
    played = [
        ("qa2", "babi-qa2/en-10k/validation", 0.97),
        ("qa3", "babi-qa3/en-10k/validation", 0.95),
        ("qa3", "babi-qa3/procedural/test", 1),
    ]
    transfer = [{"env": f"ReasonGym-bAbI-{task}-v0", "played": where, "accuracy": share} for task, where, share in played]
    found = cells(babi.single({"runs": runs}, transfer))
    assert found["2"][:2] == ["10.0", "3.0"]
    assert found["3*"][:2] == ["10.0", "5.0"]
    assert found["mean of 20"][:2] == ["10.00", "9.40"]
    assert babi.ORDERED not in babi.single({"runs": runs}, transfer[:1]), "both, or none"


@pytest.mark.parametrize("columns", [babi.JOINT, babi.SINGLE])
def test_published_columns_have_all_tasks(columns):
    assert all(len(errors) == 20 for errors in columns.values())
    means = {"DNC": 16.7, "EntNet": 9.7, "ADNC": 6.3, "BiADNC": 3.2, "EntNet, best of 10": 0.5}
    for name, errors in columns.items():
        assert sum(errors) / 20 == pytest.approx(means[name], abs=0.06)


def test_the_first_thing_that_was_missing_is_the_cause():
    from errors import cause

    def episode(support=(0,), **rates):
        return {"support": list(support), "rates": rates}

    assert cause(episode(capture=0.5, retention=0.0, retrieval=0.0)) == "never stored"
    assert cause(episode(capture=1.0, retention=0.5, retrieval=0.0)) == "stored and lost"
    assert cause(episode(capture=1.0, retention=1.0, retrieval=0.5)) == "not recalled"
    assert cause(episode(capture=1.0, retention=1.0, retrieval=1.0)) == "recalled and misread"
    assert cause(episode(support=())) == "nothing was needed"
