"""Readers and writers of step records: hand-written files of each layout, round trips, and files that are broken."""

from __future__ import annotations

import datetime
import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasongym.errors import DataError, UnknownNameError
from reasongym.prm.formats import LAYOUTS, from_dataset, layout_of, read_records, to_dataset, write_records
from reasongym.prm.records import StepRecord

NAN = float("nan")


def lines(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def labels(record):
    return [None if np.isnan(label) else float(label) for label in record.labels[:, 0]]


PROCESSBENCH = {
    "id": "gsm8k-7",
    "generator": "a model",
    "problem": "What is 2 + 3, doubled?",
    "steps": ["2 + 3 is 6.", "6 doubled is 12.", "12."],
    "final_answer_correct": False,
    "label": 0,
}
PRMBENCH = {
    "original_question": "q?",
    "modified_question": "q, now?",
    "original_process": ["a", "b"],
    "modified_process": ["a", "not b", "c"],
    "modified_steps": [2],
    "error_steps": [2],
    "reason": "b is right",
    "idx": "p_0",
    "question": "q?",
    "classification": "confidence",
}
PRM800K = {
    "labeler": "x",
    "generation": None,
    "question": {"problem": "q?", "ground_truth_answer": "5", "pre_generated_steps": ["s0", "s1", "s2"]},
    "label": {
        "steps": [
            {"completions": [{"text": "s0", "rating": 0, "flagged": None}], "human_completion": None, "chosen_completion": 0},
            {
                "completions": [{"text": "w1", "rating": -1}, {"text": "w2", "rating": None}],
                "human_completion": {"text": "by hand", "rating": None},
                "chosen_completion": None,
            },
            {
                "completions": [{"text": "other", "rating": -1}, {"text": "s2", "rating": -1}],
                "human_completion": None,
                "chosen_completion": None,
            },
        ],
        "finish_reason": "found_error",
    },
}
STEPWISE = {"prompt": "q?", "completions": ["a", "b"], "labels": [True, False]}


def test_processbench_counts_from_zero(tmp_path):
    right = {**PROCESSBENCH, "id": "math-1", "label": -1, "final_answer_correct": True}
    later = {**PROCESSBENCH, "label": 1}
    read = read_records(lines(tmp_path / "x", PROCESSBENCH, right, later))
    assert (read.layout, len(read)) == ("processbench", 3)
    assert [labels(one) for one in read] == [[-1, None, None], [1, 1, 1], [1, -1, None]]
    assert [one.outcome for one in read] == [0, 1, 0]
    assert read[0].meta == {"id": "gsm8k-7", "generator": "a model", "subset": "gsm8k"}


def test_prmbench_counts_from_one(tmp_path):
    read = read_records(lines(tmp_path / "x", PRMBENCH))
    assert (read[0].prompt, read[0].steps, labels(read[0])) == ("q, now?", ("a", "not b", "c"), [1, -1, 1])
    both = read_records(tmp_path / "x", process="both")
    assert [labels(one) for one in both] == [[1, -1, 1], [1, 1]]
    assert both[1].meta["classification"] == "correct"
    again = lines(tmp_path / "twice", PRMBENCH, {**PRMBENCH, "classification": "circular"})
    once = read_records(again, process="both")
    assert len(once) == 3, "the unmodified solution of a problem counts once"
    assert once.left_out == {"an unmodified solution that an earlier row has brought": 1}
    other = lines(tmp_path / "other", PRMBENCH, {**PRMBENCH, "original_process": ["a", "b", "so b"]})
    assert len(read_records(other, process="both")) == 4, "another solution of the same problem is no copy"


def test_a_field_of_that_name_in_another_layout_drops_nothing(tmp_path):
    rows = [{**STEPWISE, "completions": [step, "b"], "idx": 7, "classification": "correct"} for step in "xyz"]
    read = read_records(lines(tmp_path / "x", *rows))
    assert ([record.steps[0] for record in read], read.left_out) == (["x", "y", "z"], {})


def test_prmbench_rows_that_name_steps_past_the_end(tmp_path):
    past = {**PRMBENCH, "error_steps": [2, 4]}
    path = lines(tmp_path / "x", PRMBENCH, past)
    kept = read_records(path)
    assert labels(kept[1]) == [1, -1, 1]
    assert kept[1].meta["past_the_end"] == [4]
    dropped = read_records(path, past_the_end="drop")
    assert len(dropped) == 1
    assert dropped.left_out == {"error steps past the end of the solution": 1}
    with pytest.raises(UnknownNameError, match="unknown past_the_end policy 'drp': did you mean 'drop'"):
        read_records(path, past_the_end="drp", strict=False)


def test_prm800k_follows_the_chosen_path(tmp_path):
    read = read_records(lines(tmp_path / "x", PRM800K))
    assert (read.layout, read[0].steps, labels(read[0])) == ("prm800k", ("s0", "by hand", "s2"), [0, 1, -1])
    assert np.isnan(read[0].outcome)
    others = read_records(tmp_path / "x", alternatives=True)
    assert [(one.steps, labels(one)) for one in others[1:]] == [
        (("s0", "w1"), [None, -1]),
        (("s0", "by hand", "other"), [None, None, -1]),
    ]
    assert others[1].meta["alternative"] == [1, 0]


def test_prm800k_without_a_labelled_step(tmp_path):
    empty = {"question": {"problem": "q?"}, "label": {"steps": [], "finish_reason": "bad_problem"}}
    read = read_records(lines(tmp_path / "x", PRM800K, empty))
    assert read.left_out == {"no labelled step (bad_problem)": 1}
    solved = {"question": {"problem": "q?"}, "label": {"steps": PRM800K["label"]["steps"][:1], "finish_reason": "solution"}}
    assert read_records(lines(tmp_path / "y", solved))[0].outcome == 1
    solved["label"]["steps"] = []
    with pytest.raises(DataError, match="no step of a solution"):
        read_records(lines(tmp_path / "z", solved))


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        ([True, False], {}, [1, -1]),
        ([True, None], {}, [1, None]),
        ([1, 0], {}, [1, -1]),
        ([0.75, 0.5], {}, [0.5, 0]),
        ([0.75, NAN], {}, [0.5, None]),
        ([1, -100], {"unscored": -100}, [1, None]),
        ([-1, 0.5], {"scale": "signed"}, [-1, 0.5]),
    ],
)
def test_stepwise_labels(tmp_path, given, options, expected):
    read = read_records(lines(tmp_path / "x", {**STEPWISE, "labels": given}), **options)
    assert (read.layout, labels(read[0])) == ("stepwise", expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, -100], r"-100 lies outside \[0, 1\].*unscored=-100.*would be True"),
        ([True, -100], "mixes bools with other values.*-100 into True"),
        ([True, 1.0], "mixes bools"),
        ([0.5, -0.5], "scale='signed'"),
        ([True], "one label for each of 2 completions, got 1"),
        ([1, "yes"], "got 'yes'"),
        (None, "got None"),
    ],
)
def test_stepwise_labels_that_are_refused(tmp_path, given, message):
    with pytest.raises(DataError, match=message):
        read_records(lines(tmp_path / "x", {**STEPWISE, "labels": given}))


