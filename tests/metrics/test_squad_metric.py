"""Exact match, F1 and reports of SQuAD 2.0: worked by hand, as properties, and on the published questions."""

from __future__ import annotations

import gzip
import json
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasongym.metrics import exact_match, f1, normalize, squad_report

TEXT = st.one_of(st.text(), st.lists(st.sampled_from("the a an cat Cat dog, . — 5 U.S. a.n".split())).map(" ".join))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat,\tsat!", "cat sat"),
        ("U.S.", "us"),  # punctuation goes without leaving a space
        ("re-take", "retake"),
        ("the-end", "theend"),  # punctuation first, so "the" is no word any more
        ("a.n", ""),  # and here it becomes one
        ("theatre another an", "theatre another"),  # whole words only
        ("1990–1991", "1990–1991"),  # the dash is not ASCII
        ("the “Tesla”", "“tesla”"),  # nor are these quotes
        ("“the Tesla”", "“ tesla”"),  # a word boundary lies between quote and article
        ("the the", ""),
        ("ÉCOLE\u00a0d'été", "école dété"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_normalize(text, normal):
    assert normalize(text) == normal


@pytest.mark.parametrize(
    ("prediction", "references", "exact", "score"),
    [
        ("the cat", ["Cat."], 1, 1),
        # same: cat, so precision 1/2, recall 1/3, F1 = 2 (1/6) / (5/6) = 2/5
        ("black cat", ["cat on mats"], 0, 2 / 5),
        # multisets: "dog dog dog" and "dog dog" share 2; precision 2/3, recall 1, F1 = 2 (2/3) / (5/3) = 4/5
        ("dog dog dog", ["dog dog"], 0, 4 / 5),
        # the best reference counts: 2/5 as above, and 1 of 2 with precision 1/2, recall 1: F1 = 2 (1/2) / (3/2) = 2/3
        ("black cat", ["cat on mats", "cat"], 0, 2 / 3),
        ("cat", ["dog"], 0, 0),
        ("us", ["U.S."], 1, 1),
        ("U S", ["U.S."], 0, 0),  # two words against one
        ("5-3", ["5–3"], 0, 0),  # "53" against "5–3"
        ("", [], 1, 1),  # unanswerable, and abstained
        ("cat", [], 0, 0),  # unanswerable, but answered
        ("The?", [], 1, 1),  # an answer of nothing is no answer
        ("", ["cat"], 0, 0),
        ("", ["cat", "the"], 0, 0),  # "the" is no reference: it says nothing
        ("the", ["the", "."], 1, 1),  # none says anything, so "" is right
        ("cat", ["the"], 0, 0),
    ],
)
def test_scores_by_hand(prediction, references, exact, score):
    assert exact_match(prediction, references) == exact
    assert f1(prediction, references) == pytest.approx(score, abs=1e-12)


@given(TEXT, st.lists(TEXT, max_size=3))
def test_bounds_and_exact_match_implies_f1(prediction, references):
    exact, score = exact_match(prediction, references), f1(prediction, references)
    assert exact in (0, 1)
    assert 0 <= score <= 1
    assert score == 1 or not exact


@given(TEXT, TEXT)
def test_f1_of_two_texts_is_symmetric(first, second):
    assert f1(first, [second]) == f1(second, [first])


@given(TEXT, st.lists(TEXT.filter(normalize), min_size=1), TEXT.filter(normalize))
def test_more_references_never_hurt(prediction, references, another):
    assert f1(prediction, [*references, another]) >= f1(prediction, references)
    assert exact_match(prediction, [*references, another]) >= exact_match(prediction, references)


REFERENCES = {"q1": ["Paris"], "q2": [], "q3": ["the red fox"], "q4": []}
PREDICTIONS = {"q1": "paris", "q2": "Rome", "q3": "red dog", "q4": ""}
# exact: 1, 0, 0, 1. F1: 1, 0, 1/2 (red of "red dog" and of "red fox"), 1.
PROBABILITIES = {"q1": 0.1, "q2": 0.6, "q3": 0.5, "q4": 0.9}


def test_report_without_probabilities():
    assert squad_report(PREDICTIONS, REFERENCES) == {
        "exact": 50.0,  # (1 + 0 + 0 + 1) / 4
        "f1": 62.5,  # (1 + 0 + 1/2 + 1) / 4
        "total": 4,
        "HasAns_exact": 50.0,  # q1, q3: (1 + 0) / 2
        "HasAns_f1": 75.0,  # (1 + 1/2) / 2
        "HasAns_total": 2,
        "NoAns_exact": 50.0,  # q2, q4: (0 + 1) / 2
        "NoAns_f1": 50.0,
        "NoAns_total": 2,
    }


def test_best_cuts_and_average_precision():
    report = squad_report(PREDICTIONS, REFERENCES, PROBABILITIES)
    # Abstaining from all scores 2. In order of probability, answering q1, q3, q2, q4 too adds
    #   exact: 1, 0, -1, 0 (q4 abstains anyway): 3, 3, 2, 2; the best, 3 of 4, is first reached with q1, at 0.1
    #   F1: 1, 1/2, -1, 0: 3, 3.5, 2.5, 2.5; the best, 3.5 of 4, is reached with q3, at 0.5
    assert (report["best_exact"], report["best_exact_thresh"]) == (75.0, 0.1)
    assert (report["best_f1"], report["best_f1_thresh"]) == (87.5, 0.5)
    # Precision, recall after q1, q3, q2, q4 (2 answerable ones are to be had):
    #   exact: 1/1, 1/2; 1/2, 1/2; then recall stays: area 1 x 1/2
    #   F1: 1/1, 1/2; 1.5/2, 1.5/2; area 1 x 1/2 + 3/4 x 1/4 = 11/16
    #   oracle: 1/1, 1/2; 2/2, 2/2; area 1
    assert report["pr_exact_ap"] == 50.0
    assert report["pr_f1_ap"] == 68.75
    assert report["pr_oracle_ap"] == 100.0
    assert {key: report[key] for key in squad_report(PREDICTIONS, REFERENCES)} == squad_report(PREDICTIONS, REFERENCES)
    # The best cut is a threshold: above 0.5 only q2 and q4 abstain, so q2 becomes right.
    assert squad_report(PREDICTIONS, REFERENCES, PROBABILITIES, threshold=0.5)["f1"] == 87.5


def test_above_the_threshold_is_no_answer():
    # 0.5 > 0.4: q2, q3, q4 abstain; q3 has an answer, so it is wrong: 1, 1, 0, 1
    report = squad_report(PREDICTIONS, REFERENCES, PROBABILITIES, threshold=0.4)
    assert (report["exact"], report["f1"], report["HasAns_f1"], report["NoAns_exact"]) == (75.0, 75.0, 50.0, 100.0)
    # at 0.5 itself q3 still answers: 1, 1, 1/2, 1
    assert squad_report(PREDICTIONS, REFERENCES, PROBABILITIES, threshold=0.5)["HasAns_f1"] == 75.0


def test_equal_probabilities():
    references, predictions = {"no": [], "yes": ["x"]}, {"no": "x", "yes": "x"}
    # abstaining scores 1; "no" first: 0, then 1, never above 1. "yes" first: 2, then 1.
    report = squad_report(predictions, references, {"no": 0.5, "yes": 0.5})
    assert (report["best_exact"], report["best_exact_thresh"]) == (50.0, 0.0)
    report = squad_report(predictions, references, {"yes": 0.5, "no": 0.5})
    assert (report["best_exact"], report["best_exact_thresh"]) == (100.0, 0.5)
    assert report["pr_exact_ap"] == 50.0  # one step for both: precision 1/2, recall 1


def test_a_prediction_of_punctuation_abstains_but_for_the_cuts():
    report = squad_report({"q": ".", "r": "x"}, {"q": [], "r": ["x"]}, {"q": 0.1, "r": 0.2})
    assert report["NoAns_exact"] == 100.0
    assert report["best_exact"] == 50.0  # abstaining 1; q: -1; r: +1


def test_all_unanswerable():
    report = squad_report({"q": ""}, {"q": []}, {"q": 0.3})
    assert report == {
        "exact": 100.0, "f1": 100.0, "total": 1, "NoAns_exact": 100.0, "NoAns_f1": 100.0, "NoAns_total": 1,
        "best_exact": 100.0, "best_exact_thresh": 0.0, "best_f1": 100.0, "best_f1_thresh": 0.0,
    }  # fmt: skip


def test_a_missing_prediction_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match=r"1 of 4 questions have no prediction.*q2"):
        report = squad_report({i: text for i, text in PREDICTIONS.items() if i != "q2"}, REFERENCES)
    assert (report["total"], report["NoAns_total"], report["NoAns_exact"]) == (3, 1, 100.0)


