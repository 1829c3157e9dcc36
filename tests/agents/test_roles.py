"""Sentences read by roles, and compared."""

from __future__ import annotations

import pytest
import torch

from agents.frames import link_before
from agents.policy import MemoryPolicy
from agents.ppo import MemoryPPO
from agents.roles import LINKS, Roles
from reasongym.adapters.sb3 import make_vec_env

V, L, R, D, E = 9, 5, 3, 8, 32

TABLE = torch.tensor([
    [0, 0, 0, 0, 0],
    [1, 2, 3, 0, 0],
    [4, 5, 6, 7, 8],
    [3, 2, 1, 0, 0],
])  # fmt: skip


@pytest.fixture
def roles():
    torch.manual_seed(0)
    return Roles(V, L, R, D)


def columns(question, unit, memory, chain, sizes):
    return {
        "question": torch.tensor(question), "unit": torch.tensor(unit), "memory": torch.tensor(memory),
        "chain": torch.tensor(chain), "chain_size": torch.tensor(sizes),
    }  # fmt: skip


def test_a_role_is_a_mean_of_contents(roles):
    read = roles.read(TABLE)
    assert read.shape == (4, R, E)
    assert not read[0].any()
    inside = torch.linalg.lstsq(roles.content.weight[1:4].T, read[1].T)  # weights of words 1, 2, 3
    torch.testing.assert_close(inside.solution.sum(0), torch.ones(R))
    assert (inside.solution > 0).all()


def test_padding_changes_nothing(roles):
    wide = torch.cat([TABLE[:, :3], torch.zeros(4, 2, dtype=torch.long)], 1)
    torch.testing.assert_close(roles.read(wide)[1], roles.read(TABLE)[1])


def test_the_order_of_words_is_seen(roles):
    assert not torch.allclose(roles.read(TABLE)[1], roles.read(TABLE)[3])


def test_scores_are_the_inner_products_two_by_two(roles):
    c = columns([1], [2], [[[3, 0], [2, 1]]], [[[1, 0], [2, 3]]], [2])
    added, alike = roles(TABLE, c)
    read = roles.read(TABLE)
    told = [read[1], read[2], read[2] + read[3], read[1], torch.zeros(R, E)]  # question, desk, links from the last
    pairs = [(told[i] @ told[j].T).flatten() for i in range(5) for j in range(i + 1, 5)]
    assert alike.shape == (1, roles.num_scores)
    torch.testing.assert_close(alike[0], torch.cat(pairs))
    wanted = torch.cat([told[0], told[2]])
    held = [read[3], read[2] + read[1]]
    scores = torch.stack([(slot @ wanted.T).flatten() for slot in held])
    torch.testing.assert_close(added[0], roles.slots(scores))


def test_what_is_not_there_is_like_nothing(roles):
    added, alike = roles(TABLE, columns([1], [0], [[[0, 0]]], [[[0, 0]]], [0]))
    assert not added.any()
    assert not alike.any()
    empty = columns([1], [2], [[[0, 0]]], [[[0, 0]]], [0])
    empty["memory"] = empty["chain"] = torch.zeros(1, 0, 2, dtype=torch.long)
    assert roles(TABLE, empty)[0].shape == (1, 0, D)


def test_links_before_the_first_are_none():
    chain = torch.tensor([[[5, 6], [7, 8]]])
    found = [link_before(chain, torch.tensor([2 - back])).tolist() for back in range(LINKS)]
    assert found == [[[7, 8]], [[5, 6]], [[0, 0]]]


def test_a_policy_with_roles_acts_and_permutes_slots():
    env = make_vec_env("ReasonGym-bAbI-qa1-v0", 4, seed=0, memory_slots=3)
    torch.manual_seed(0)
    policy = MemoryPolicy(env.observation_space, env.action_space, lambda _: 1e-3, core="none", num_roles=4)
    assert sum(p.numel() for p in policy.encoder.roles.parameters())
    observation = env.reset()
    for _ in range(3):
        observation, *_ = env.step(observation["action_mask"].argmax(1) + 1)  # stores
    tensors = {key: torch.as_tensor(value) for key, value in observation.items()}
    K = 3
    order = [0, *(1 + kind * K + slot for kind in range(3) for slot in (1, 0, 2)), *range(1 + 3 * K, env.action_space.n)]
    turned = {key: tensors[key][:, [1, 0, 2]] for key in ("memory", "memory_features", "memory_positions")}
    turned = {**tensors, **turned, "action_mask": tensors["action_mask"][:, order]}
    reset = torch.zeros(4, dtype=torch.bool)
    with torch.no_grad():
        one, two = (policy(batch, (), reset).log_probs for batch in (tensors, turned))
    torch.testing.assert_close(two, one[:, order], atol=1e-5, rtol=1e-4)


def test_natural_text_has_no_roles():
    env = make_vec_env("ReasonGym-SQuAD2-v0", 2, seed=0, memory_slots=2)
    with pytest.raises(ValueError, match="num_roles=4"):
        MemoryPolicy(env.observation_space, env.action_space, lambda _: 1e-3, core="none", num_roles=4)


@pytest.mark.parametrize(("kwargs", "said"), [({"num_roles": -1}, "whole number"), ({"num_roles": 2.5}, "whole number"),
                                              ({"num_roles": 2, "encoder": "flat"}, "encoder='reader'")])  # fmt: skip
def test_what_cannot_be_is_refused(kwargs, said):
    env = make_vec_env("ReasonGym-bAbI-qa1-v0", 2, seed=0)
    with pytest.raises(ValueError, match=said):
        MemoryPPO("MemoryPolicy", env, policy_kwargs=kwargs)
