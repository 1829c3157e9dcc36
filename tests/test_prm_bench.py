"""The bench of PRMs: its references, what it tests, and what is said of a PRM that fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from solutions import MADE

from reasongym.errors import DataError, PRMError, UnknownNameError
from reasongym.prm.base import StepBatch
from reasongym.prm.bench import REFERENCES, BenchSettings, bench, load_scorer
from reasongym.prm.bench.adapter import StepBatchScorer
from reasongym.prm.bench.plain_text import LexicalScorer
from reasongym.prm.bench.references import Always, Oracle, Random, StepTypePrior, step_kind
from reasongym.prm.bench.tables import windows
from reasongym.prm.combinators import PotentialDifference
from reasongym.prm.lexical import LexicalPRM
from reasongym.prm.records import StepRecord

ROOT = Path(__file__).parents[1]
NAN = float("nan")


class Numbers:
    """Scores each step with the next of the given numbers."""

    criteria, version = ("correct",), "numbers-1"

    def __init__(self, *scores):
        self.scores = iter(scores)

    def score_records(self, records):
        return [np.array([[next(self.scores)] for _ in record.steps], np.float32) for record in records]


def test_references_on_made_up_solutions():
    report = bench({name: load_scorer(name) for name in REFERENCES}, MADE)
    rows = report["prms"]
    assert report["data"] | {"records": 4, "pooled": 4, "steps": 8, "labelled": 7, "wrong": 2} == report["data"]
    assert rows["oracle"]["prm_score"] == rows["oracle"]["auc"] == rows["oracle"]["earliest_error"]["f1"] == 1
    # always-yes: 5 right steps found, 2 wrong ones passed over: F1 = 10/12
    assert rows["always-yes"]["counts"] == {"tp": 5, "fp": 2, "tn": 0, "fn": 0}
    assert rows["always-yes"]["prm_score"] == pytest.approx(0.5 * 10 / 12)
    assert rows["always-no"]["prm_score"] == pytest.approx(0.5 * 4 / 9)
    assert rows["always-no"]["earliest_error"] == {"f1": 0, "on_wrong": 0.5, "on_right": 0, "wrong": 2, "right": 2, "partly": 0}
    assert 0 < rows["random"]["prm_score"] < 1
    assert rows["oracle"]["groups"]["by"] == "group"
    assert set(rows["oracle"]["groups"]["parts"]) == {"easy", "hard"}
    assert rows["oracle"]["groups"]["mean_earliest_error_f1"] == 1
    json.dumps(report, allow_nan=False)


def test_best_of_n_in_the_report():
    rows = bench({"oracle": Oracle(), "always-yes": Always(1)}, MADE)["prms"]
    assert rows["oracle"]["best_of_n"]["fitting"] == "min"
    assert rows["oracle"]["best_of_n"]["min"] == {"accuracy": 1, "random": 0.5, "oracle": 1, "problems": 1, "candidates": 2}
    assert rows["always-yes"]["best_of_n"]["min"]["accuracy"] == 0.5, "a tie counts its mean"
    value = Numbers(*[0.0] * 8)
    value.label_meaning = "value"
    assert bench({"value": value}, MADE)["prms"]["value"]["best_of_n"]["fitting"] == "last"


def test_unscored_steps_are_stated():
    scores = [1, NAN, -1, NAN, 1, -1, 1, 1]
    row = bench({"some": Numbers(*scores)}, MADE)["prms"]["some"]
    assert row["scored"] == pytest.approx(6 / 7)  # the other one has no label
    assert row["counts"] == {"tp": 4, "fp": 0, "tn": 2, "fn": 1}
    assert row["earliest_error"]["on_right"] == 0.5
    kind = bench({"some": Numbers(*scores)}, MADE, BenchSettings(unscored="right"))["prms"]["some"]
    assert kind["prm_score"] == 1


def test_a_threshold_is_fitted_on_other_problems():
    prompts = [f"problem {i}" for i in range(30)]
    records = [StepRecord.of(p, ["a", "b"], [1.0, -1.0 if i % 2 else 1.0]) for i, p in enumerate(prompts)]
    high = [x for i in range(30) for x in (0.9, 0.3 if i % 2 else 0.8)]  # all above 0, but in order
    assert bench({"high": Numbers(*high)}, records)["prms"]["high"]["earliest_error"]["f1"] == 0
    fitted = bench({"high": Numbers(*high)}, records, BenchSettings(threshold=None))["prms"]["high"]
    assert fitted["earliest_error"]["f1"] == 1
    assert fitted["calibration_error"] > 0.2, "a threshold does not calibrate"
    with pytest.raises(DataError, match="leave nothing to fit on"):
        bench({"high": Numbers(*high)}, records[:1], BenchSettings(threshold=None))
    two = [StepRecord.of(p, ["a", "b"], [1.0, -1.0]) for p in ("high", "low")]  # each is told apart by its own threshold alone
    counts = bench({"two": Numbers(0.9, 0.8, 0.2, 0.1)}, two, BenchSettings(threshold=None))["prms"]["two"]["counts"]
    assert counts == {"tp": 1, "fp": 1, "tn": 1, "fn": 1}


def test_the_step_type_prior_never_sees_the_problem_it_scores():
    records = [StepRecord.of(f"p{i}", ["x = 1", "So it is 1."], [1.0, -1.0]) for i in range(20)]
    row = bench({"prior": StepTypePrior()}, records)["prms"]["prior"]
    assert row["prm_score"] == 1
    same = [replace(record, prompt="p") for record in records]
    with pytest.raises(DataError, match="leave nothing to fit on"):
        bench({"prior": StepTypePrior()}, same)
    assert bench({"prior": StepTypePrior()}, same, train=records)["prms"]["prior"]["prm_score"] == 1


def test_the_prior_by_hand():
    fitted = StepTypePrior().fit([StepRecord.of("p", ["x = 1", "y = 2", "Nothing more."], [1.0, -1.0, 1.0])])
    # all: (2 + 1) / (3 + 2); equations: one of two, and that share as one more
    assert fitted.other == 3 / 5
    assert fitted.shares == {"equation": pytest.approx((1 + 0.6) / 3), "statement": pytest.approx((1 + 0.6) / 2)}
    scores = fitted.score_records([StepRecord.of("q", ["z = 3", "So what."], [None, None])])[0]
    np.testing.assert_allclose(scores[:, 0], [2 * 1.6 / 3 - 1, 2 * 0.6 - 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("store 2: Mary is here", "store"), ("recall 3", "recall"), ("next", "next"), ("answer kitchen", "answer"),
        ("pass over 3: Mary went.", "pass over"), ("note 4: Mary got it. (no effect)", "note, no effect"),
        ("question: Where is it? recall 4: Mary got it. (chain: 2)", "recall"), ("answer: kitchen (chain: 4)", "answer"),
        ("Next, we add both sides.", "statement"), ("Therefore x = 3.", "conclusion"), ("We get x = 3.", "equation"),
        ("note that this holds", "statement"),
    ],
)  # fmt: skip
def test_step_kinds(text, kind):
    assert step_kind(StepRecord.of("p", [text], [None]), 0) == kind
    assert step_kind(StepRecord.of("p", [text], [None], meta={"step_kinds": ["told"]}), 0) == "told"


@pytest.mark.parametrize("name", [name for name in REFERENCES if name not in ("oracle", "step-type prior")] + ["adapted"])
def test_no_score_reads_a_later_step(name):
    scorer = StepBatchScorer(LexicalPRM()) if name == "adapted" else load_scorer(name)
    whole = StepRecord.of(
        "Where is the milk of Mary?",
        ["Mary got the milk.", "Mary went to the garden.", "Mary did not get the milk."],
        [None] * 3,
    )
    scores = scorer.score_records([whole])[0]
    for t in (1, 2):
        part = StepRecord.of(whole.prompt, whole.steps[:t], [None] * t)
        np.testing.assert_array_equal(scorer.score_records([part])[0], scores[:t])
    batch = scorer.score_records([MADE[0], whole, MADE[2]])
    np.testing.assert_array_equal(batch[1], scores)


def test_random_is_a_pure_function_of_seed_and_text():
    one, same, other = (Random(seed).score_records(MADE) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])
    many = [StepRecord.of(f"p{i}", ["a"] * 4, [None] * 4) for i in range(500)]
    drawn = np.concatenate(Random().score_records(many))
    assert abs(drawn.mean()) < 0.05
    assert drawn.std() == pytest.approx(3**-0.5, abs=0.02)


def test_lexical_by_hand():
    record = StepRecord.of(
        "Mary has 3 red apples. How many apples?",
        [
            "Mary has 3 apples.",  # mary, 3, apple: all known
            "Peter eats green pears quickly.",  # nothing known
            "Mary has not 3 red apples.",  # what the prompt's sentence denies, though the prompt says more
            "Peter never eats green pears quickly.",  # the contrary of step 2
            "Mary has 3 apples.",  # said already
            "So.",  # no words
        ],
        [None] * 6,
    )
    logic, coherence = LexicalScorer().score_records([record])[0].T
    assert logic.tolist() == [1, 1, -1, -1, -1, 1]
    np.testing.assert_array_equal(coherence, np.array([1, -1, 1, 1, 1, NAN], np.float32))


class Seen:
    """A PRM of environments that notes what it is told, and pays the number of its step within the episode."""

    criteria, needs_annotation, version, default_beta, carry_size = ("thrift",), False, "seen-1", {}, 1

    def __init__(self):
        self.told = []

    def score(self, steps):
        self.told += [steps.text(i) for i in range(len(steps))]
        steps.carry[:, 0] += 0.25
        return steps.carry.astype(np.float32)


def test_a_prm_of_environments_is_told_what_was_said_so_far():
    prm = Seen()
    scores = StepBatchScorer(prm).score_records(MADE[2:])
    assert [value.tolist() for value in scores] == [[[0.25], [0.5]]] * 2
    assert prm.told[2] == (
        "question: Is 9 prime?\nchain 1, sentence 1: 9 = 3 * 3.\nslot 1, sentence 2: So 9 is prime.\ndesk empty\n"
        "action: recall 1"
    )
    assert bench({"seen": Seen()}, MADE)["prms"]["seen"]["criteria"] == ["thrift"]


def test_combinators_are_tested_too():
    scores = StepBatchScorer(PotentialDifference(LexicalPRM(), terminal="keep")).score_records(MADE)
    assert all(np.isfinite(value).any() for value in scores)


def test_annotation_of_an_environment_is_not_to_be_had():
    prm = Seen()
    prm.needs_annotation = True
    with pytest.raises(TypeError, match="Seen reads gold answers or support of an environment"):
        bench({"seen": prm}, MADE)


def test_several_criteria_are_tested_by_the_worst_or_one_by_one():
    records = [
        StepRecord(
            f"p{i}", ("a", "b"), ("logic", "goal"), np.array([[1, NAN], [NAN if i % 2 else 1, -1 if i % 2 else 1]], np.float32)
        )
        for i in range(4)
    ]

    class Two:
        criteria, version = ("goal", "logic"), "two-1"

        def score_records(self, given):
            return [np.array([[1, 1], [-1 if record.prompt in ("p1", "p3") else 1, 1]], np.float32) for record in given]

    row = bench({"two": Two()}, records)["prms"]["two"]
    assert row["counts"] == {"tp": 6, "fp": 0, "tn": 2, "fn": 0}
    assert row["criteria_auc"] == {"goal": 1, "logic": None}
    logic = bench({"two": Two()}, records, BenchSettings(criterion="logic"))
    assert (logic["data"]["labelled"], logic["prms"]["two"]["counts"]["tp"]) == (6, 6)
    with pytest.raises(DataError, match="no record has the criterion 'gaol'; there are goal, logic"):
        bench({"two": Two()}, records, BenchSettings(criterion="gaol"))


HALVES = [
    StepRecord(f"p{i}", ("x = 1", "So."), ("logic", "goal"), np.array([[1, -1], [-1 if i % 2 else 1, 1]], np.float32))
    for i in range(6)
]
"""Every first step is wrong by `goal`; every other conclusion by `logic`."""


def test_the_references_know_the_criterion_that_is_tested():
    rows = bench(
        {name: load_scorer(name) for name in REFERENCES if name != "lexical"}, HALVES, BenchSettings(criterion="logic")
    )
    assert rows["prms"]["oracle"]["prm_score"] == rows["prms"]["oracle"]["earliest_error"]["f1"] == 1
    assert (rows["data"]["labelled"], rows["data"]["wrong"]) == (12, 3)
    prior = bench({"prior": StepTypePrior()}, HALVES, BenchSettings(criterion="goal"), train=HALVES)["prms"]["prior"]
    assert prior["prm_score"] == 1, "of goal, the kind of a step says all"
    assert not any("tested_by" in row for row in rows["prms"].values())


def test_a_prm_without_the_criterion_is_refused_or_noted():
    class Costly:
        criteria, version = ("goal", "style"), "costly-1"

        def score_records(self, records):
            raise AssertionError("nothing is to be scored before the mistake is found")

    with pytest.raises(PRMError, match="costly does not score the criterion 'logic'; it has goal, style: test one of these"):
        bench({"oracle": Oracle(), "costly": Costly()}, HALVES, BenchSettings(criterion="logic"))
    report = bench({"numbers": Numbers(*[1, -1] * 6)}, HALVES, BenchSettings(criterion="logic"))
    assert report["prms"]["numbers"]["tested_by"] == "correct"
    assert windows(report) == [
        "numbers: has no criterion 'logic', and is tested on its labels by its only one, 'correct'",
    ]


def test_only_the_call_of_the_prm_is_timed(monkeypatch):
    """The clock goes on by a second whenever a record is copied, as hiding its labels does, and by a tenth in the PRM."""
    now = [0.0]
    unlabelled = StepRecord.unlabelled

    def slow(record):
        now[0] += 1
        return unlabelled(record)

    class Tenth(Numbers):
        def score_records(self, records):
            now[0] += 0.1
            return super().score_records(records)

    monkeypatch.setattr(StepRecord, "unlabelled", slow)
    monkeypatch.setattr("reasongym.prm.bench.scoring.time.perf_counter", lambda: now[0])
    latency = bench({"tenth": Tenth(*[1] * 8)}, MADE)["prms"]["tenth"]["latency"]
    assert latency["p50_ms"] == pytest.approx(50), "two steps a call"


def test_partly_labelled_solutions_are_counted():
    records = [*MADE, StepRecord.of("p", ["a", "b"], [1.0, None])]
    report = bench({"oracle": Oracle()}, records)
    assert report["data"]["partly_labelled"] == 1
    assert (
        report["prms"]["oracle"]["earliest_error"] | {"wrong": 2, "right": 2, "partly": 1}
        == (report["prms"]["oracle"]["earliest_error"])
    )


def test_bad_input():
    with pytest.raises(DataError, match="no records"):
        bench({"oracle": Oracle()}, [])
    with pytest.raises(DataError, match="none of 1 records has a label"):
        bench({"oracle": Oracle()}, [StepRecord.of("p", ["a"], [None])])
    with pytest.raises(DataError, match="no record has 'subset' in its meta; there are group"):
        bench({"oracle": Oracle()}, MADE, BenchSettings(group_by="subset"))
    with pytest.raises(TypeError, match=r"oracle is the class Oracle; give an object: Oracle\(...\)"):
        bench({"oracle": Oracle}, MADE)
    with pytest.raises(PRMError, match="inf at step 1"):
        bench({"inf": Numbers(np.inf, *[0] * 7)}, MADE)
    for wrong, message in (
        ({"threshold": 2.0}, "threshold must lie in"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"folds": 1}, "at least 2"),
        ({"unscored": "zero"}, "unknown policy"),
    ):
        with pytest.raises(ValueError, match=message):
            BenchSettings(**wrong)


def test_intervals_over_problems():
    """200 problems, of which a quarter is right: the share's interval is about 0.25 ± 1.96 sqrt(0.25 · 0.75 / 200)."""
    records = [StepRecord.of(f"p{i}", ["a"], [1.0]) for i in range(200)] + [
        StepRecord.of(f"q{i}", ["a"], [-1.0]) for i in range(200)
    ]
    some = [1.0 if i % 4 == 0 else -1.0 for i in range(200)] + [-1.0] * 200
    report = bench({"some": Numbers(*some), "oracle": Oracle(), "same": Numbers(*some)}, records)
    low, high = report["prms"]["some"]["intervals"]["earliest_error_f1"]
    expected = [2 * share / (1 + share) for share in (0.25 - 0.06, 0.25 + 0.06)]  # all of the wrong ones are found
    assert (low, high) == (pytest.approx(expected[0], abs=0.025), pytest.approx(expected[1], abs=0.025))
    assert report["prms"]["oracle"]["intervals"] == {"prm_score": [1, 1], "earliest_error_f1": [1, 1]}
    assert report["agreement"]["some / same"]["difference"]["prm_score"] == [0, 0], "paired: the same draws for both"
    nearly = bench({"some": Numbers(*some), "nearly": Numbers(-1.0, *some[1:])}, records)
    low, high = nearly["agreement"]["some / nearly"]["difference"]["prm_score"]
    assert 0 <= low < high < 0.015, "one problem in 400 makes the difference, however wide the two intervals are"
    low, high = nearly["prms"]["some"]["intervals"]["prm_score"]
    assert high - low > 0.05
    low, high = report["agreement"]["some / oracle"]["difference"]["prm_score"]
    assert low < report["prms"]["some"]["prm_score"] - 1 < high < 0