def test_other_predictions_are_ignored():
    assert squad_report({**PREDICTIONS, "z": "x"}, REFERENCES) == squad_report(PREDICTIONS, REFERENCES)


def test_faults():
    with pytest.raises(ValueError, match="none of the 4 questions has a prediction"):
        squad_report({"z": "x"}, REFERENCES)
    with pytest.raises(ValueError, match=r"lacks 1 of the 4 questions.*q4"):
        squad_report(PREDICTIONS, REFERENCES, dict.fromkeys(("q1", "q2", "q3"), 0.0))


@st.composite
def sets(draw):
    ids = [str(i) for i in range(draw(st.integers(1, 8)))]
    answer = st.sampled_from(["", "x", "y", "x y", "the", "."])
    return (
        {i: draw(answer) for i in ids},
        {i: draw(st.lists(answer, max_size=2)) for i in ids},
        {i: draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])) for i in ids},
    )


@given(sets())
def test_the_whole_is_the_mean_of_its_parts_and_no_cut_loses_to_abstaining(data):
    predictions, references, probabilities = data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = squad_report(predictions, references, probabilities)
    for name in ("exact", "f1"):
        parts = [(report[f"{p}_{name}"], report[f"{p}_total"]) for p in ("HasAns", "NoAns") if f"{p}_total" in report]
        assert report[name] == pytest.approx(sum(score * n for score, n in parts) / report["total"])
        assert 100 * report.get("NoAns_total", 0) / report["total"] <= report[f"best_{name}"] <= 100 + 1e-9
        assert 0 <= report.get(f"pr_{name}_ap", 0) <= 100 + 1e-9
    assert report["exact"] <= report["f1"]


@pytest.fixture(scope="module")
def dev(data_file) -> dict[str, list[str]]:
    with gzip.open(data_file("squad/dev-v2.0-a.json.gz"), "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    questions = [qa for article in articles for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    return {qa["id"]: [answer["text"] for answer in qa["answers"]] for qa in questions}


def test_always_abstaining_on_published_questions(dev):
    report = squad_report(dict.fromkeys(dev, ""), dev)
    assert report["exact"] == report["f1"] == 100 * 3094 / 6142
    assert (report["NoAns_total"], report["NoAns_exact"]) == (3094, 100.0)
    assert (report["HasAns_total"], report["HasAns_exact"], report["HasAns_f1"]) == (3048, 0.0, 0.0)


def test_gold_answers_of_published_questions_are_right(dev):
    gold = {i: references[0] if references else "" for i, references in dev.items()}
    report = squad_report(gold, dev, {i: float(not references) for i, references in dev.items()})
    assert report["exact"] == report["f1"] == report["best_exact"] == report["best_f1"] == report["pr_f1_ap"] == 100.0