def test_stepwise_table_for_trainers(tmp_path):
    hard = [StepRecord.of("q", ["a", "b"], [1.0, -1.0]), StepRecord.of("r", ["c"], [1.0])]
    write_records(hard, tmp_path / "hard.jsonl", "stepwise")
    rows = [json.loads(line) for line in (tmp_path / "hard.jsonl").read_text().splitlines()]
    assert rows[0] == {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]}
    write_records([*hard, StepRecord.of("s", ["d"], [None])], tmp_path / "soft.jsonl", "stepwise")
    rows = [json.loads(line) for line in (tmp_path / "soft.jsonl").read_text().splitlines()]
    assert [row["labels"] for row in rows] == [[1.0, 0.0], [1.0], [None]], "one type for the whole column"


@pytest.mark.parametrize("row", [PROCESSBENCH, PRMBENCH, PRM800K, STEPWISE], ids=lambda row: next(iter(row)))
def test_a_layout_is_written_as_it_was_read(tmp_path, row):
    read = read_records(lines(tmp_path / "x.jsonl", row))
    write_records(read, tmp_path / "y.jsonl", read.layout)
    assert list(read_records(tmp_path / "y.jsonl")) == list(read)
    if row is PROCESSBENCH or row is PRMBENCH or row is STEPWISE:
        assert json.loads((tmp_path / "y.jsonl").read_text()) == row


