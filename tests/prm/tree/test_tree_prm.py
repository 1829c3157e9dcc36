"""A reward tree as a PRM: scores worked out by hand, in records, batches and environments."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.errors import PRMError
from reasongym.prm.base import Scores, check_prm, checked_scores
from reasongym.prm.combinators import Clipped
from reasongym.prm.records import RecordScorer, StepRecord
from reasongym.prm.tree.context import Context, contexts_of, contexts_of_batch
from reasongym.prm.tree.embedding import HashedEmbedder
from reasongym.prm.tree.growth import grow
from reasongym.prm.tree.prm import TreePRM
from reasongym.prm.tree.selection import DynamicSelection, Selection
from reasongym.prm.tree.thresholds import Thresholds, choose_thresholds, labelled_criteria
from reasongym.prm.tree.tree import Coarse, Fine, RewardTree, empty_tree

TREE = RewardTree(
    (
        Coarse("truth", (Fine("1", "is true", {"is true": 1}), Fine("2", "is current", {"is current": 1}))),
        Coarse("style", (Fine("3", "is short", {"is short": 1}),)),
    ),
    Thresholds(0.1, 0.2, 0.3),
    "placed",
)


class Chooses:
    """Selects what the step's last word lists ("0,2"), at distance 0.1 each but the first, at 0.1 + ln 3 / 10."""

    mu, version = 2, "chooses"

    def select(self, tree, contexts):
        rows = [[int(i) for i in context.step.split()[-1].split(",")] for context in contexts]
        width = max(map(len, rows))
        fine = np.array([row + [-1] * (width - len(row)) for row in rows], np.int32)
        distance = np.where(fine >= 0, 0.1, np.nan)
        distance[:, 0] += np.log(3) / 10
        return Selection(fine, distance, np.zeros(len(rows), bool))


class Says:
    """Scores by the criterion: 1, -0.5, and unscored."""

    version = "says"

    def __init__(self, table=None):
        self.table = table or {"is true": 1.0, "is current": -0.5, "is short": np.nan}
        self.seen = []

    def score(self, contexts, criteria):
        self.seen += contexts
        return np.array([self.table[criterion] for criterion in criteria], np.float32)


def record(*steps):
    return StepRecord("Why?", steps, ("x",), np.zeros((len(steps), 1), np.float32))


def test_scores_by_hand():
    prm = TreePRM(TREE, Says(), Chooses())
    (values,) = prm.score_records([record("a 0", "b 0,1", "c 1,2", "d 2")])
    assert prm.criteria == ("truth", "style")
    np.testing.assert_array_equal(values, np.array([[1, np.nan], [0.25, np.nan], [-0.5, np.nan], [np.nan, np.nan]], np.float32))
    fine = prm.fine_scores(contexts_of(record("b 0,1"), 2))
    assert fine.values.tolist() == [[1, -0.5]]


def test_weights_of_the_selection_by_hand():
    """With τ = 0.1, exp(−d/τ) of the first is a third of the others'. Both coarse scored: 1/4 and 3/4 of 2; one scored: 1."""
    prm = TreePRM(TREE, Says({"is true": 1, "is current": 1, "is short": 1}), Chooses(), weights="selection", temperature=0.1)
    (made,) = (prm._weights(prm.fine_scores(c), prm._coarse(prm.fine_scores(c)))
               for c in [contexts_of(record("a 0,2", "b 2,0,1", "c 1"), 2)])  # fmt: skip
    assert made == pytest.approx(np.array([[0.5, 1.5], [2 * 6 / 7, 2 / 7], [1, 0]]))


def test_a_step_reads_no_later_step_and_no_more_than_mu_before():
    scorer = Says()
    TreePRM(TREE, scorer, Chooses()).score_records([record("a 0", "b 0", "c 0", "d 0")])
    assert scorer.seen == [
        Context("Why?", (), "a 0"),
        Context("Why?", ("a 0",), "b 0"),
        Context("Why?", ("a 0", "b 0"), "c 0"),
        Context("Why?", ("b 0", "c 0"), "d 0"),
    ]
    scorer = Says()
    TreePRM(TREE, scorer, Chooses(), mu=0).score_records([record("a 0", "b 0")])
    assert {context.earlier for context in scorer.seen} == {()}


