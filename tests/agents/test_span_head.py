"""The span head, and what natural text changes in a rollout: only the sentences that are used are encoded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents import encoders
from agents.frames import as_tensors
from agents.policy import MemoryPolicy
from agents.ppo import MemoryPPO
from agents.spans import Held, SpanHead
from reasongym.adapters.sb3 import make_vec_env

CPU = torch.device("cpu")


def passages(n=8, **keywords):
    return make_vec_env("ReasonGym-SQuAD2-v0", n, seed=0, num_problems=40, memory_slots=3, **keywords)


def policy_of(env):
    torch.manual_seed(0)
    return MemoryPolicy(env.observation_space, env.action_space, lambda _: 1e-3, core="none")


def played(env, steps):
    """Observations of uniformly random legal play, one after another."""
    draw, observation, seen = np.random.default_rng(0), env.reset(), []
    for _ in range(steps):
        seen.append({key: value.copy() for key, value in observation.items()})
        mask = observation["action_mask"]
        observation, *_ = env.step((draw.random(mask.shape) * mask).argmax(1))
    return {key: np.concatenate([one[key] for one in seen]) for key in seen[0]}


@pytest.fixture(scope="module")
def seen():
    env = passages()
    return env, played(env, 60)


def log_probs(policy, frames):
    n = len(frames.columns["action_mask"])
    with torch.no_grad():
        return policy.evaluate(frames, policy.initial_state(n), torch.zeros(1, n, dtype=torch.bool))[0]


def test_only_what_may_be_pointed_at_has_probability(seen):
    env, observation = seen
    assert (observation["span_start"][:, 0] > 0).any()
    policy = policy_of(env)
    found = log_probs(policy, policy.prepare(as_tensors(observation, CPU))).exp()
    assert found.sum(1).numpy() == pytest.approx(np.ones(len(found)), abs=1e-4)
    assert found[torch.as_tensor(observation["action_mask"]) == 0].max() < 1e-6


def test_where_an_answer_ends_depends_on_where_it_starts():
    torch.manual_seed(0)
    head, words = SpanHead(size=6, item_size=8, unit_tokens=5, units_per_slot=2), torch.nn.Embedding(20, 8)
    h, asked, question = torch.randn(1, 6).expand(2, -1), torch.randn(1, 8).expand(2, -1), torch.tensor([[3, 4]]).expand(2, -1)
    held = Held.of(torch.tensor([[1, 2], [1, 2]]), torch.arange(0, 15).view(3, 5) * torch.tensor([[0], [1], [1]]))
    begun = torch.tensor([[1.0, 2 / 10], [1.0, 7 / 10]])  # at the second token, and at the seventh
    starts, ends = (head._spread(found, held) for found in head._point(h, held, question, asked, begun, words))
    assert torch.allclose(starts[0], starts[1])
    assert not torch.allclose(ends[0], ends[1])


def test_logits_stand_at_the_positions_of_the_units_that_an_entry_holds():
    """Two entries: the first holds sentence 1 at its second place, the other sentence 2 at its first."""
    head = SpanHead(size=6, item_size=8, unit_tokens=4, units_per_slot=2)
    held = Held.of(torch.tensor([[0, 1], [2, 0]]), torch.tensor([[0, 0, 0, 0], [5, 6, 0, 0], [7, 8, 9, 0]]))
    assert held.tokens.tolist() == [[5, 6, 0], [7, 8, 9]]
    spread = head._spread(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), held)
    assert spread.tolist() == [[0, 0, 0, 0, 1, 2, 3, 0], [4, 5, 6, 0, 0, 0, 0, 0]]


def test_sentences_are_encoded_as_far_as_the_longest_reaches():
    torch.manual_seed(0)
    encoder = encoders.SentenceEncoder(50, encoders.LONG + 6, 8, 16)
    table = torch.zeros(3, encoders.LONG + 6, dtype=torch.long)
    table[1, :4], table[2, :2] = torch.tensor([4, 9, 2, 7]), torch.tensor([3, 8])
    full = table.clone()
    full[0] = 5  # a sentence of full length: nothing is cut off
    assert torch.allclose(encoder(table)[1:], encoder(full)[1:], atol=1e-6)


def test_cutting_the_table_of_sentences_changes_nothing(seen, monkeypatch):
    env, observation = seen
    policy = policy_of(env)
    frames = policy.prepare(as_tensors(observation, CPU))
    index = torch.randperm(len(observation["unit"]))[:50]
    whole = frames.take(index)
    monkeypatch.setattr("agents.frames.FEW_SENTENCES", 0)
    cut = frames.take(index)
    assert len(cut.table) < len(whole.table)
    assert torch.allclose(log_probs(policy, whole), log_probs(policy, cut), atol=1e-5)


def test_training_moves_the_span_head():
    model = MemoryPPO("MemoryPolicy", passages(), n_steps=32, batch_size=64, n_epochs=1, policy_kwargs={"core": "none"}, seed=0)
    before = [parameter.clone() for parameter in model.policy.actor.choices.parameters()]
    model.learn(512)
    after = list(model.policy.actor.choices.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert all(not torch.equal(x, y) for x, y in zip(before, after, strict=True))


def test_the_answer_loss_teaches_the_span_of_the_link_recalled_last():
    env = passages(difficulty={"unanswerable": 0.0, "units": [4, 5], "hops": [1]})
    model = MemoryPPO(
        "MemoryPolicy", env, n_steps=128, batch_size=128, n_epochs=1, answer_loss_coef=1.0, answer_loss_when="legal",
        learning_rate=1e-4, policy_kwargs={"core": "none"}, seed=0,
    )  # fmt: skip
    model.learn(1024)  # leaves a rollout behind
    (rollout,) = model.rollout_buffer.minibatches(1024, by_columns=True)
    spans = (rollout.gold >= 0) & (rollout.gold < model.policy.actor.num_choices - 1)
    assert spans.any()  # beside ABSTAIN
    before = model.loss(rollout)[1]["answer_loss"]
    model.lr_schedule = lambda _: 3e-3
    for _ in range(15):
        model.train()
    assert model.loss(rollout)[1]["answer_loss"] < 0.5 * before
