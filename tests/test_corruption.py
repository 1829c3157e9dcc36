"""Collected records, their labels by hindsight and causally, and planted errors."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.audit import policies
from reasongym.audit.collect import Tap, collect
from reasongym.audit.corruption import ERROR_CLASSES, Planter
from reasongym.errors import UnknownNameError
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.combinators import SoftMinimum
from reasongym.prm.correctness import CausalPRM, HindsightPRM
from reasongym.prm.lexical import LexicalPRM
from reasongym.types import Problem, Story

SHORT = {"difficulty": {"max_units": 20}}
TASKS = (1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 15, 16, 18)


def first_error(record):
    errors = np.flatnonzero(record.labels[:, 0] < 0)
    return int(errors[0]) if len(errors) else -1


@pytest.mark.parametrize("task", TASKS)
def test_the_planted_error_is_the_first_one_and_nothing_else_is_before_it(task):
    """The causal labels come from the annotation of the state; the index from the planter. They must agree in every episode."""
    keywords = SHORT if task < 15 else {}
    records = collect(f"ReasonGym-bAbI-qa{task}-v0", Planter(rate=0.7, seed=3), np.arange(150), **keywords)
    for record in records:
        assert first_error(record) == record.meta["error_step"], (record.meta["error_class"], record.prompt, record.steps)
    sound = [record for record in records if record.meta["error_class"] == "none"]
    assert all(record.outcome == 1 for record in sound)
    assert 20 <= len(sound) <= 80


@pytest.mark.parametrize("name", ERROR_CLASSES)
def test_each_class_is_what_it_says(name):
    """On task 2, read off the words of the step."""
    records = collect("ReasonGym-bAbI-qa2-v0", Planter([name], rate=1.0, seed=1), np.arange(60), **SHORT)
    planted = [record for record in records if record.meta["error_class"] == name]
    assert len(planted) > 10
    for record in planted:
        i = record.meta["error_step"]
        text, kind, before = record.steps[i], record.meta["kinds"][i], record.steps[:i]
        if name in ("stale fact", "irrelevant fact", "missing prerequisite"):
            assert kind == "recall"
            assert record.outcome == 1  # the expert goes on
        elif name == "redundant step":
            assert text.endswith("(no effect)")
        else:
            assert kind == "answer"
            assert i == len(record.steps) - 1
        recalls = sum(step.startswith("recall") for step in before)
        if name == "contradiction":
            assert recalls == 2
            assert record.outcome == 0
        if name in ("premature answer", "unsupported answer"):
            assert recalls < 2
        if name == "unsupported answer":
            missed = record.meta["missed_step"]
            assert record.steps[missed].startswith("pass over")
            assert missed < i
        if name == "missing prerequisite":
            assert any(
                word in text for word in ("went", "moved", "journeyed", "travelled")
            )  # the place, before who dropped the thing


def test_the_missed_step_is_the_error_by_hindsight():
    planter = Planter(["unsupported answer"], rate=1.0, seed=1)
    records = collect("ReasonGym-bAbI-qa1-v0", planter, np.arange(30), labels=[HindsightPRM()], **SHORT)
    assert all(first_error(record) == record.meta["missed_step"] for record in records)


def test_hindsight_knows_what_nobody_could():
    """Random episodes: every causal error is one by hindsight; reading steps are errors by hindsight alone."""
    both = [
        collect("ReasonGym-bAbI-qa1-v0", policies.random, np.arange(100), labels=[prm]) for prm in (CausalPRM(), HindsightPRM())
    ]
    more = 0
    for causal, later in zip(*both, strict=True):
        assert causal.steps == later.steps
        wrong, wrong_later = causal.labels[:, 0] < 0, later.labels[:, 0] < 0
        assert not (wrong & ~wrong_later).any()
        kinds = np.array(causal.meta["kinds"])
        assert np.isin(kinds[wrong_later & ~wrong], ("next", "store", "update")).all()
        more += int((wrong_later & ~wrong).sum())
    assert more > 10


def test_a_recall_while_reading_is_judged_on_what_was_read():
    """Task 1, question known: the newest fact of the person asked for is recalled, and made untrue later."""
    later = collect("ReasonGym-bAbI-qa1-v0", _Eager(), np.arange(60), labels=[HindsightPRM()], reason_when="any")
    causal = collect("ReasonGym-bAbI-qa1-v0", _Eager(), np.arange(60), labels=[CausalPRM()], reason_when="any")
    spared = unlinked = 0
    for a, b in zip(later, causal, strict=True):
        name = a.prompt.split()[-1].strip("?")
        for i, text in enumerate(a.steps):
            if text.startswith("recall") and "(no effect)" not in text and "pass" in "".join(a.steps[i + 1 :]):
                assert b.labels[i, 0] > 0 or name not in text  # linked: not visibly wrong yet
                unlinked += b.labels[i, 0] < 0
                spared += a.labels[i, 0] < 0 < b.labels[i, 0]
    assert spared > 5
    assert unlinked > 5


class _Eager:
    """Stores the first two units, recalls both at once, reads on, answers."""

    def __call__(self, s):
        recalls = 1 + 2 * s.slots
        plan = np.array([1, 2, recalls, recalls + 1])
        return np.where(s.step < 4, plan[np.minimum(s.step, 3)], np.where(s.reading, 0, s.answers))


def test_spans_are_refused():
    with pytest.raises(ValueError, match="this environment's are spans"):
        collect("ReasonGym-SQuAD2-v0", Planter(), np.arange(2))


def test_records_do_not_depend_on_the_number_of_environments():
    one, many = (
        collect(
            "ReasonGym-bAbI-qa2-v0", Planter(seed=5), np.arange(12), num_envs=n, labels=[CausalPRM(), AnnotatedPRM()], **SHORT
        )
        for n in (3, 12)
    )
    for a, b in zip(one, many, strict=True):
        assert (a.prompt, a.steps, a.meta) == (b.prompt, b.steps, b.meta)
        np.testing.assert_array_equal(a.labels, b.labels)
    assert one[0].criteria == ("correct", "logic", "coherence", "goal")


def test_the_labels_are_the_rewards_scores_and_the_actions_replay():
    record = collect("ReasonGym-bAbI-qa2-v0", policies.random, np.array([7]), labels=[AnnotatedPRM()], **SHORT)[0]
    env = gym.make("ReasonGym-bAbI-qa2-v0", **SHORT)
    env.reset(seed=0, options={"problem": 7})
    for action, label in zip(record.meta["actions"], record.labels, strict=True):
        _, _, ended, _, info = env.step(action)
        np.testing.assert_allclose([info["prm_scores"][name] for name in record.criteria], label, atol=1e-6)
    assert ended
    assert record.outcome == info["is_success"]
    assert record.meta["problem"] == 7
    assert record.meta["task"] == 2


class Unproved:
    """A source of one-sentence problems whose support nobody knows."""

    name, fingerprint, num_problems, max_units, unit_tokens, question_tokens = "unproved", "1", 2, 1, 3, 3
    choices, vocabulary = ("red", "green"), ("red", "green", "it", "is", "which", "colour")
    kinds, choice_kinds, entities = ("colour",), (1, 1), ("it",)

    def problem(self, index):
        story = Story(units=(f"It is {self.choices[index]}.",), superseded_by=(-1,), entities=(1,), same_as=(0,))
        return Problem(f"unproved/{index}", 1, story, 1, "Which colour is it?", 1, "colour", (self.choices[index],), None)

    def tokenize(self, text):
        return [self.vocabulary.index(word) + 1 for word in text.lower().strip(".?").split() if word in self.vocabulary][:3]

    def choice_of(self, answer):
        return self.choices.index(answer)


def test_where_support_is_unknown_only_what_is_wrong_without_it_is_labelled():
    records = collect("ReasonGym-bAbI-qa1-v0", policies.answer_at_once, np.arange(2), dataset=Unproved())
    assert [record.outcome for record in records] == [1, 0]
    assert np.isnan(records[0].labels).all()  # right, but who knows why
    assert np.isnan(records[1].labels[0, 0])
    assert records[1].labels[1, 0] == -1  # wrong, whatever the support


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Planter(["stale"]), UnknownNameError, "did you mean 'stale fact'"),
        (lambda: Planter([]), ValueError, "must name at least one of stale fact"),
        (lambda: Planter(rate=2), ValueError, r"rate must lie in \[0, 1\], got 2"),
        (lambda: Tap([CausalPRM(), HindsightPRM()]), ValueError, "distinct criteria"),
        (lambda: Tap([SoftMinimum(LexicalPRM())]), TypeError, "keeps state from step to step"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