def test_records_keep_their_lengths():
    prm = TreePRM(TREE, Says(), Chooses())
    assert isinstance(prm, RecordScorer)
    shapes = [values.shape for values in prm.score_records([record("a 0"), record("a 0", "b 1", "c 2"), record("a 1")])]
    assert shapes == [(1, 2), (3, 2), (1, 2)]
    assert prm.score_records([]) == []


def test_a_group_of_candidates_is_scored_on_one_set():
    """The candidates raise 0; 0 and 1; 2: all are scored on 0, 1 and 2, that of most of them first."""
    prm = TreePRM(TREE, Says(), Chooses())
    group = prm.group("Why?", ("x 0", "y 0", "z 0"), ("a 0", "b 0,1", "c 2"), problem="p", kind="k")
    assert group.criteria == ("1", "2", "3")
    np.testing.assert_array_equal(group.scores, np.tile(np.array([1, -0.5, np.nan], np.float32), (3, 1)))
    assert set(prm.scorer.seen) == {Context("Why?", ("y 0", "z 0"), step) for step in ("a 0", "b 0,1", "c 2")}
    assert prm.group("Why?", (), ("a 0", "b 0,1", "c 2"), problem="p", most=1).criteria == ("1",)


@pytest.mark.parametrize("bad", [2.0, -np.inf])
def test_a_scorer_out_of_range_is_refused(bad):
    with pytest.raises(PRMError, match=r"scores in \[-1, 1\] or NaN"):
        TreePRM(TREE, Says({"is true": bad}), Chooses()).score_records([record("a 0")])


def test_the_version_names_all_parts():
    prm = TreePRM(TREE, Says(), Chooses())
    for part in (TREE.version, "says", "chooses", "mu=2"):
        assert part in prm.version
    assert TreePRM(TREE, Says(), Chooses(), weights="selection").version != prm.version
    before, prm.scorer.version = prm.version, "says something else"
    assert prm.version != before
    with pytest.raises(ValueError, match="needs a tree with criteria"):
        TreePRM(RewardTree((), TREE.thresholds, "placed"), Says(), Chooses())


def test_a_batch_becomes_contexts(steps):
    """The steps before are those that were taken, whatever their kind, not what the chain holds."""
    row = {"question": "Where is Mary?", "memory": [{2: "Mary ran."}], "chain": [{0: "Mary sat."}, {1: "John ran."}]}
    carry = np.zeros((1, 64))
    taken = (("next", "John left."), ("store 2", "Mary left."), ("recall 1", None), ("answer", None))
    batches = [steps({**row, "action": action, "desk": desk}, carry=carry) for action, desk in taken]
    found = [contexts_of_batch(batch, 2)[0] for batch in batches]
    assert [context.prompt for context in found] == ["Where is Mary?"] * 4
    assert [context.step.split(":")[0] for context in found] == ["pass over 21", "note 21", "recall 3", "answer"]
    assert [context.earlier for context in found] == [
        (), (found[0].step,), (found[0].step, found[1].step), (found[1].step, found[2].step),
    ]  # fmt: skip
    carry[:] = 0
    for action in ("next", "recall 1"):
        assert contexts_of_batch(steps({**row, "action": action, "desk": "x"}, carry=carry), 0)[0].earlier == ()
    with pytest.raises(PRMError, match=r"kept in StepBatch\.carry, and this batch has none"):
        contexts_of_batch(steps({**row, "action": "next"}), 1)
    carry[:] = 0
    with pytest.raises(PRMError, match="outgrew"):
        contexts_of_batch(steps({**row, "action": "next", "question": "Where? " * 200}, carry=carry), 1)


