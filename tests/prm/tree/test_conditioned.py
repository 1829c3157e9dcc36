"""The conditioned scorer: it learns to judge one step on two criteria, reads what it may, and comes back from disk."""

from __future__ import annotations

import numpy as np
import pytest

from reasongym.errors import DataError, PRMError
from reasongym.prm.tree.context import Context, CriterionScorer
from reasongym.prm.tree.embedding import HashedEmbedder
from reasongym.prm.tree.thresholds import labelled_criteria
from reasongym.seeding import rng

torch = pytest.importorskip("torch")

from reasongym.prm.tree.conditioned import ConditionedScorer, ConditionedSettings, Example, examples_of  # noqa: E402

SMALL = ConditionedSettings(width=32, layers=1, heads=2, epochs=8, batch_size=32, learning_rate=3e-3)
WORDINGS = {c.name: c.wordings for c in labelled_criteria() if c.name in ("redundant_step", "irrelevant_fact")}
NAMES = "Mary John Daniel Sandra Fred Bill Julie Jeff".split()
PLACES = "garden kitchen office hallway bathroom bedroom cinema park".split()


def made(count, seed, wordings):
    """Steps that repeat the one before or do not, about who is asked for or not: two criteria, independent of each other."""
    draw, out = rng(seed), []
    for _ in range(count):
        asked, other = (NAMES[i] for i in draw.permutation(8)[:2])
        repeats, off = draw.random() < 0.5, draw.random() < 0.5
        step = f"recall: {other if off else asked} went to the {PLACES[int(draw.integers(8))]}."
        before = step if repeats else f"recall: {NAMES[int(draw.integers(8))]} took the apple."
        context = Context(f"Where is {asked}?", (before,), step)
        for name, met in (("redundant_step", not repeats), ("irrelevant_fact", not off)):
            texts = wordings[name]
            out.append(Example(context, texts[int(draw.integers(len(texts)))], 1.0 if met else -1.0))
    return out


@pytest.fixture(scope="module")
def trained():
    scorer = ConditionedScorer(HashedEmbedder(), SMALL, seed=1)
    losses = scorer.fit(made(600, 0, {name: texts[:3] for name, texts in WORDINGS.items()}))
    return scorer, losses


def test_it_learns_and_conditions_on_wordings_it_has_never_seen(trained):
    scorer, losses = trained
    assert losses[-1] < 0.5 * losses[0]
    test = made(200, 1, {name: texts[3:] for name, texts in WORDINGS.items()})
    scores = scorer.score([e.context for e in test], [e.criterion for e in test])
    labels = np.array([e.label for e in test])
    assert ((scores > 0) == (labels > 0)).mean() > 0.9
    # the same step, met on one criterion and failed on the other
    pairs = labels.reshape(-1, 2)
    split = pairs[:, 0] != pairs[:, 1]
    assert ((scores.reshape(-1, 2) > 0) == (pairs > 0))[split].mean() > 0.85
    assert isinstance(scorer, CriterionScorer)


def test_a_score_depends_on_its_own_context_alone(trained):
    scorer, _ = trained
    test = made(40, 2, WORDINGS)
    together = scorer.score([e.context for e in test], [e.criterion for e in test])
    alone = np.concatenate([scorer.score([e.context], [e.criterion]) for e in test])
    assert np.abs(together - alone).max() < 1e-5
    assert (np.abs(together) <= 1).all()


def test_no_more_than_mu_steps_are_read(trained):
    scorer, _ = trained
    step, text = "recall: Mary sat.", WORDINGS["redundant_step"][0]
    near = Context("Where?", ("b.", "c."), step)
    assert scorer.score([near], [text]) == scorer.score([near._replace(earlier=("other words", "b.", "c."))], [text])
    assert scorer.score([near], [text]) != scorer.score([near._replace(earlier=("b.", "other words"))], [text])
    blind = ConditionedScorer(HashedEmbedder(), ConditionedSettings(width=16, heads=2, layers=1, mu=0))
    assert blind.score([near], [text]) == blind.score([near._replace(earlier=())], [text])


