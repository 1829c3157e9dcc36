"""The numbers of the page, against values that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reasongym.report import charts, estimates, tables
from reasongym.report.reading import parsed
from tests.report.conftest import curve, result


def run(row, setting="s", seed=1, **fields):
    return parsed(result(row, setting, seed, **fields))


def test_a_rows_score_is_the_interquartile_mean_with_an_interval_over_seeds():
    found = estimates.score([run("a", seed=seed, success=x) for seed, x in enumerate((0.0, 0.6, 0.8, 1.0))])
    assert found.value == pytest.approx(0.7)
    assert found.low < 0.7 < found.high
    assert found.over == estimates.SEEDS


def test_one_seed_has_an_interval_over_problems():
    found = estimates.score([run("a", "s", success=0.5), run("a", "t", success=0.5)])
    assert (found.value, found.over) == (0.5, estimates.PROBLEMS)
    assert (found.low, found.high) == pytest.approx((0.4314, 0.5686), abs=1e-3), "Wilson, 100 of 200"
    assert estimates.cell([run("a", success=0.5)]) == estimates.Interval(0.5, 0.4, 0.6, estimates.PROBLEMS)


def test_improvement_and_difference_are_over_shared_settings():
    ours = [run("a", "s", seed, success=0.9) for seed in (1, 2)] + [run("a", "alone", success=0.0)]
    theirs = [run("b", "s", seed, success=x) for seed, x in ((1, 0.8), (2, 0.9))]
    assert estimates.improvement(ours, theirs).value == pytest.approx(0.75)
    assert estimates.difference(ours, theirs).value == pytest.approx(0.05)
    assert estimates.improvement(ours, [run("c", "elsewhere")]) is None
    alone = estimates.improvement(ours[:1], theirs)
    assert (alone.low, alone.high, alone.over) == (alone.value, alone.value, estimates.PROBLEMS)


def test_a_diverged_run_never_reaches_the_threshold():
    runs = [
        run("a", seed=1),
        run("a", seed=2, steps_to_threshold=None),
        run("a", seed=3, status="diverged", steps_to_threshold=None),
    ]
    assert estimates.threshold(runs) == (math.inf, 1)
    assert estimates.threshold([*runs, run("a", seed=4, steps_to_threshold=900), run("a", seed=5)]) == (900.0, 3)


def test_an_ablation_differs_in_one_argument():
    full = {"agent": "ppo", "keywords": {"observer": "lexical", "beta": {"goal": 0.3}}, "seed": 1, "row": "full"}
    rows = {
        "full": [run("full", config=full)],
        "no-observer": [run("no-observer", success=0.3, config={**full, "keywords": {**full["keywords"], "observer": None}})],
        "no-goal": [run("no-goal", success=0.4, config={**full, "keywords": {**full["keywords"], "beta": {"goal": 0}}})],
        "neither": [run("neither", config={**full, "keywords": {"observer": None, "beta": {"goal": 0}}})],
        "other": [run("other", config={**full, "agent": "cloning"})],
        "said": [run("said", success=0.5, config={"ablation": "no replay"})],
        "rule": [run("rule", frames=0, config={**full, "keywords": {"observer": "lexical"}})],
    }
    found = tables.ablations(rows, "full")
    assert [item["change"] for item in found] == ["observer: lexical → none", "beta.goal: 0.3 → 0", "no replay"]
    assert found[0]["effect"].value == pytest.approx(-0.2)
    assert tables.headline(rows) == "full"
    assert tables.headline(rows, "rule") == "rule"
    with pytest.raises(ValueError, match="there is no row 'fu' to compare with; rows: full, "):
        tables.headline(rows, "fu")


def test_the_leaderboard():
    rows = tables.by_row([run("good", success=0.9), run("good", "t", success=0.8), run("bad", success=0.1, status="diverged")])
    assert list(rows) == ["good", "bad"]
    board = tables.leaderboard(rows, ["s", "t"], "good")
    assert (board[1]["diverged"], board[1]["missing"], board[1]["cells"][1]) == (1, ["t"], None)
    assert board[0]["seconds_a_point"] == pytest.approx(4 / 170)
    assert math.isnan(board[1]["seconds_a_point"])
    assert board[0]["ledger"] == {"label_bits": 12}
    assert board[0]["improvement"] is None
    assert board[1]["improvement"].value == 1.0


def step(kind, slot=None, salience=(), **scores):
    return {"kind": kind, "slot": slot, "slots": [{"salience": s} for s in salience], "scores": scores, "reward": 0.0}


def test_use_of_slots_and_correlations():
    steps = [
        step("store", 1),
        step("store", 2, (0.5,)),
        step("recall", 2, (0.4, 0.6)),
        step(
            "store",
            3,
            (),
        )
        | {"invalid": "no"},
    ]
    episode = {"format": 1, "memory_slots": 3, "steps": steps}
    (used,) = tables.slot_use({"a": [parsed(result("a", "s", 1), (episode,))]})
    assert used["writes"] == [1, 1, 0], "an illegal action writes nothing"
    assert used["recalls"] == [0, 1, 0]
    assert used["occupied"] == [0.5, 0.25, 0]
    assert used["salience"][:2] == pytest.approx([0.45, 0.6])
    assert tables.correlations([parsed(result("a", "s", 1), (episode,))]) is None
    many = [step("next", x=i % 2, y=-(i % 2), z=None if i else 1.0, w=0.0) for i in range(60)]
    found = tables.correlations([parsed(result("a", "s", 1), ({"format": 1, "steps": many},))])
    assert found["values"][0][:2] == pytest.approx([1.0, -1.0])
    assert math.isnan(found["values"][0][2])
    assert math.isnan(found["values"][3][3])


def test_mean_curves_go_as_far_as_the_shortest():
    long, short = run("a"), run("a", seed=2)
    object.__setattr__(long, "curve", tuple(curve(1.0, 5)))
    object.__setattr__(
        short, "curve", ({"frames": 0, "success": 0.0}, {"frames": 500, "success": 0.25}, {"frames": None, "success": 1})
    )
    x, mean, low, high = charts.mean_curve([long, short], "frames")
    assert x[-1] == 500
    assert (low[-1], mean[-1], high[-1]) == pytest.approx((0.25, 0.375, 0.5))
    assert charts.mean_curve([short], "cpu_seconds") is None
    assert np.all(np.diff(x) > 0)


def test_a_diverged_runs_curve_goes_on_at_nothing():
    good, bad = run("a"), run("a", seed=2, status="diverged")
    object.__setattr__(good, "curve", tuple(curve(0.8, 5)))
    object.__setattr__(bad, "curve", ({"frames": 0, "success": 0.0}, {"frames": 500, "success": 0.4}))
    x, mean, low, _ = charts.mean_curve([good, bad], "frames")
    assert x[-1] == 1000
    assert (low[-1], mean[-1]) == pytest.approx((0.0, 0.4))
    assert mean[x.searchsorted(450)] == pytest.approx(0.0008 * x[x.searchsorted(450)], abs=1e-6), "both rise alike until then"