def test_how_a_file_is_packed_is_seen_from_its_content(tmp_path):
    plain = lines(tmp_path / "plain", PROCESSBENCH, PROCESSBENCH)
    (tmp_path / "array").write_text(json.dumps([PROCESSBENCH, PROCESSBENCH], indent=1))
    (tmp_path / "zipped").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n\r\n"))
    expected = list(read_records(plain))
    for name in ("array", "zipped", "marked"):
        assert list(read_records(tmp_path / name)) == expected, name
    (tmp_path / "one").write_text(json.dumps(PROCESSBENCH, indent=1))
    assert list(read_records(tmp_path / "one")) == expected[:1]
    unusual = {**PROCESSBENCH, "problem": "a line\u2028separator"}
    path = tmp_path / "separator"
    path.write_text(json.dumps(unusual, ensure_ascii=False) + "\n")
    assert read_records(path)[0].prompt == "a line\u2028separator"


def test_published_layouts_in_tables(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([PROCESSBENCH, PROCESSBENCH]), tmp_path / "x.parquet")
    assert [labels(one) for one in read_records(tmp_path)] == [[-1, None, None]] * 2
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list([STEPWISE, STEPWISE])
    assert [labels(one) for one in from_dataset(table)] == [[1, -1]] * 2
    table.save_to_disk(tmp_path / "saved")
    assert list(read_records(tmp_path / "saved")) == list(from_dataset(table))


def test_other_columns_of_a_table_are_kept_as_json_holds_them():
    row = {**STEPWISE, "when": datetime.date(2024, 5, 1), "score": NAN, "deep": {"list": [(1, 2.5)]}}
    assert from_dataset([row])[0].meta == {"when": "2024-05-01", "score": None, "deep": {"list": [[1, 2.5]]}}


words = st.text(max_size=12)
steps = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
scores = st.one_of(st.just(NAN), st.floats(-1, 1, width=32))
values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False), words
)


@st.composite
def records(draw):
    t, k = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    table = draw(st.lists(st.lists(scores, min_size=k, max_size=k), min_size=t, max_size=t))
    lines_of = st.lists(st.lists(words, min_size=k, max_size=k).map(tuple), min_size=t, max_size=t).map(tuple)
    return StepRecord(
        draw(words),
        tuple(draw(st.lists(steps, min_size=t, max_size=t))),
        tuple(draw(st.lists(st.text(min_size=1, max_size=5), min_size=k, max_size=k, unique=True))),
        np.array(table, np.float32),
        draw(st.one_of(st.none(), lines_of)),
        draw(st.one_of(st.just(NAN), st.floats(0, 1))),
        draw(st.dictionaries(words, st.one_of(values, st.lists(values, max_size=2)), max_size=3)),
    )


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.jsonl.gz", "x.parquet"])
def test_own_files_lose_nothing(tmp_path_factory, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("own") / name

    @settings(max_examples=60, deadline=None)
    @given(st.lists(records(), min_size=1, max_size=4))
    def check(given_records):
        write_records(given_records, path)
        read = read_records(path)
        assert read.layout == "records"
        assert list(read) == given_records

    check()


@settings(max_examples=15, deadline=None)
@given(st.lists(records(), min_size=1, max_size=4))
def test_a_dataset_loses_nothing(given_records):
    pytest.importorskip("datasets")
    assert list(from_dataset(to_dataset(given_records))) == given_records


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, min_size=1, max_size=6), st.data())
def test_processbench_round_trip(tmp_path_factory, texts, data):
    path = tmp_path_factory.mktemp("pb") / "x.jsonl"
    earliest = data.draw(st.integers(-1, len(texts) - 1))
    row = {"id": "a-1", "problem": "p", "steps": texts, "final_answer_correct": None, "label": earliest}
    lines(path, row)
    read = read_records(path)
    write_records(read, path, "processbench")
    assert json.loads(path.read_text()) == row


