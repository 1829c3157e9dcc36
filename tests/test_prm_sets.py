"""The sets of labelled episodes: what they say of themselves is so, and the bench reads the file."""

from __future__ import annotations

import json

import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.audit.prm_sets import HELD_OUT, SEEN, SETS, step_set
from reasongym.cli import build_app
from reasongym.prm.formats import read_records

CliRunner = pytest.importorskip("typer.testing").CliRunner


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_what_its_name_says(name):
    records = step_set(name, 21)
    assert len(records) == 21
    assert {record.meta["task"] for record in records} == set(HELD_OUT if name.startswith("held-out") else SEEN)
    assert {record.meta["set"] for record in records} == {name}
    wrong = [int((record.labels < 0).sum()) for record in records]
    assert 0 < sum(map(bool, wrong)) < len(records)
    if name.endswith("planted"):
        assert max(wrong) == 1
        assert all((record.meta["error_step"] >= 0) == bool(n) for record, n in zip(records, wrong, strict=True))


def test_sets_are_fixed_and_longer_ones_longer():
    again = [step_set("seen, planted", 14) for _ in range(2)]
    assert [record.steps for record in again[0]] == [record.steps for record in again[1]]
    usual, longer = (
        np.mean([sum(kind in ("next", "store", "update") for kind in record.meta["kinds"]) for record in step_set(name, 70)])
        for name in ("seen, sampled", "longer, sampled")
    )
    assert longer > 1.5 * usual


def test_the_command_writes_what_the_bench_reads(tmp_path):
    out, report = tmp_path / "new" / "sets.jsonl.gz", tmp_path / "report.json"
    run = CliRunner().invoke
    only = ["--only", "seen, planted", "--only", "held-out, sampled"]
    done = run(build_app(), ["prm-sets", "--out", str(out), "--episodes", "7", *only])
    assert done.exit_code == 0, done.output
    assert len(list(read_records(out))) == 7 + 9
    options = ["--data", str(out), "--group-by", "set", "--prm", "oracle", "--prm", "always-yes", "--json", str(report)]
    assert run(build_app(), ["prm-bench", *options]).exit_code == 0
    found = json.loads(report.read_text())["prms"]
    assert found["oracle"]["prm_score"] == 1 > found["always-yes"]["prm_score"]
    assert set(found["oracle"]["groups"]["parts"]) == {"seen, planted", "held-out, sampled"}


def test_an_unknown_set_is_named(tmp_path):
    done = CliRunner().invoke(build_app(), ["prm-sets", "--out", str(tmp_path / "x.jsonl"), "--only", "seen planted"])
    assert "unknown set 'seen planted'" in str(done.exception)
    assert not (tmp_path / "x.jsonl").exists()
