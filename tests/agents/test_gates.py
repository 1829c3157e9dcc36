"""The hierarchical head: two levels of probability, masks at both, and the gating network that decides on the kind."""

import math

import pytest
import torch

from agents.distributions import entropy, kind_totals, masked_log_probs, sample, two_level_log_probs
from agents.frames import as_tensors
from agents.gates import GatingNetwork
from agents.heads import PointerHead
from tests.agents.conftest import reader_env, small_model

K, C = 3, 4
A = 1 + 3 * K + C
HIERARCHICAL = {"head": "hierarchical"}


def random_masks(rows: int) -> torch.Tensor:
    """(rows, A) with a legal action in each, often with kinds that have none."""
    torch.manual_seed(0)
    kinds = torch.rand(rows, 5) < 0.5
    mask = kinds[:, [0, *[1] * K, *[2] * K, *[3] * K, *[4] * C]] & (torch.rand(rows, A) < 0.6)
    mask[torch.arange(rows), torch.randint(A, (rows,))] = True
    return mask


def test_worked_by_hand():
    """Two slots, two choices. STORE and ANSWER are legal, weighing 3 to 1; of STORE the second slot, of ANSWER both, 1 to 4."""
    logits = torch.tensor([[9.0, 9.0, 0.0, 9.0, 9.0, 9.0, 9.0, 0.0, math.log(4.0)]])
    mask = torch.tensor([[0, 0, 1, 0, 0, 0, 0, 1, 1]], dtype=torch.bool)
    kinds = torch.tensor([[50.0, math.log(3.0), 50.0, 50.0, 0.0]])
    found = two_level_log_probs(kinds, logits, mask, num_slots=2).exp()
    torch.testing.assert_close(found, torch.tensor([[0, 0, 0.75, 0, 0, 0, 0, 0.05, 0.2]]))


def test_probabilities_sum_to_one_over_what_is_legal():
    mask = random_masks(500)
    log_probs = two_level_log_probs(3 * torch.randn(500, 5), 3 * torch.randn(500, A), mask, K)
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(500))
    assert not log_probs.exp()[~mask].any()
    assert mask.gather(1, sample(log_probs)[:, None]).all()
    assert torch.isfinite(entropy(log_probs)).all()
    torch.testing.assert_close(masked_log_probs(log_probs, mask).exp(), log_probs.exp())  # as the policy passes them on


def test_the_share_of_a_kind_is_the_gates_alone():
    """However strong the pointers are, STORE gets what the gate gives it."""
    mask, kinds = torch.ones(1, A, dtype=torch.bool), torch.randn(1, 5)
    for scale in (0.0, 50.0):
        probs = two_level_log_probs(kinds, scale * torch.randn(1, A), mask, K).exp()
        torch.testing.assert_close(probs[:, 1 : 1 + K].sum(), kinds.softmax(1)[0, 1])


def test_it_is_flat_when_kinds_are_worth_what_their_actions_are():
    mask, logits = random_masks(200), 2 * torch.randn(200, A)
    flat = masked_log_probs(logits, mask)
    found = two_level_log_probs(kind_totals(logits, mask, K), logits, mask, K)
    torch.testing.assert_close(found[mask], flat[mask], atol=1e-5, rtol=1e-5)


def test_no_slots_leave_next_and_the_answers():
    mask, logits = torch.ones(1, 1 + C, dtype=torch.bool), torch.randn(1, 1 + C)
    found = two_level_log_probs(kind_totals(logits, mask, 0), logits, mask, 0)
    torch.testing.assert_close(found, logits.log_softmax(1))
    with pytest.raises(ValueError, match="2 slots need at least 7 actions"):
        kind_totals(torch.zeros(1, 5), torch.ones(1, 5, dtype=torch.bool), 2)


def test_gradients_flow_through_both_levels():
    mask = random_masks(50)
    kinds, logits = torch.randn(50, 5, requires_grad=True), torch.randn(50, A, requires_grad=True)
    log_probs = two_level_log_probs(kinds, logits, mask, K)
    (entropy(log_probs).sum() + log_probs[mask].sum()).backward()
    for gradient in (kinds.grad, logits.grad):
        assert torch.isfinite(gradient).all()
        assert gradient.any()
    assert not logits.grad[~mask].any()