def test_what_is_too_long_keeps_both_ends_and_is_counted():
    scorer = ConditionedScorer(HashedEmbedder(), ConditionedSettings(width=16, heads=2, layers=1, step_words=8))
    words = [f"word{i}" for i in range(20)]
    text = "The step is right."
    (whole,) = scorer.score([Context("", (), " ".join(words))], [text])
    assert scorer.windowed == 1
    changed = {}
    for at in (0, 3, 10, 17, 19):
        other = " ".join([*words[:at], "changed", *words[at + 1 :]])
        changed[at] = scorer.score([Context("", (), other)], [text])[0] != whole
    assert changed == {0: True, 3: True, 10: False, 17: True, 19: True}
    assert scorer.score([Context("", (), "")], [text]).shape == (1,)


def test_it_comes_back_from_disk(trained, tmp_path):
    scorer, _ = trained
    scorer.save(tmp_path / "scorer")
    again = ConditionedScorer.load(tmp_path / "scorer", HashedEmbedder())
    test = made(10, 3, WORDINGS)
    arguments = [e.context for e in test], [e.criterion for e in test]
    np.testing.assert_array_equal(again.score(*arguments), scorer.score(*arguments))
    assert again.version == scorer.version
    assert again.version != ConditionedScorer(HashedEmbedder(), SMALL, seed=2).version
    with pytest.raises(PRMError, match="reads criteria by the embedder"):
        ConditionedScorer.load(tmp_path / "scorer", HashedEmbedder(dimensions=64))
    with pytest.raises(DataError, match="no conditioned scorer"):
        ConditionedScorer.load(tmp_path, HashedEmbedder())


def test_training_is_a_pure_function_of_seed_and_examples():
    examples = made(20, 0, WORDINGS)
    before = torch.random.get_rng_state()
    one, other = (
        ConditionedScorer(HashedEmbedder(), ConditionedSettings(width=16, heads=2, layers=1, epochs=1), seed=3) for _ in "ab"
    )
    assert one.fit(examples) == other.fit(examples)
    assert one.version == other.version
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_version_tells_weights_apart_that_add_up_alike():
    scorer = ConditionedScorer(HashedEmbedder(), ConditionedSettings(width=8, layers=1, heads=2, buckets=64))
    before = scorer.version
    weights = max(scorer.network.parameters(), key=lambda p: p.numel()).data.view(-1)
    weights[0], weights[1] = weights[1].item(), weights[0].item()
    assert scorer.version != before


def test_wrong_arguments_are_refused():
    scorer = ConditionedScorer(HashedEmbedder(), ConditionedSettings(width=16, heads=2, layers=1))
    context = Context("", (), "a")
    for examples in ([], [Example(context, "a b c", float("nan"))], [Example(context, "a b c", 2.0)]):
        with pytest.raises(ValueError, match="labels in"):
            scorer.fit(examples)
    with pytest.raises(ValueError, match="one criterion a context"):
        scorer.score([context], [])
    with pytest.raises(ValueError, match="heads divide width"):
        ConditionedSettings(width=30, heads=4)


def test_examples_leave_out_what_is_unscored():
    contexts = [Context("", (), "a"), Context("", (), "b")]
    labels = np.array([[1, np.nan, 0.5], [np.nan, -1, 1]], np.float32)
    found = examples_of(contexts, ("x", "y", "z"), labels, {"x": ["the x"], "y": ["the y", "a y"]})
    assert [(e.context.step, e.label) for e in found] == [("a", 1.0), ("b", -1.0)]
    assert found[0].criterion == "the x"
    assert found[1].criterion in ("the y", "a y")


def test_unknown_words_are_read_by_where_they_occur_alone(trained):
    """Two names that training has not shown are one and the same; whether the name is that of the question is not."""
    scorer, _ = trained
    text = WORDINGS["irrelevant_fact"][3]

    def score(asked, told):
        return scorer.score([Context(f"Where is {asked}?", (), f"recall: {told} went to the garden.")], [text])[0]

    assert score("Xerxes", "Xerxes") == score("Yolanda", "Yolanda")
    assert score("Xerxes", "Yolanda") == score("Yolanda", "Xerxes")
    assert score("Xerxes", "Xerxes") > 0 > score("Xerxes", "Yolanda")
    assert score("Mary", "Mary") != score("John", "John")  # known names are not interchangeable


def test_known_words_come_back_from_disk(trained, tmp_path):
    scorer, _ = trained
    scorer.save(tmp_path)
    again = ConditionedScorer.load(tmp_path, HashedEmbedder())
    assert torch.equal(again.network.known, scorer.network.known)
    assert 0 < int(scorer.network.known.sum()) < 200
