"""Losses worked out by hand, the share of the replay, and which parameters an update touches."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.self_reward.arms import arm_of
from agents.self_reward.candidates import _known, branch, pairs_of
from agents.self_reward.episodes import play
from agents.self_reward.updates import Lessons, Pairs, dpo_loss, self_imitation_loss
from tests.agents.self_reward.conftest import agent


def test_self_imitation_by_hand():
    """R - V = 0.5, -1, 2: the second step went worse than expected and is not imitated; (ln 2 * 0.5 + ln 4 * 2) / 3."""
    log_prob = torch.log(torch.tensor([0.5, 0.1, 0.25])).requires_grad_()
    values = torch.tensor([0.5, 1.0, -1.0], requires_grad=True)
    loss = self_imitation_loss(log_prob, values, torch.tensor([1.0, 0.0, 1.0]))
    assert loss.item() == pytest.approx((math.log(2) * 0.5 + math.log(4) * 2) / 3)
    loss.backward()
    assert values.grad is None, "the critic must not be pulled towards what it is compared with"
    np.testing.assert_allclose(log_prob.grad, [-0.5 / 3, 0, -2 / 3])
    some = self_imitation_loss(log_prob, values, torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 0.0]))
    assert some.item() == pytest.approx(math.log(2) * 0.5 / 2), "a frame of weight 0 is not there"


def test_step_wise_dpo_by_hand():
    """Margins: (ln 0.6 - ln 0.3) - (ln 0.2 - ln 0.4) = ln 4, and 0 where nothing has moved."""
    chosen, rejected = torch.log(torch.tensor([0.6, 0.5])), torch.log(torch.tensor([0.2, 0.5]))
    ref_chosen, ref_rejected = torch.log(torch.tensor([0.3, 0.5])), torch.log(torch.tensor([0.4, 0.5]))
    found = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.5)
    assert found.item() == pytest.approx((math.log(1.5) + math.log(2)) / 2)  # sigmoid(0.5 ln 4) = 2/3


@pytest.mark.parametrize("core", ["none", "lstm"])
def test_pairs_are_learned(core):
    paid, model, _ = agent(core, learning_rate=3e-3, dpo_epochs=40, dpo_beta=0.5)
    played = play(model.as_player(), paid.inner, np.arange(8))
    frames = played.starts[:-1] + 1  # everybody's second step: NEXT or a STORE
    legal = played.observations["action_mask"][frames].astype(bool)
    two = np.array([np.flatnonzero(row)[[0, -1]] for row in legal])
    observations = {key: value[frames] for key, value in played.observations.items()}
    pairs = Pairs(observations, tuple(s[frames] for s in played.states), two[:, 1], two[:, 0], {})
    told = model.learn_pairs(pairs)
    assert told["preferred_before"] < 1
    assert told["preferred_after"] == 1
    assert told["dpo_loss"] < math.log(2)


@pytest.mark.parametrize("core", ["none", "lstm"])
def test_lessons_are_the_episodes_that_were_played(core):
    """The log-probabilities of recorded actions, computed from lessons, are those of acting; padding is marked."""
    paid, model, _ = agent(core)
    played = play(model.as_player(), paid.inner, np.arange(5))
    lessons = Lessons(model.policy, played, np.arange(len(played.values), dtype=float))
    seen, values = [], {}
    for lesson in lessons.once(16):
        _, value, _ = model.policy.evaluate(lesson.frames, lesson.state, lesson.reset)
        for v, r, real in zip(value.tolist(), lesson.returns.tolist(), lesson.valid.tolist(), strict=True):
            if real:
                seen.append(r)
                values[int(r)] = v
    assert sorted(seen) == list(range(len(played.values))), "every frame once"
    np.testing.assert_allclose([values[i] for i in range(len(values))], played.values, atol=1e-5)


@pytest.mark.parametrize("core", ["none", "lstm"])
def test_replay_is_at_most_a_quarter_of_the_mix(core):
    """Also where a minibatch has fewer frames than an episode."""
    paid, model, _ = agent(core, batch_size=8)
    played = play(model.as_player(), paid.inner, np.arange(8))
    assert np.diff(played.starts).max() > 8 * 0.25 / 0.75
    model.lessons = Lessons(model.policy, played, np.ones(len(played.values)))
    model.learn(128)
    imitated, fresh = np.array(model.imitated)[:, 1:].T
    assert (imitated > 0).all()
    assert (imitated / (imitated + fresh) <= 0.25).all()
    with pytest.raises(ValueError, match="fresh frames are the anchor"):
        agent(replay_share=0.3)


def test_refitting_the_value_head_leaves_the_actor_alone():
    paid, model, _ = agent()
    played = play(model.as_player(), paid.inner, np.arange(24))
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    lessons = Lessons(model.policy, played, np.full(len(played.values), 3.0))
    assert model.refit_value(lessons, epochs=60, batch_size=64, learning_rate=1e-2) < 0.5
    moved = {name.split(".")[0] for name, value in model.policy.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"critic", "bodies"}
    first = [name for name in before if name.startswith("bodies.0")]
    assert all(torch.equal(before[name], model.policy.state_dict()[name]) for name in first), "the actor's body"


def test_random_pairs_are_of_the_same_states():
    paid, model, judge = agent()
    played = play(model.as_player(), paid.inner, np.arange(40), judge=judge)
    draw = np.random.default_rng(0)
    found = branch(arm_of("gold"), model.as_player(), paid.inner, played, judge, draw, states=40, candidates=4, completions=2)
    assert found.criteria == ("logic", "coherence", "goal", "judge", "success")
    pareto, control = (pairs_of(kind, played, found, np.random.default_rng(1)) for kind in ("pareto", "random"))
    assert len(pareto) == len(control) > 5
    for key, value in pareto.observations.items():
        np.testing.assert_array_equal(value, control.observations[key])
    assert (pareto.chosen != pareto.rejected).all()
    assert (control.chosen != control.rejected).all()
    assert ((pareto.chosen != control.chosen) | (pareto.rejected != control.rejected)).any()
    legal = pareto.observations["action_mask"].astype(bool)
    for pairs in (pareto, control):
        assert legal[np.arange(len(pairs)), pairs.chosen].all()
        assert legal[np.arange(len(pairs)), pairs.rejected].all()
    assert len(pairs_of("none", played, found, np.random.default_rng(1))) == 0


def test_a_candidates_score_is_what_its_completions_earn():
    """An ANSWER ends its own completion, so its `success` is whether it is the gold answer; `judge` is the judge's word."""
    paid, model, judge = agent()
    played = play(model.as_player(), paid.inner, np.arange(30), judge=judge)
    draw = np.random.default_rng(0)
    found = branch(arm_of("gold"), model.as_player(), paid.inner, played, judge, draw, states=30, candidates=8, completions=1)
    answers, checked = paid.answers, 0
    for frame, actions, scores in zip(found.frames, found.actions, found.scores, strict=True):
        episode = int(np.searchsorted(played.starts, frame, side="right")) - 1
        here = {key: value[[frame] * len(actions)] for key, value in played.observations.items()}
        np.testing.assert_allclose(scores[:, 3], 2 * judge.probability(here, actions) - 1, atol=1e-5)
        final = np.flatnonzero(actions >= answers)  # an ANSWER is its own completion
        gold = paid.inner.batch.source.problem(played.episodes[episode].problem).answers[0]
        for place in final:
            right = paid.inner.batch.source.choices[actions[place] - answers] == gold
            assert scores[place, 4] == (1 if right else -1)
            checked += 1
    assert checked > 10