def played(env, model, steps=6):
    """An observation after some steps of the model, and its frames."""
    observation, state = env.reset(), None
    for _ in range(steps):
        actions, state = model.predict(observation, state=state)
        observation = env.step(actions)[0]
    return observation, model.policy.prepare(as_tensors(observation, torch.device("cpu")))


@pytest.mark.parametrize(
    "keywords", [{}, {"memory_slots": 0, "reason_when": "any"}, {"observer": "lexical", "gate": "salience"}]
)
def test_it_trains_in_ppo(keywords):
    """Every part of the head learns; with an observer its scores are read."""
    env = reader_env(n_envs=8, **keywords)
    model = small_model(env, "none", policy_kwargs=HIERARCHICAL)
    before = {name: p.detach().clone() for name, p in model.policy.actor.gate.named_parameters()}
    model.learn(256)
    rollout = model.rollout_buffer
    assert rollout.observations["action_mask"].gather(2, rollout.actions[..., None]).all()
    for name, parameter in model.policy.actor.gate.named_parameters():
        assert torch.isfinite(parameter).all()
        assert not torch.equal(parameter, before[name]), name


def test_it_begins_where_the_flat_head_begins():
    """With every pointer silenced, an untrained gate gives the kinds what an untrained flat head gives them."""
    env, shares = reader_env(n_envs=16, memory_slots=3), {}
    for head in ("flat", "hierarchical"):
        model = small_model(env, "none", policy_kwargs={"head": head})
        actor = model.policy.actor
        assert isinstance(actor, PointerHead)
        silent = [actor.queries, actor.similarity, actor.choices.answers, actor.choices.naming]
        silent += [actor.next, actor.kinds] if head == "flat" else [actor.gate.output]
        for layer in silent:
            layer.weight.data.zero_()
        env.set_options(None)
        if head == "flat":
            observation, frames = played(env, model)
        else:
            frames = model.policy.prepare(as_tensors(observation, torch.device("cpu")))
        with torch.no_grad():
            log_probs, _, _ = model.policy.evaluate(frames, (), torch.ones(1, 16, dtype=torch.bool))
        shares[head] = log_probs.exp()
    assert len(torch.unique(as_tensors(observation, torch.device("cpu"))["action_mask"], dim=0)) > 1
    torch.testing.assert_close(shares["hierarchical"], shares["flat"], atol=1e-5, rtol=1e-4)


def test_the_gate_reads_desk_slots_question_scores_and_task():
    """Changing any of them changes the kinds' logits."""
    env = reader_env(n_envs=8, observer="lexical")
    model = small_model(env, "none", policy_kwargs=HIERARCHICAL)
    _, frames = played(env, model, steps=2)
    gate, encoder = model.policy.actor.gate, model.policy.encoder
    torch.nn.init.normal_(gate.output.weight)
    torch.manual_seed(0)

    def kinds(**changed):
        features = encoder(frames)
        c = {**frames.columns, **{key: value for key, value in changed.items() if key in frames.columns}}
        features = features._replace(**{key: value for key, value in changed.items() if key in features._fields})
        with torch.no_grad():
            return gate(torch.ones(8, gate.hidden.in_features - inputs), features, type(frames)(c, frames.table))

    inputs = 3 * encoder.size + 4 + encoder.num_extras + 3
    plain, c = kinds(), frames.columns
    features = encoder(frames)
    later = c["extras"].clone()
    later[:, 0] += 0.5  # the share read
    scored = c["extras"].clone()
    scored[:, 4:8] += 0.5  # the observer's scores
    others = {"question": c["question"].flip(0) * 0, "unit": c["unit"] * 0, "items": features.items + 1}
    for name, value in {**others, "extras": later}.items():
        assert not torch.allclose(kinds(**{name: value}), plain), name
    assert not torch.allclose(kinds(extras=scored), plain)


def test_the_complexity_of_the_task_by_hand():
    """Of four slots one is occupied and a quarter of the text is read: 0.75 to come, 3 of 4 free, 0.75 / (1 + 3)."""
    gate = GatingNetwork(8, 4, num_slots=4, num_similarities=4, num_extras=12)
    columns = {"extras": torch.tensor([[0.25] + [0.0] * 11]), "slot_features": torch.tensor([[[1.0] + [0.0] * 8, [0.0] * 9]])}
    torch.testing.assert_close(gate.task(columns), torch.tensor([[0.75, 0.75, 0.1875]]))
