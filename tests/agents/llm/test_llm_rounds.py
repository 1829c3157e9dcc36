"""A language model in the rounds of self-reward: what it reads and learns, and that a run goes on where it was."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch

from agents.llm.turns import likelihood
from agents.llm_rounds import Language
from agents.llm_rounds.reading import Prompts
from agents.self_reward import SelfReward, Settings
from agents.self_reward.arms import GoldSealedError
from agents.self_reward.episodes import play, replayed
from tests.agents.llm.conftest import KEYWORDS

ID = "ReasonGym-bAbI-qa1-v0"
SMALL = Settings(
    rounds=2, problems=16, samples=4, states=6, candidates=3, completions=1, annotated=16, timesteps=48, num_envs=8, n_steps=3,
    batch_size=16, capacity=30, max_age=2, lessons=8, learning_rate=1e-3,
)  # fmt: skip


@pytest.fixture
def run_of(model_folder, tmp_path):
    def make(settings=SMALL, folder="run", **keywords):
        learner = Language(str(model_folder), ppo={"n_epochs": 1})
        return SelfReward(ID, settings, tmp_path / folder, learner=learner, held_out=12, **{**KEYWORDS, **keywords})

    return make


def parameters(run):
    return torch.cat([p.detach().flatten() for p in (*run.model.model.parameters(), *run.judge.parameters())])


@pytest.mark.parametrize("arm", ["gold", "none", "annotation"])
def test_rounds_run_and_are_reported(arm, run_of):
    run = run_of(replace(SMALL, arm=arm))
    before = parameters(run)
    rows = run.run()
    assert len(rows) == 3, "the start, and two rounds"
    assert not torch.equal(before, parameters(run))
    for row in rows[1:]:
        assert row["judge_fitted"] == 1
        assert row["replayed"] <= 0.25
        assert 0 <= row["judge_agreement"] <= 1
        assert row["ppo_frames"] == 48
        assert row["updates"] > 0
    assert (rows[-1]["gold_bits"] > 0) == (arm == "gold")
    assert (rows[-1]["annotation_bits"] > 0) == (arm == "annotation")
    assert json.loads((run.folder / "config.json").read_text())["learner"].startswith("Language(model=")


def test_a_run_in_parts_is_the_run(run_of):
    whole = run_of(folder="whole")
    whole.run()
    run_of(folder="parts").run(1)
    again = run_of(folder="parts")
    again.run()
    assert torch.equal(parameters(whole), parameters(again))
    assert len(again.rows) == 3


def test_gold_raises_when_it_is_read(run_of):
    run = run_of(replace(SMALL, arm="none"))
    with pytest.raises(GoldSealedError, match="'answers'"):
        _ = run.env.batch.source.problem(0).answers


def test_episodes_played_again_read_the_same(run_of):
    run = run_of()
    player = run.model.as_player()
    first = play(player, run.env, np.arange(10))
    again = replayed(player, run.env, first.episodes)
    for name in ("prompt", "action_mask"):
        np.testing.assert_array_equal(first.observations[name], again.observations[name])
    np.testing.assert_allclose(first.values, again.values, atol=1e-5)
    shown = run.model.prompts[int(first.observations["prompt"][0])]
    assert run.model.backend.tokenizer.decode(shown).startswith("<|user|>Question: ")


def test_candidates_are_distinct_and_legal(run_of):
    run = run_of()
    player = run.model.as_player()
    played = play(player, run.env, np.arange(6))
    proposed = player.propose(played.observations, (), 4)
    assert len(proposed) == len(played.actions)
    for actions, mask in zip(proposed, played.observations["action_mask"], strict=True):
        assert len(set(actions.tolist())) == len(actions) <= 4
        assert mask[actions].all()


def test_a_judge_begins_at_what_the_model_is_sure_of(run_of):
    run = run_of()
    played = play(run.model.as_player(), run.env, np.arange(6))
    turns = run.model.turns_of(played.observations, played.actions)
    sure = likelihood(run.model.model, turns, 1.0).log_probs.sum(1).sigmoid().detach().numpy()
    np.testing.assert_allclose(run.judge.probability(played.observations, played.actions), sure, atol=1e-5)
    with torch.no_grad():
        run.judge.head.bias.fill_(100.0)
    assert (run.judge.probability(played.observations, played.actions) > 0.99).all()


def test_the_judge_hears_what_is_played(run_of):
    """In environments that are being played, the judge says what it says of the same turns recorded."""
    run = run_of()
    agent, env = run.model, run.env
    agent.attach(env)
    observation = env.reset()
    actions, _ = agent.act(observation, None, np.ones(8, bool))
    heard = agent.heard(run.judge).probability(observation, actions)
    interface = agent.player.interface
    prompts = [agent.backend.prompter(interface.messages(i)) for i in range(8)]
    turns = agent.turns(prompts, observation["action_mask"], actions)
    np.testing.assert_allclose(heard, run.judge.of(turns).sigmoid().detach().numpy(), atol=1e-5)
    assert agent.heard(None) is None


def test_states_after_replies_are_those_of_their_last_tokens(run_of):
    """Of replies of several lengths: as if each were computed alone."""
    run = run_of()
    played = play(run.model.as_player(), run.env, np.arange(8))
    turns = run.model.turns_of(played.observations, played.actions)
    together = likelihood(run.model.model, turns).after
    for row in range(0, len(played.actions), 5):
        alone = likelihood(run.model.model, turns.take(torch.tensor([row]))).after[0]
        torch.testing.assert_close(together[row], alone, atol=1e-4, rtol=1e-4)


def test_lessons_raise_what_went_better_than_expected(run_of):
    """With PPO's own loss at 0 (no advantage), imitation alone makes the lessons likelier."""
    run = run_of(replace(SMALL, sil_coef=1.0))
    model = run.model
    played = play(model.as_player(), run.env, np.arange(8))
    model._lessons = lessons = model.lessons_of(played, np.ones(len(played.actions)))
    turns = model.turns_of(played.observations, played.actions)

    def likely():
        return model.likelihood(turns).log_probs.sum(1).mean().item()

    before, nothing = likely(), torch.zeros(len(turns.ids))
    now = turns._replace(log_probs=model.likelihood(turns).log_probs.detach())
    for _ in range(10):
        loss, _ = model.loss(now, nothing, nothing, None, False)
        model.descend(loss)
    assert likely() > before
    assert all(count <= fresh / 3 for _, count, fresh in model._imitated)
    assert model.refit_value(lessons, epochs=30) < 0.2


def test_prompts_are_held_once():
    prompts = Prompts()
    assert [prompts.add(row) for row in ([1, 2], [3], [1, 2], [])] == [0, 1, 0, 2]
    assert (prompts[0], prompts[2]) == ([1, 2], [])
