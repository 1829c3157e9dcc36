"""The record of process data: what it refuses, what is equal, and what a scorer is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reasongym.errors import PRMError
from reasongym.prm.records import RecordScorer, StepRecord, score_records

NAN = float("nan")


def record(**changes):
    given = {
        "prompt": "What is 2 + 3?",
        "steps": ("2 + 3 is 5.", "So the answer is 6."),
        "criteria": ("logic", "goal"),
        "labels": np.array([[1.0, NAN], [-1.0, 0.5]]),
        "reasons": (("", ""), ("5 is not 6", "")),
        "outcome": 0.0,
        "meta": {"source": "hand"},
    }
    return StepRecord(**(given | changes))


def test_labels_become_read_only_float32():
    labels = np.array([[1.0, NAN], [-1.0, 0.5]])
    one = record(labels=labels)
    assert one.labels.dtype == np.float32
    assert one.labels.shape == (len(one), 2) == (2, 2)
    with pytest.raises(ValueError, match="read-only"):
        one.labels[0, 0] = 0
    labels[0, 0] = -1  # the caller's array stays the caller's
    assert one.labels[0, 0] == 1


def test_equality_takes_nan_for_nan():
    assert record() == record()
    assert hash(record()) == hash(record())
    assert record(outcome=NAN) == record(outcome=NAN) != record()
    other = {
        "prompt": "?", "steps": ("a", "b"), "criteria": ("goal", "logic"), "labels": np.zeros((2, 2)), "reasons": None,
        "outcome": 1.0, "meta": {},
    }  # fmt: skip
    for name, value in other.items():
        assert record(**{name: value}) != record(), name
    assert record() != "a record"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"steps": ()}, ValueError, "at least one step"),
        ({"steps": "one string"}, TypeError, "sequence of strings"),
        ({"steps": ("a", 3)}, TypeError, r"steps\[1\] must be a string, got 3"),
        ({"steps": ("a", " \n")}, ValueError, "step 2 of 2 is blank"),
        ({"prompt": None}, TypeError, "prompt must be a string"),
        ({"criteria": ()}, ValueError, "distinct names"),
        ({"criteria": ("logic", "logic")}, ValueError, "distinct names, at least one, got .*logic"),
        ({"labels": np.zeros((3, 2))}, ValueError, r"shape \(3, 2\), expected \(2, 2\)"),
        ({"labels": np.zeros(2)}, ValueError, r"a column: labels\[:, None\]"),
        ({"labels": np.array([[np.inf, 0], [0, 0]])}, ValueError, "label of step 1 for 'logic' is inf"),
        ({"labels": np.array([[0, 0], [0, -100.0]])}, ValueError, "step 2 for 'goal' is -100.0.*must become NaN"),
        ({"labels": np.array([[1, 0], [0, 1]])}, TypeError, "labels of type int64.*cast to bool turns a sentinel"),
        ({"labels": np.ones((2, 2), bool)}, TypeError, "labels of type bool.*cast to bool turns a sentinel"),
        ({"labels": [[True, NAN], [1.0, 0.0]]}, TypeError, "the bool True among the labels"),
        ({"labels": [[None, 1.0], [1.0, 0.0]]}, TypeError, "labels of type object"),
        ({"reasons": (("",), ("",))}, ValueError, r"expected 2 rows of 2: steps x criteria"),
        ({"reasons": (("", ""),)}, ValueError, "1 rows"),
        ({"outcome": 1.5}, ValueError, r"must lie in \[0, 1\]"),
        ({"outcome": np.inf}, ValueError, r"must lie in \[0, 1\]"),
        ({"outcome": "yes"}, TypeError, "must be a number"),
        ({"meta": {"when": NAN}}, TypeError, "JSON values only"),
        ({"meta": {"deep": [{"array": np.zeros(2)}]}}, TypeError, r"meta\['deep'\]\[0\]\['array'\]"),
        ({"meta": {1: "one"}}, TypeError, "keys of JSON are strings"),
        ({"meta": None}, TypeError, "must be a mapping"),
    ],
)
def test_what_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        record(**changes)


def test_meta_is_kept_as_json_holds_it():
    assert record(meta={"a": (1, np.int64(2)), "b": {"c": np.float32(0.5)}}).meta == {"a": [1, 2], "b": {"c": 0.5}}


def test_of_makes_a_column():
    one = StepRecord.of("p", ["a", "b", "c"], [1.0, None, -0.5], outcome=True)
    np.testing.assert_array_equal(one.labels, np.array([[1], [NAN], [-0.5]], np.float32))
    assert (one.criteria, one.outcome) == (("correct",), 1.0)
    for label in (True, 1, "1"):
        with pytest.raises(TypeError, match="cast to bool"):
            StepRecord.of("p", ["a"], [label])


def test_an_unlabelled_record_tells_nothing():
    shown = record(meta={"error": 2, "step_kinds": ["sum", "answer"]}).unlabelled()
    assert np.isnan(shown.labels).all()
    assert np.isnan(shown.outcome)
    assert shown.reasons is None
    assert shown.meta == {"step_kinds": ["sum", "answer"]}
    thinking = record(meta={"thoughts": ["I add.", ""], "planted": 1}).unlabelled()
    assert thinking.meta == {"thoughts": ["I add.", ""]}, "what the writer thought is shown, and a judge may be told to read it"
    assert (shown.prompt, shown.steps, shown.criteria) == (record().prompt, record().steps, record().criteria)


class Peeking:
    """Scores with the labels that it is shown."""

    criteria, version = ("logic", "goal"), "peeking-1"

    def score_records(self, records):
        return [one.labels for one in records]


def test_only_a_scorer_that_declares_it_sees_labels():
    assert isinstance(Peeking(), RecordScorer)
    assert np.isnan(score_records(Peeking(), [record()])[0]).all()
    open_about_it = Peeking()
    open_about_it.needs_annotation = True
    np.testing.assert_array_equal(score_records(open_about_it, [record()])[0], record().labels)


class Returning:
    criteria, version = ("logic",), "returning-1"

    def __init__(self, result):
        self.result = result

    def score_records(self, records):
        return self.result


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([], "0 arrays for 1 records"),
        ([np.zeros((1, 1))], r"record 0 with shape \(1, 1\), expected \(2, 1\).*make a column"),
        ([np.array([[0], [np.inf]])], "inf at step 2 of record 0"),
        ([np.array([[-1.5], [0]])], "'logic' with -1.5 at step 1"),
    ],
)
def test_scores_that_break_the_contract(result, message):
    with pytest.raises(PRMError, match=message):
        score_records(Returning(result), [record()])


def test_replace_validates_again():
    with pytest.raises(ValueError, match="expected"):
        replace(record(), steps=("only one",))