def test_every_step_of_a_long_episode_is_drawn_some_time():
    paid, model, _ = agent("lstm")
    played = play(model.as_player(), paid.inner, np.arange(1))
    lessons = Lessons(model.policy, played, np.arange(len(played.values), dtype=float))
    drawn = [lessons.draw(2) for _ in range(60)]
    assert all(lesson.valid.sum() == 2 for lesson in drawn)
    assert {int(r) for lesson in drawn for r in lesson.returns[lesson.valid > 0]} == set(range(len(played.values)))
    assert lessons.draw(0).valid.sum() == 0


class Answered:
    """An episode of which only the answer is looked at."""

    def __init__(self, answer):
        self.answer = answer


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["a", "b", "a", None], [1, 0, 1, 0]),
        (["a", "b", "a", "b"], [0.5] * 4),  # a tie speaks for nobody, in whatever order
        (["b", "a", "b", "a"], [0.5] * 4),
        (["a", None, None, None], [0.5] * 4),  # one alone agrees with nobody
        ([None] * 4, [0.5] * 4),
    ],
)
def test_what_completions_agree_on_by_hand(answers, expected):
    ends = SimpleNamespace(episodes=[Answered("z"), *map(Answered, answers)])
    np.testing.assert_array_equal(_known(arm_of("none"), ends, range(1, 5)), expected)
