"""The unit of the bench of PRMs: which records are solutions of one problem, and what is drawn, dealt and picked by that."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.audit import policies
from reasongym.audit.collect import collect
from reasongym.prm.bench import bench
from reasongym.prm.bench.problems import problems_of
from reasongym.prm.bench.references import Oracle
from reasongym.prm.bench.scoring import folds_of
from reasongym.prm.formats import read_records
from reasongym.prm.records import StepRecord

ROOT = Path(__file__).parents[1]
PRMBENCH = Path(os.environ.get("REASONGYM_DATA", ROOT / ".." / "shared" / "data")) / "prmbench" / "prmbench-subset394.jsonl.gz"


def episode(problem, right, env="qa2", **meta):
    labels = [1.0 if right else -1.0]
    return StepRecord.of(
        "Where is the football?", ["recall"], labels, outcome=float(right), meta={"env": env, "problem": problem, **meta}
    )


def row(idx, prompt, original):
    meta = {"layout": "prmbench", "idx": idx, "original_question": original}
    return StepRecord.of(prompt, ["a"], [1.0], meta=meta)


def test_the_same_question_of_two_stories_is_two_problems():
    records = [episode(i, right) for i, right in product((1, 2, 3), (True, False))]
    assert len(set(problems_of(records))) == 3
    best = bench({"oracle": Oracle()}, records)["prms"]["oracle"]["best_of_n"]["min"]
    assert (best["problems"], best["candidates"]) == (3, 6)
    other = [episode(1, True, env="qa3"), episode(1, True, fingerprint="longer stories"), episode(1, True)]
    assert len(set(problems_of(other))) == 3


def test_episodes_of_one_problem_are_candidates_whoever_played():
    made = [
        collect("ReasonGym-bAbI-qa1-v0", policy, np.arange(3), difficulty={"max_units": 8})
        for policy in (policies.expert, policies.random)
    ]
    one, other = map(problems_of, made)
    assert one == other
    assert len(set(one)) == 3
    longer = collect("ReasonGym-bAbI-qa1-v0", policies.expert, np.arange(3), difficulty={"max_units": 9})
    assert not set(problems_of(longer)) & set(one), "the same index of other stories"


def test_reworded_rows_of_prmbench_are_one_problem():
    records = [
        row("p1_1", "q one?", "q?"), row("p1_1", "q two?", "q, really?"),  # one number
        row("p2_9", "q three?", "q?"),  # one question under two numbers
        row("p1_2", "r one?", "r?"),
    ]  # fmt: skip
    found = problems_of(records)
    assert found[0] == found[1] == found[2] != found[3]
    assert sorted(problems_of(records[::-1])) == sorted(found), "in any order the same names"
    assert len(set(folds_of(records, 5)[:3])) == 1
    elsewhere = [StepRecord.of(f"p{i}", ["a"], [1.0], meta={"idx": 7}) for i in range(3)]
    assert len(set(problems_of(elsewhere))) == 3, "a number of that name in another layout means nothing"


def test_a_class_of_that_name_in_another_layout_is_pooled():
    records = [StepRecord.of("p", ["a", "b"], [1.0, -1.0], meta={"classification": "correct"}), episode(1, True)]
    data = bench({"oracle": Oracle()}, records)["data"]
    assert (data["pooled"], data["apart"]) == (2, {})


@pytest.mark.skipif(not PRMBENCH.exists(), reason=f"PRMBench is not at {PRMBENCH}: set REASONGYM_DATA")
def test_no_problem_of_prmbench_lies_in_two_folds():
    records = [record for record in read_records(PRMBENCH) if record.meta["classification"] != "multi_solutions"]
    assert len(set(problems_of(records))) == 143
    fold = folds_of(records, 5)
    for key in (lambda r: r.meta["idx"], lambda r: r.meta["original_question"], lambda r: r.prompt):
        where = {}
        for record, f in zip(records, fold, strict=True):
            where.setdefault(key(record), set()).add(int(f))
        assert max(map(len, where.values())) == 1