class Overlap:
    """A scorer that reads: the share of the step's words that prompt and earlier steps have, as a score."""

    version = "overlap"

    def score(self, contexts, criteria):
        known = [set(" ".join((c.prompt, *c.earlier)).lower().split()) for c in contexts]
        said = [c.step.lower().split() for c in contexts]
        return np.array([2 * np.mean([w in k for w in s]) - 1 for k, s in zip(known, said, strict=True)], np.float32)


@pytest.fixture(scope="module")
def real_tree():
    embedder = HashedEmbedder()
    thresholds = choose_thresholds(embedder).thresholds
    return grow(empty_tree(embedder, thresholds), [t for c in labelled_criteria() for t in c.wordings], embedder), embedder


@pytest.mark.parametrize("weights", ["equal", "selection"])
@pytest.mark.parametrize("role", ["prm", "observer"])
def test_in_an_environment(real_tree, weights, role):
    tree, embedder = real_tree
    prm = TreePRM(tree, Overlap(), DynamicSelection(embedder), weights=weights)
    check_prm(prm)
    assert not prm.needs_annotation
    env = gym.make("ReasonGym-bAbI-qa2-v0", num_problems=20, **{role: prm}).unwrapped
    env.reset(seed=0)
    ended, seen = False, []
    while not ended:
        _, reward, ended, _, info = env.step(env.expert_action())
        if role == "prm":
            assert sum(info["reward_terms"].values()) == pytest.approx(reward, abs=1e-6)
            seen.append([info["prm_scores"][name] for name in prm.criteria])
    if role == "prm":
        scored = ~np.isnan(np.array(seen, float))
        assert scored.any(axis=1).all()  # every step is judged on something
        assert not scored.all()  # and on what it raises only
        assert len(np.unique(scored, axis=0)) > 1


def test_weights_reach_the_reward(real_tree, steps):
    tree, embedder = real_tree
    prm = TreePRM(tree, Overlap(), DynamicSelection(embedder), weights="selection")
    batch = steps({"action": "recall 1", "question": "Where is Mary?", "memory": [{2: "Mary ran."}]},
                  carry=np.zeros((1, prm.carry_size)))  # fmt: skip
    assert isinstance(prm.score(batch), Scores)
    values, weights = checked_scores(prm, prm.score(batch), 1)
    scored = ~np.isnan(values)
    assert weights[scored].sum() == pytest.approx(scored.sum())
    assert (weights[~scored] == 0).all()
    assert Clipped(prm).score(batch).shape == (1, 1)


@pytest.mark.parametrize("question_at", ["start", "end"])
@pytest.mark.parametrize("mu", [0, 2])
def test_in_an_environment_a_step_scores_as_in_its_record(real_tree, mu, question_at):
    """Whatever is done: random episodes, those of several environments at once, one after another."""
    from reasongym.audit.collect import collect
    from reasongym.audit.policies import POLICIES, Situation

    tree, embedder = real_tree
    prm = TreePRM(tree, Overlap(), DynamicSelection(embedder, mu=mu))
    keywords = {"difficulty": {"max_units": 8}, "memory_slots": 2, "question_at": question_at}
    problems = np.arange(5)
    records = collect("ReasonGym-bAbI-qa2-v0", POLICIES["random"], problems, **keywords)
    env = gym.make_vec("ReasonGym-bAbI-qa2-v0", num_envs=5, prm=prm, **keywords)
    for _ in range(2):
        observation, _ = env.reset(seed=0, options={"problem": problems})
        live, seen, step = np.ones(5, bool), [[] for _ in problems], np.zeros(5, np.int64)
        while live.any():
            actions = POLICIES["random"](Situation(env, observation, problems, step, 0, 0))
            observation, _, ended, _, info = env.step(actions)
            for i in np.flatnonzero(live):
                seen[i].append([info["prm_scores"][name][i] for name in prm.criteria])
            live &= ~ended
            step += 1
        for record, rows in zip(records, seen, strict=True):
            np.testing.assert_allclose(prm.score_records([record])[0], np.array(rows), atol=1e-6)
    assert {kind for record in records for kind in record.meta["kinds"]} >= {"next", "store", "recall", "answer"}
