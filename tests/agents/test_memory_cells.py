"""The contract of a memory cell, for every registered one."""

from pathlib import Path

import pytest
import torch

from agents.memory import CORES
from agents.memory.recurrent import pieces
from agents.memory.sequences import cut

T, B, D = 23, 5, 6


@pytest.fixture(params=sorted(CORES))
def core(request):
    torch.manual_seed(0)
    return CORES[request.param](D, 8)


def sequence(core):
    """Inputs, a state that the core reached, and resets."""
    torch.manual_seed(1)
    with torch.no_grad():
        _, state = core(2 * torch.randn(4, B, D), core.initial_state(B), torch.zeros(4, B, dtype=torch.bool))
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


def test_states_keep_their_shapes(core):
    x, reached, reset = sequence(core)
    fresh = core.initial_state(B)
    _, last = core(x, reached, reset)
    for state in (reached, last, core(x[:1], fresh, reset[:1])[1]):
        assert [s.shape for s in state] == [s.shape for s in fresh]
        assert all(len(s) == B for s in state)
    if core.recurrent:
        assert any((a - b).abs().max() > 1e-3 for a, b in zip(reached, fresh, strict=True))


def test_episodes_do_not_see_each_other(core):
    """Neither another column nor what came before an episode's start has a gradient."""
    x, state, _ = sequence(core)
    x.requires_grad_()
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[9, 2] = True
    y, _ = core(x, state, reset)
    y[-1, 2].sum().backward()
    assert x.grad[-1, 2].abs().sum() > 0
    assert x.grad[:9].abs().sum() == 0
    assert x.grad[:, [0, 1, 3, 4]].abs().sum() == 0
    if core.recurrent:
        assert x.grad[9, 2].abs().sum() > 0


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_no_nan_gradients_on_a_fresh_memory(core, scale):
    x = (scale * torch.randn(T, B, D)).requires_grad_()
    y, last = core(x, core.initial_state(B), torch.zeros(T, B, dtype=torch.bool))
    (y.square().sum() + sum(s.square().sum() for s in last)).backward()
    assert torch.isfinite(x.grad).all()
    for name, parameter in core.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


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


def test_a_cut_by_hand():
    """Two columns of four steps; an episode begins in the first at 1 and 3, in the second at 0."""
    reset = torch.tensor([[0, 1], [1, 0], [0, 0], [1, 0]], dtype=torch.bool)
    found = {tuple(row) for row in torch.stack(cut(reset), 1).tolist()}
    assert found == {(0, 4, 1, 1), (0, 1, 0, 0), (1, 2, 0, 1), (3, 1, 0, 1)}
    assert cut(reset).length.tolist() == [4, 2, 1, 1]


@pytest.mark.parametrize("name", ["dnc", "rmc"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=r"must be at least 1, got 0"):
        CORES[name](D, 8, **{"dnc": {"word_size": 0}, "rmc": {"num_heads": 0}}[name])


@pytest.mark.parametrize("name", ["dnc", "rmc"])
def test_it_begins_to_learn_to_copy(name, monkeypatch):
    """One vector of eight bits is said back after a mark, and two better than by chance."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "examples"))
    import copy_task

    model = copy_task.train(name, iterations=300, longest=2)
    generator = torch.Generator().manual_seed(1)
    assert copy_task.share_right(model, 1, generator) > 0.99
    assert copy_task.share_right(model, 2, generator) > 0.65
