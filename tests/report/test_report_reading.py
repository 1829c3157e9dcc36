"""Runs are read as they are; what is missing or broken is named and stops nothing else."""

from __future__ import annotations

import json

import pytest

from reasongym.report.reading import ReportError, read_runs
from tests.report.conftest import ROWS, SEEDS, SETTINGS, curve, result, write_run


def notes(found):
    return {note.where: note.what for note in found.notes}


def test_a_whole_folder(played):
    found = read_runs(played)
    assert len(found.runs) == len(ROWS) * len(SETTINGS) * len(SEEDS)
    assert not found.notes
    run = next(run for run in found.runs if run.name == "random--easy--1")
    assert (run.suite, run.row, run.setting, run.seed, run.status) == ("tiny", "random", "easy", 1, "finished")
    assert len(run.curve) == 5
    assert len(run.episodes) == 3


def test_a_suite_or_a_run_can_be_named(played):
    assert read_runs(played / "tiny").runs == read_runs(played).runs
    (run,) = read_runs(played / "tiny" / "expert--small--2").runs
    assert run.name == "expert--small--2"


def test_a_file_of_results(tmp_path):
    path = tmp_path / "core.json"
    kept = {
        "protocol": 1,
        "suite": "core",
        "settings": {"seeds": [1]},
        "runs": [{**result("a", "s", 1), "curve": curve(0.5)}, 7],
    }
    path.write_text(json.dumps(kept))
    found = read_runs(path)
    assert [run.name for run in found.runs] == ["a--s--1"]
    assert len(found.runs[0].curve) == 5
    assert found.settings == {"core": {"seeds": [1]}}
    assert "is no JSON object" in notes(found)["core.json, run 1"]


def test_a_diverged_run_is_kept_and_counts_as_nothing(tmp_path):
    write_run(tmp_path, result("a", "s", 1, status="diverged", success=float("nan"), interval=None, problems=0))
    found = read_runs(tmp_path)
    assert (found.runs[0].success, found.runs[0].status) == (0.0, "diverged")
    assert any("counts as a success of 0" in note.what for note in found.notes)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"protocol": 2}, "is of protocol 2, this page shows 1: it is left out"),
        ({"status": "running"}, "status must be one of finished, diverged, got 'running'"),
        ({"success": 1.5}, r"success must be a number in [0, 1], got 1.5"),
        ({"success": float("nan")}, "success must be a number in [0, 1], got nan"),
        ({"interval": None}, "result.json cannot be read"),
        ({"row": 3}, "row must be a string, got 3"),
        ({"seed": "one"}, "result.json cannot be read"),
    ],
)
def test_a_result_that_cannot_be_shown_is_named(runs, fields, said):
    path = runs / "tiny" / "expert--easy--1" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    found = read_runs(runs)
    assert said in notes(found)["tiny/expert--easy--1"]
    assert len(found.runs) == 7


def test_broken_files_are_named(runs):
    (runs / "tiny" / "expert--easy--1" / "result.json").write_text('{"protocol": 1, ')
    (runs / "tiny" / "expert--easy--2" / "result.json").unlink()
    (runs / "tiny" / "expert--small--1" / "metrics.jsonl").write_bytes(b'{"frames": 1}\n{"fra\n\xff\xfe\n')
    (runs / "tiny" / "expert--small--2" / "metrics.jsonl").unlink()
    (runs / "tiny" / "random--easy--1" / "episodes.jsonl").write_text('{"format": 9, "steps": []}\n[]\n')
    told = notes(read_runs(runs))
    assert "result.json cannot be read (Expecting property name" in told["tiny/expert--easy--1"]
    assert "is not finished: it has no result.json" in told["tiny/expert--easy--2"]
    assert "metrics.jsonl has 2 broken lines (2, 3), left out" in told["tiny/expert--small--1"]
    assert "has no metrics.jsonl" in told["tiny/expert--small--2"]
    everything = " ".join(note.what for note in read_runs(runs).notes)
    assert "1 episodes are of another format than 1" in everything
    assert "episodes.jsonl has 1 broken line (2)" in everything


def test_nothing_to_show_is_refused(tmp_path):
    with pytest.raises(ReportError, match="nowhere does not exist; expected a folder RUNS/<suite>"):
        read_runs(tmp_path / "nowhere")
    with pytest.raises(ReportError, match="holds no runs: expected folders named <row>--<setting>--<seed>"):
        read_runs(tmp_path)
    write_run(tmp_path, result("a", "s", 1, protocol=0))
    with pytest.raises(ReportError, match=r"no run of .* can be shown:\n  tiny/a--s--1: is of protocol 0"):
        read_runs(tmp_path)
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ReportError, match=r"x\.json holds list, expected an object"):
        read_runs(tmp_path / "x.json")
    (tmp_path / "y.json").write_text("{}")
    with pytest.raises(ReportError, match="is no file of results"):
        read_runs(tmp_path / "y.json")
