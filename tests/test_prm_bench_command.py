"""`python -m reasongym prm-bench` as it is typed: PRMBench's numbers, files, options, messages, and README's five minutes."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from solutions import MADE

from reasongym.errors import DataError, ReasonGymError
from reasongym.prm.bench import REFERENCES, bench
from reasongym.prm.bench.references import Oracle, Random
from reasongym.prm.formats import read_records, write_records

ROOT = Path(__file__).parents[1]
PRMBENCH = Path(os.environ.get("REASONGYM_DATA", ROOT / ".." / "shared" / "data")) / "prmbench" / "prmbench-subset394.jsonl.gz"
needs_prmbench = pytest.mark.skipif(not PRMBENCH.exists(), reason=f"PRMBench is not at {PRMBENCH}: set REASONGYM_DATA")


def run(*arguments):
    typer_testing = pytest.importorskip("typer.testing")
    from reasongym import cli

    result = typer_testing.CliRunner().invoke(cli.build_app(), ["prm-bench", *map(str, arguments)], env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def rows_of(output, heading):
    """The numbers of a printed table, by PRM."""
    lines = output.split(f"{heading} ")[1].splitlines()
    found = {}
    for line in lines[1:]:
        cells = line.split()
        numbers = [cell for cell in cells if re.fullmatch(r"-?\d+\.\d+|-", cell)]
        if numbers:
            found[" ".join(cells[: len(cells) - len(numbers)])] = numbers
        elif found:
            return found
    return found


@needs_prmbench
def test_prmbench_by_the_command(tmp_path):
    output = run("--prm", "references", "--data", PRMBENCH, "--json", tmp_path / "deep" / "out.json")
    assert "384 solutions pooled, 5,590 steps, 5,590 labelled, 868 of them wrong" in output.replace("\n", " ")
    assert "apart, not pooled: 10 multi_solutions" in output
    assert "11 rows name errors past the end" in output
    printed = rows_of(output, "steps")
    assert printed["oracle"][:4] == ["100.0", "100.0", "100.0", "100.0"]
    assert printed["always-yes"][:4] == ["45.8", "91.6", "0.0", "45.7"]
    assert printed["always-no"][:4] == ["13.4", "0.0", "26.9", "13.7"]
    assert "…" not in "".join(" ".join(row) for row in printed.values())
    report = json.loads((tmp_path / "deep" / "out.json").read_text())
    rows = report["prms"]
    right, wrong = 5590 - 868, 868
    assert rows["always-yes"]["prm_score"] == pytest.approx(right / (2 * right + wrong))
    assert rows["always-no"]["prm_score"] == pytest.approx(wrong / (2 * wrong + right))
    assert rows["always-yes"]["without_past_the_end"]["records"] == 373
    assert rows["oracle"]["apart"]["multi_solutions"]["records"] == 10
    assert len(rows["lexical"]["groups"]["parts"]) == 8
    committed = json.loads((ROOT / "examples" / "results" / "prm_bench_prmbench.json").read_text())
    for name in REFERENCES:
        for key in (
            "version",
            "prm_score",
            "counts",
            "earliest_error",
            "auc",
            "calibration_error",
            "without_past_the_end",
            "groups",
        ):
            same_numbers(rows[name][key], committed["prms"][name][key])
    assert committed["data"] == report["data"]


def same_numbers(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same_numbers(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same_numbers(a, b)
    else:
        assert one == pytest.approx(other) if isinstance(one, float) else one == other


@needs_prmbench
def test_prmbench_without_its_faulty_rows_and_with_right_solutions(tmp_path):
    output = run("--prm", "always-yes", "--data", PRMBENCH, "--option", "past_the_end=drop", "--json", tmp_path / "x.json")
    assert "left out: 11 rows, error steps past the end of the solution" in output
    report = json.loads((tmp_path / "x.json").read_text())
    assert (report["data"]["pooled"], report["data"]["steps"], report["data"]["wrong"]) == (373, 5323, 845)
    both = run(
        "--prm", "oracle", "--prm", "always-yes", "--data", PRMBENCH, "--option", "process=both", "--json", tmp_path / "y.json"
    )
    rows = json.loads((tmp_path / "y.json").read_text())["prms"]
    found = {"f1": 1, "on_wrong": 1, "on_right": 1, "wrong": 384, "right": 299, "partly": 0}  # 299 texts of 150 solutions
    assert rows["oracle"]["earliest_error"] == found
    assert "left out: 95 rows, an unmodified solution that an earlier row has brought" in both
    assert rows["always-yes"]["earliest_error"]["on_right"] == 1
    assert rows["always-yes"]["prm_score"] == pytest.approx(0.457913, abs=1e-6), "original solutions are not pooled"


@needs_prmbench
def test_any_copy_of_a_file_gives_the_same_numbers(tmp_path):
    pytest.importorskip("pyarrow")
    records = read_records(PRMBENCH)
    write_records(records, tmp_path / "x.parquet")
    copy = read_records(tmp_path / "x.parquet")
    one, other = (bench({"random": Random()}, some)["prms"]["random"] for some in (records, copy))
    del one["latency"], other["latency"]
    assert one == other


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    write_records(MADE, tmp_path / "x.jsonl")
    run("--prm", "random", "--prm", "oracle", "--data", tmp_path / "x.jsonl", "--picture", tmp_path / "in" / "x.png")
    assert (tmp_path / "in" / "x.png").read_bytes()[:4] == b"\x89PNG"
    from reasongym.prm.bench.picture import draw

    right = bench({"oracle": Oracle()}, MADE[:1])
    with pytest.raises(ValueError, match="no reliability curve"):
        draw(right, tmp_path / "y.png")


def test_labels_that_are_all_true_are_pointed_at(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"prompt": "p", "completions": ["a", "b"], "labels": [true, true]}\n')
    assert "no step is labelled wrong" in run("--prm", "oracle", "--data", tmp_path / "x.jsonl")


def test_skipped_records_are_stated(tmp_path):
    write_records(MADE, tmp_path / "x.jsonl")
    with (tmp_path / "x.jsonl").open("a") as file:
        file.write("{broken\n")
    with pytest.raises(DataError, match="line 5: no JSON"):
        run("--prm", "oracle", "--data", tmp_path / "x.jsonl")
    assert "skipped: 1 broken rows" in run("--prm", "oracle", "--data", tmp_path / "x.jsonl", "--no-strict")


def test_one_problem_of_ones_own(tmp_path):
    write_records(MADE[:2], tmp_path / "x.jsonl")
    output = run("--data", tmp_path / "x.jsonl")
    assert "without the step-type prior, which needs other problems" in output
    assert "oracle" in rows_of(output, "steps")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "high"], "--threshold takes a number in"),
        (["--threshold", "2"], "--threshold takes a number in .* got '2'"),
        (["--picture", "x.bmp"], "--picture draws .png, .svg, .pdf, got 'x.bmp'"),
        (["--json", "."], "--json . is a folder; name a file in it"),
        (["--json", "x.jsonl/report.json"], "--json x.jsonl/report.json cannot be written: .*"),
        (["--option", "scale"], "--option takes name=value"),
        (["--format", "processbnch"], "did you mean 'processbench'"),
        (["--prm", "orcle"], "did you mean 'oracle'"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_records(MADE, tmp_path / "x.jsonl")
    with pytest.raises((ReasonGymError, ValueError), match=message):
        run("--data", tmp_path / "x.jsonl", *arguments)


def test_outputs_are_tried_before_anything_is_scored(tmp_path, monkeypatch):
    monkeypatch.setattr(Oracle, "score_records", lambda self, records: pytest.fail("scored"))
    write_records(MADE, tmp_path / "x.jsonl")
    for option, path in (("--json", tmp_path), ("--picture", tmp_path / "x.txt")):
        with pytest.raises(ValueError, match=option):
            run("--prm", "oracle", "--data", tmp_path / "x.jsonl", option, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt": "p", "completions": ["a"], "labels": [-0.5]}\n', "--option scale=signed if"),
        ('{"prompt": "p", "completions": ["a"], "labels": [-0.5]}\n', "--no-strict skips broken records"),
        ('{"prompt": "p", "completions": ["a"], "labels": [-100]}\n', "--option unscored=-100 if"),
        ('{"story": 1}\n', "name one with --format"),
    ],
)
def test_messages_speak_of_options_not_of_keywords(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(DataError, match=message) as raised:
        run("--data", tmp_path / "x.jsonl")
    assert not re.search(r"strict=|format=|scale='|(?<!option )unscored=", str(raised.value))
    with pytest.raises(DataError, match=r"strict=False|format="):
        read_records(tmp_path / "x.jsonl")


def test_standard_input(tmp_path):
    write_records(MADE, tmp_path / "x.jsonl")
    command = [
        sys.executable,
        "-m",
        "reasongym",
        "prm-bench",
        "--prm",
        "oracle",
        "--data",
        "-",
        "--json",
        str(tmp_path / "r.json"),
    ]
    piped = subprocess.run(command, input=(tmp_path / "x.jsonl").read_bytes(), capture_output=True, timeout=120, cwd=ROOT)
    assert piped.returncode == 0, piped.stderr
    data = json.loads((tmp_path / "r.json").read_text())["data"]
    assert (data["file"], data["records"]) == ("standard input", 4)
    assert data["digest"] == read_records(tmp_path / "x.jsonl").digest


def test_the_traceback_is_one_option_away(tmp_path, monkeypatch, capsys):
    from reasongym import cli

    (tmp_path / "mine.py").write_text(
        "class Mine:\n    criteria, version = ('correct',), '1'\n"
        "    def score_records(self, records):\n        return self.helper()\n"
        "    def helper(self):\n        raise ValueError('ouch')\n"
    )
    write_records(MADE, tmp_path / "x.jsonl")
    for more in ([], ["--debug"]):
        command = ["reasongym", "prm-bench", "--prm", f"{tmp_path}/mine.py:Mine", "--data", f"{tmp_path}/x.jsonl", *more]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(
            SystemExit, match=r"failed on record 1 .*ValueError: ouch\n  at .*mine\.py:6: raise ValueError"
        ) as left:
            cli.main()
        assert ("--debug shows the traceback" in str(left.value)) is not bool(more)
        assert ("in helper" in capsys.readouterr().err) is bool(more)


def test_long_names_leave_the_numbers_whole(tmp_path, monkeypatch):
    from reasongym.prm.bench.tables import LONGEST, short_names

    deep = tmp_path / "a_folder_with_a_very_long_name" / "and_another_of_the_kind"
    deep.mkdir(parents=True)
    for name in ("mine", "a_prm_with_a_name_that_fills_a_line"):
        (deep / f"{name}.py").write_text("from reasongym.prm.bench.references import Always\nyes = Always(1)\n")
    write_records(MADE, tmp_path / "x.jsonl")
    names = [f"{deep}/mine.py:yes", f"{deep}/a_prm_with_a_name_that_fills_a_line.py:yes", "oracle"]
    output = run(
        *(part for name in names for part in ("--prm", name)), "--data", tmp_path / "x.jsonl", "--json", tmp_path / "r.json"
    )
    rows = rows_of(output, "steps")
    assert list(rows) == short_names(names) == ["mine.py:yes", "a_prm_with…a_line.py:yes", "oracle"]
    assert all(len(row) == 6 for row in rows.values())
    assert f"mine.py:yes: {names[0]}" in output.replace("\n", "")
    assert list(json.loads((tmp_path / "r.json").read_text())["prms"]) == names, "the report keeps the names that were given"
    alike = short_names([f"/{'x' * 30}/{i}/prm.py:Mine" for i in range(3)] + ["prm.py:Mine"])
    assert len(set(alike)) == 4
    assert max(map(len, alike)) <= LONGEST
    assert short_names(["runs/prm", "oracle"]) == ["runs/prm", "oracle"]


# README and docs


def section():
    return (ROOT / "README.md").read_text().split("## Test your PRM in five minutes")[1].split("\n## ")[0]


def test_five_minutes_on_files_of_ones_own(tmp_path, monkeypatch):
    """A newcomer's path: the files of the section are written as they stand, its commands are run as they stand."""
    text = section()
    for name, content in re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^    python -m reasongym prm-bench (.*)$", text, re.MULTILINE)
    assert {path.name for path in tmp_path.iterdir()} == {"solutions.jsonl", "my_prm.py"}
    assert len(commands) == 2
    for command in commands:
        if "--picture" not in command or importlib.util.find_spec("matplotlib"):
            assert "PRMScore" in run(*shlex.split(command))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["data"]["records"] == len((tmp_path / "solutions.jsonl").read_text().splitlines())
    assert report["prms"]["my_prm.py:MyPRM"]["counts"] == {"tp": 3, "fp": 1, "tn": 1, "fn": 0}, "it knows sums, and no parity"
    assert report["prms"]["oracle"]["prm_score"] == 1


def test_numbers_of_the_documentation_are_the_committed_ones():
    committed = json.loads((ROOT / "examples" / "results" / "prm_bench_prmbench.json").read_text())["prms"]
    table = dict(re.findall(r"^\| ([\w -]+?) \| (.*) \|$", (ROOT / "docs" / "prm_bench.md").read_text(), re.MULTILINE))
    for name in REFERENCES:
        row = committed[name]
        shares = [row["prm_score"], row["f1"], row["negative_f1"], row["without_past_the_end"]["prm_score"]]
        expected = [f"{100 * share:.1f}" for share in shares] + [f"{row['auc']:.3f}", f"{row['calibration_error']:.3f}"]
        assert table[name].split(" | ") == expected, name
    yes, lexical = (f"{100 * committed[name]['prm_score']:.1f}" for name in ("always-yes", "lexical"))
    assert f"always-yes has {yes} and `lexical` {lexical}" in section()