def without(row, key):
    return {name: value for name, value in row.items() if name != key}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{broken", r"x.jsonl, line 2: no JSON \(cut short or broken\)"),
        ([1, 2], "line 2: a processbench row needs problem, steps, label"),
        (without(PROCESSBENCH, "label"), "line 2: a processbench row needs label, got id, generator"),
        ({**PROCESSBENCH, "steps": []}, "line 2: 'steps' is empty"),
        ({**PROCESSBENCH, "steps": ["a", "", "c"]}, "line 2: step 2 of 3 is blank"),
        ({**PROCESSBENCH, "steps": "abc"}, "'steps' must be a list of strings, got 'abc'"),
        ({**PROCESSBENCH, "label": 3}, "'label' is 3, expected the 0-based index of one of 3 steps"),
        ({**PROCESSBENCH, "label": True}, "'label' must be a whole number, got True"),
        ({**PROCESSBENCH, "label": -2}, "'label' is -2"),
        ({**PROCESSBENCH, "final_answer_correct": "no"}, "true, false or null, got 'no'"),
        ({**PROCESSBENCH, "problem": None}, "'problem' must be a string, got None"),
    ],
)
def test_a_broken_record_is_named_or_counted(tmp_path, row, message):
    path = lines(tmp_path / "x.jsonl", PROCESSBENCH, row, PROCESSBENCH)
    with pytest.raises(DataError, match=message):
        read_records(path)
    read = read_records(path, strict=False)
    assert (len(read), read.skipped) == (2, 1)
    assert "line 2" in read.faults[0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**PRMBENCH, "error_steps": [0]}, "steps count from 1"),
        ({**PRMBENCH, "error_steps": [True]}, "list of whole numbers from 1"),
        ({**PRMBENCH, "error_steps": 2}, "list of whole numbers from 1, got 2"),
        ({**PRM800K, "question": "q?"}, "'question' must be an object"),
        ({"question": {"problem": "q"}, "label": {"steps": [{"completions": [{"text": "a", "rating": 2}]}]}},
         "step 1: 'rating' must be -1, 0, 1 or null, got 2"),
        ({"question": {"problem": "q"}, "label": {"steps": [{"completions": [{"text": "a"}], "chosen_completion": 1}]}},
         "'chosen_completion' is 1, expected one of 1"),
        ({"prompt": "p", "steps": ["a"], "criteria": ["c"], "labels": [[True]]}, "never a bool"),
        ({"prompt": "p", "steps": ["a"], "criteria": ["c", "c"], "labels": [[1.0, 1.0]]}, "distinct names"),
        ({"prompt": "p", "steps": ["a"], "criteria": ["c"], "labels": [[1.0], [1.0]]}, r"shape \(2, 1\), expected \(1, 1\)"),
        ({"prompt": "p", "steps": ["a"], "criteria": ["c"], "labels": [[1.0, 1.0]]}, "a list of 1 numbers or nulls"),
        ({"prompt": "p", "steps": ["a"], "criteria": ["c"], "labels": [[1.0]], "meta": "{"}, "'meta' is no JSON"),
        ('{"prompt": "p", "steps": ["a"], "criteria": ["c"], "labels": [[Infinity]]}', "is inf"),
        ({"something": 1}, "none of the known layouts.*processbench: problem, steps, label"),
        ("3", "a row with int"),
    ],
)  # fmt: skip
def test_broken_rows_of_the_other_layouts(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read_records(lines(tmp_path / "x.jsonl", row))


def test_files_that_cannot_be_read(tmp_path):
    whole = gzip.compress(json.dumps(PROCESSBENCH).encode())
    (tmp_path / "cut.gz").write_bytes(whole[:-12])
    (tmp_path / "latin").write_bytes(b'{"a": "\xe9"}')
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "array").write_text("[]")
    (tmp_path / "half").write_text('[{"problem": "a"')
    (tmp_path / "folder").mkdir()
    for name, message in (
        ("missing", "cannot be read"),
        ("cut.gz", "no whole gzip file"),
        ("latin", "line 1: not UTF-8"),
        ("cut.parquet", "no whole Parquet file"),
        ("empty", "is empty: no record"),
        ("array", "is empty: no record"),
        ("half", "no JSON"),
        ("folder", r"without \*.parquet files"),
    ):
        with pytest.raises(DataError, match=message):
            read_records(tmp_path / name)
    broken = lines(tmp_path / "broken", {**PROCESSBENCH, "label": 9})
    with pytest.raises(DataError, match=r"none of 1 rows gives a record; the first fault: .*line 1: 'label' is 9"):
        read_records(broken, strict=False)


