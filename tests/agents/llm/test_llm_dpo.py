"""Pairs of commands: every candidate is tried from the same state, and DPO makes the chosen ones likelier."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from agents.llm_dpo import candidates, learn_pairs, learning_at, pairs_of
from agents.llm_ppo import LLMPPO
from reasongym.adapters.sb3 import make_vec_env
from tests.agents.llm.conftest import KEYWORDS


@pytest.fixture
def trainer(venv, model_folder) -> LLMPPO:
    how = {"n_steps": 4, "batch_size": 8, "learning_rate": 2e-3}
    return LLMPPO(venv, model=str(model_folder), device="cpu", settings=how)


def test_candidates_are_tried_from_one_state(trainer):
    found = candidates(trainer, rounds=8, most=4)
    assert found.criteria == tuple(trainer.env.batch.settings.criteria)
    assert len(found.situations) > 10
    for situation in found.situations:
        assert len(set(situation.commands)) == len(situation.replies) >= 2
        assert situation.scores.shape == (len(situation.replies), len(found.criteria))
    assert found.steps <= 8 * 6 * 4


def test_scores_are_those_of_the_command_in_that_situation(trainer):
    """The same problem played anew: the first situation of an environment, each of its candidates by itself."""
    found = candidates(trainer, rounds=1, most=4)
    for situation in found.situations:
        for command, scores in zip(situation.commands, situation.scores, strict=True):
            env = make_vec_env("ReasonGym-bAbI-qa1-v0", 1, seed=0, **KEYWORDS)
            trainer.player.attach(env)
            env.set_options([{"problem": situation.problem}])
            env.reset()
            env.step(trainer.player.interface.read([command]))
            assert env.scores[0] == pytest.approx(scores, nan_ok=True)


def test_pairs_are_pareto_and_their_control_is_of_the_same_situations(trainer):
    found = candidates(trainer, rounds=12, most=5)
    pairs, report = pairs_of(found, margin=0.01)
    assert report.pairs == len(pairs) > 0
    random, _ = pairs_of(found, "random", margin=0.01)
    assert [pair.prompt for pair in pairs] == [pair.prompt for pair in random]
    assert pairs_of(found, "none")[0] == []
    by_prompt = {(tuple(s.prompt), s.problem): s for s in found.situations}
    for pair in pairs:
        situation = next(s for (prompt, _), s in by_prompt.items() if prompt == tuple(pair.prompt) and pair.chosen in s.replies)
        better, worse = (situation.scores[situation.replies.index(reply)] for reply in (pair.chosen, pair.rejected))
        both = ~np.isnan(situation.scores).any(0)
        assert (better[both] >= worse[both]).all()
        assert (better[both] > worse[both]).any()
    with pytest.raises(ValueError, match="kind of pairs"):
        pairs_of(found, "best")
    with pytest.raises(ValueError, match="at least two candidates"):
        candidates(trainer, 1, most=1)


def test_what_was_chosen_becomes_likelier(trainer):
    pairs, _ = pairs_of(candidates(trainer, rounds=12, most=5), margin=0.01)
    told = learn_pairs(trainer, pairs, epochs=6, beta=0.5, batch_size=8)
    assert told["preferred_after"] > max(told["preferred_before"], 0.8)
    assert told["dpo_loss"] < np.log(2)
    assert learn_pairs(trainer, []) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", float("nan")), ("learning_rate", -1e-3), ("beta", -1), ("epochs", 0), ("batch_size", 0)],
)
def test_hyper_parameters_out_of_range_are_refused(trainer, name, value):
    with pytest.raises(ValueError, match=name):
        learn_pairs(trainer, [], **{name: value})


def test_learning_rates_come_back_whatever_happens(trainer):
    before = [group["lr"] for group in trainer.optimizer.param_groups]
    with learning_at(trainer.optimizer, 0.5):
        assert {group["lr"] for group in trainer.optimizer.param_groups} == {0.5}
    assert [group["lr"] for group in trainer.optimizer.param_groups] == before
    with pytest.raises(ValueError, match="stop"), learning_at(trainer.optimizer, 0.5):
        raise ValueError("stop")
    assert [group["lr"] for group in trainer.optimizer.param_groups] == before


def test_its_learning_rate_is_its_own(trainer):
    """Whatever PPO's schedule came to, 0 at its beginning: pairs are learned from, and PPO goes on at its own rate."""
    pairs, _ = pairs_of(candidates(trainer, rounds=12, most=5), margin=0.01)
    for group in trainer.optimizer.param_groups:
        group["lr"] = 0.0
    before = [p.detach().clone() for p in trainer.model.parameters()]
    learn_pairs(trainer, pairs, learning_rate=0.0)
    assert all(torch.equal(one, other) for one, other in zip(before, trainer.model.parameters(), strict=True))
    learn_pairs(trainer, pairs)
    assert any(not torch.equal(one, other) for one, other in zip(before, trainer.model.parameters(), strict=True))
    assert {group["lr"] for group in trainer.optimizer.param_groups} == {0.0}
