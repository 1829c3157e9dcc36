"""`prm-bench --prm judge:MODEL@URL`: kept replies, bounded cost, failures by policy, what a judge is shown."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reasongym.errors import UnknownNameError
from reasongym.prm.formats import write_records
from reasongym.prm.judge.errors import CostError, UnavailableError
from reasongym.prm.loading import load_prm
from reasongym.prm.records import StepRecord

STEPS, CRITERIA, KINDS, ORDERS = 6, 3, 2, 2


@pytest.fixture
def data(tmp_path):
    steps = ("So it is.", "It is not.", "Thus.")
    labels = np.array([[1.0], [-1.0], [1.0]], np.float32)
    path = tmp_path / "data.jsonl"
    write_records([StepRecord(f"Why {i}?", steps, ("correct",), labels) for i in range(STEPS // 3)], path)
    return path


@pytest.fixture
def bench(talking, data, tmp_path):
    """`bench(*options)` -> the report."""
    testing = pytest.importorskip("typer.testing")
    from reasongym import cli

    def run(*options, prm=f"judge:m@{talking.url}"):
        out = tmp_path / "out.json"
        arguments = ["prm-bench", "--prm", prm, "--data", str(data), "--json", str(out), *options]
        result = testing.CliRunner().invoke(cli.build_app(), arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return json.loads(out.read_text())

    return run


def test_a_killed_run_resumes_without_paying_twice(bench, talking, tmp_path):
    cache = ("--cache", str(tmp_path / "cache"))
    whole = STEPS * CRITERIA * KINDS * ORDERS
    talking.die_after = whole // 3
    with pytest.raises(UnavailableError):
        bench(*cache)
    paid = len(talking.asked)
    assert 0 < paid < whole
    talking.die_after = None
    report = bench(*cache)
    assert len(talking.asked) == len(set(talking.asked)) == whole
    assert bench(*cache)["prms"].keys() == report["prms"].keys()
    assert len(talking.asked) == whole, "a third run costs nothing"


def test_cost_is_bounded(bench, talking):
    talking.usage = (1_000, 0)
    with pytest.raises(CostError, match="raise max_cost"):
        bench("--max-cost", "5", "--price", "1000,0")
    assert 0 < len(talking.asked) <= 5
    with pytest.raises(ValueError, match="bounds nothing without price"):
        bench("--max-cost", "5")
    with pytest.raises(ValueError, match="--price takes IN,OUT"):
        bench("--max-cost", "5", "--price", "cheap")


def test_failures_are_left_unscored_where_asked(bench, talking):
    talking.die_after = 0
    assert bench("--on-failure", "unscored")["prms"]
    with pytest.raises(UnknownNameError, match="known: raise, unscored"):
        bench("--on-failure", "zero")


@pytest.mark.parametrize("seen", [None, 0, 1])
def test_how_much_is_shown(bench, talking, seen):
    bench(*(() if seen is None else ("--context-steps", str(seen))))
    assert max(asked.count("| step ") for asked in talking.asked) == (3 if seen is None else seen + 1)


def test_options_of_a_judge_need_a_judge(bench):
    with pytest.raises(ValueError, match=r"--cache, --on-failure: only a judge by name takes it"):
        bench("--cache", "x", "--on-failure", "raise", prm="lexical")
    with pytest.raises(ValueError, match="max_cost, price bounds what a server bills; judge:here runs in this process"):
        load_prm("judge:here", judge={"max_cost": 1.0, "price": (1.0, 1.0)})
