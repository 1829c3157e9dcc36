"""The contract of a memory cell, for every registered one."""

import pytest
import torch

from agents.memory import CORES
from agents.memory.recurrent import pieces

T, B, D = 23, 5, 6


@pytest.fixture(params=sorted(CORES))
def core(request):
    torch.manual_seed(0)
    return CORES[request.param](D, 8)


def sequence(core):
    torch.manual_seed(1)
    state = tuple(torch.randn_like(s) for s in core.initial_state(B))
    return torch.randn(T, B, D), state, torch.rand(T, B) < 0.2


def test_a_sequence_is_its_steps(core):
    x, state, reset = sequence(core)
    whole, last = core(x, state, reset)
    assert whole.shape == (T, B, core.output_size)
    for t in range(T):
        y, state = core(x[t : t + 1], state, reset[t : t + 1])
        torch.testing.assert_close(y[0], whole[t], atol=1e-5, rtol=0)
    for a, b in zip(last, state, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_a_reset_is_a_fresh_state(core):
    x, state, _ = sequence(core)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[7] = True
    y, _ = core(x, state, reset)
    fresh, _ = core(x[7:], core.initial_state(B), torch.zeros(T - 7, B, dtype=torch.bool))
    torch.testing.assert_close(y[7:], fresh, atol=1e-5, rtol=0)


def test_gradients_of_a_sequence_are_those_of_its_steps(core):
    x, state, reset = sequence(core)
    grads = []
    for stepwise in (False, True):
        core.zero_grad()
        x_, s = x.clone().requires_grad_(), state
        if stepwise:
            outputs = []
            for t in range(T):
                y, s = core(x_[t : t + 1], s, reset[t : t + 1])
                outputs.append(y)
            total = torch.cat(outputs)
        else:
            total = core(x_, s, reset, final_state=False)[0]
        total.square().sum().backward()
        grads.append([x_.grad, *(p.grad for p in core.parameters())])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_pieces_cover_every_frame_once():
    torch.manual_seed(2)
    reset = torch.rand(T, B) < 0.3
    frames = torch.cat([group.frames[group.inside] for group in pieces(reset)])
    assert sorted(frames.tolist()) == list(range(T * B))