def test_wrong_arguments(tmp_path):
    path = lines(tmp_path / "x.jsonl", PROCESSBENCH)
    with pytest.raises(UnknownNameError, match="unknown format 'procesbench': did you mean 'processbench'"):
        read_records(path, "procesbench")
    with pytest.raises(UnknownNameError, match="unknown option of the layout 'processbench' 'scale': known: none"):
        read_records(path, scale="signed")
    with pytest.raises(DataError, match="line 1: a prmbench row needs modified_question"):
        read_records(path, "prmbench")
    with pytest.raises(UnknownNameError, match="unknown format"):
        write_records(read_records(path), path, "csv")
    with pytest.raises(ValueError, match="Parquet holds format='records'"):
        write_records(read_records(path), tmp_path / "x.parquet", "prmbench")


@pytest.mark.parametrize(
    ("record", "format", "message"),
    [
        (StepRecord("p", ("a",), ("x", "y"), np.zeros((1, 2))), "stepwise", "has the criteria x, y"),
        (StepRecord.of("p", ["a", "b"], [None, -1.0]), "processbench", "step 1 is unscored"),
        (StepRecord.of("p", ["a"], [1.0], outcome=0.5), "processbench", "cannot say 0.5"),
        (StepRecord.of("p", ["a"], [None]), "prmbench", "no unscored steps"),
        (StepRecord.of("p", ["a"], [0.5]), "prm800k", "rates -1, 0 or 1, this record has 0.5"),
    ],
)
def test_a_layout_that_cannot_say_it(tmp_path, record, format, message):
    with pytest.raises(ValueError, match=message):
        write_records([record], tmp_path / "x.jsonl", format)


def test_every_layout_is_known_by_its_fields():
    rows = {"processbench": PROCESSBENCH, "prmbench": PRMBENCH, "prm800k": PRM800K, "stepwise": STEPWISE}
    rows["records"] = {"prompt": "", "steps": [], "criteria": [], "labels": []}
    rows["episodes"] = {"question": "", "units": [], "steps": [], "memory_slots": 3, "problem": 0}
    rows["trajectories"] = dict.fromkeys(("run", "env", "episode", "step", "problem", "kind", "slots", "legal"))
    assert set(rows) == set(LAYOUTS)
    for name, row in rows.items():
        assert layout_of(row).name == name


def test_the_outcome_of_a_stepwise_row_is_read_and_written(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": "p", "completions": ["a"], "labels": [True], "outcome": 1.0},
        {"prompt": "p", "completions": ["b"], "labels": [False], "outcome": False},
        {"prompt": "p", "completions": ["c"], "labels": [True]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    records = read_records(path).records
    assert [record.outcome for record in records[:2]] == [1.0, 0.0]
    assert np.isnan(records[2].outcome)
    again = tmp_path / "again.jsonl"
    write_records(records, again, format="stepwise")
    assert [json.loads(line).get("outcome") for line in again.read_text().splitlines()] == [1.0, 0.0, None]
    path.write_text(json.dumps({**rows[0], "outcome": "yes"}) + "\n")
    with pytest.raises(DataError, match="'outcome' must be true, false, null or a number"):
        read_records(path)