def test_solutions_of_one_problem_are_drawn_together():
    one = [StepRecord.of("p", ["a"], [1.0 if i % 2 else -1.0]) for i in range(40)]
    right = [1.0 if i % 4 == 1 else -1.0 for i in range(40)]
    same = bench({"some": Numbers(*right)}, one)["prms"]["some"]["intervals"]["prm_score"]
    assert same[0] == same[1], "with one problem there is nothing to draw from"
    apart = bench({"some": Numbers(*right)}, [replace(record, prompt=f"p{i}") for i, record in enumerate(one)])
    low, high = apart["prms"]["some"]["intervals"]["prm_score"]
    assert low < same[0] < high


def test_loading_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_prms.py").write_text(
        "from reasongym.prm.bench.references import Always\n"
        "ready = Always(0.5)\n"
        "class Mine(Always):\n    def __init__(self):\n        super().__init__(0.25)\n"
        "def made():\n    return Always(0.75)\n"
        "import dataclasses, beside\n"
        "@dataclasses.dataclass\nclass Data:\n    size: 'dataclasses.InitVar[int]' = 1\n"
        "def needing(path):\n    return path\n"
        "nothing = 3\n"
    )
    for name, score in (("my_prms.py:ready", 0.5), ("my_prms.py:Mine", 0.25), ("my_prms:made", 0.75)):
        assert load_scorer(name).score == score
    for module in ("my_prms", "_prm_of_my_prms", "beside"):
        monkeypatch.delitem(sys.modules, module)
    for name, error, message in (
        ("orcale", UnknownNameError, "unknown PRM 'orcale': did you mean 'oracle'"),
        (str(tmp_path), PRMError, "reasongym_prm.json is missing"),
        ("my_prms.py:Mien", UnknownNameError, "did you mean 'Mine'"),
        ("my_prms.py:needing", PRMError, "cannot be made without path"),
        ("my_prms.py:nothing", PRMError, "is 3, no PRM: it needs criteria, version and score_records"),
        ("missing.py:X", PRMError, "there is no file missing.py"),
        ("no_such_module:X", PRMError, "there is no module 'no_such_module'"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            load_scorer(name)


class Picky(Numbers):
    """Fails on one problem."""

    def score_records(self, records):
        if records[-1].prompt.startswith("Is 9"):
            raise KeyError("nine")
        return super().score_records(records)


def test_an_error_of_a_prm_says_where_it_is():
    with pytest.raises(PRMError, match=r"picky failed on record 3 \('Is 9 prime\?'\.\.\.\): KeyError: 'nine'") as raised:
        bench({"picky": Picky(*[1] * 8)}, MADE)
    assert f"{__file__}:" in str(raised.value)
    assert 'raise KeyError("nine")' in str(raised.value)
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(PRMError, match="picky failed on records 1 to 3 "):
        bench({"picky": Picky(*[1] * 8)}, MADE[:3], BenchSettings(batch_size=4))

    class Sulky:
        def fit(self, records):
            raise ZeroDivisionError

    with pytest.raises(PRMError, match=r"sulky failed when it was fitted on \d records: ZeroDivisionError\n"):
        bench({"sulky": Sulky()}, MADE)


def test_an_error_that_says_all_is_left_alone():
    class Dead(Numbers):
        def score_records(self, records):
            raise DataError("the store is gone")

    with pytest.raises(DataError, match=r"^the store is gone$"):
        bench({"dead": Dead()}, MADE)


def test_texts_that_were_read_in_part_are_counted():
    pytest.importorskip("torch")
    from reasongym.prm.learned import LearnedPRM, Shape, StepNetwork

    prm = LearnedPRM(StepNetwork(("x",), 1, Shape(width=16, layers=1, heads=2, channels=2, max_words=8)), ("correct",))
    long, short = "one two three four five six seven eight nine", "short"
    records = [StepRecord.of(long, [short, long], [1.0, -1.0]), StepRecord.of("p", [long, short], [1.0, 1.0])]
    with pytest.warns(UserWarning, match="longer than this model's window of 8"):
        rows = bench({"learned": prm, "oracle": Oracle()}, records)["prms"]
    assert rows["learned"]["windowed"] == 3
    assert "windowed" not in rows["oracle"]
    assert bench({"learned": prm}, records[1:])["prms"]["learned"]["windowed"] == 1, "of this run, and every reading counts"


def test_the_bench_stays_light():
    code = "import sys, reasongym.prm.bench, reasongym.prm.formats; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, cwd=ROOT)
    loaded = set(run.stdout.split())
    assert not loaded & {"torch", "pyarrow", "datasets", "matplotlib", "rich", "typer", "transformers"}


def test_the_adapter_batches_have_the_shapes_of_the_contract():
    seen = []

    class Shapes(Seen):
        def score(self, steps: StepBatch):
            seen.append((len(steps), steps.chain.shape, steps.memory_before.shape, steps.chain_length.tolist()))
            return super().score(steps)

    StepBatchScorer(Shapes()).score_records([MADE[0], StepRecord.of("p", ["only one"], [None])])
    assert seen == [(2, (2, 1, 1), (2, 1, 1), [1, 1]), (1, (1, 2, 1), (1, 1, 1), [2])]
