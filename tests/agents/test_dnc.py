"""The DNC's memory by planted addresses: every expectation can be checked with a pencil."""

import pytest
import torch

from agents.memory.dnc import Access, DNCCore, Interface, access, allocation_weights, content_weights, link_step

N, W, R = 4, 3, 1
SURE = 200.0
"""A read or write strength that makes a content address one-hot."""


def empty() -> Access:
    """The memory when an episode begins."""
    return Access(*(torch.zeros(1, *s) for s in [(N, W), (N,), (N, N), (N,), (R, N), (N,)]))


def interface(**parts) -> Interface:
    """Writes nothing and reads by content; `parts` say otherwise."""
    plain = {
        "read_keys": torch.zeros(1, R, W), "read_strengths": torch.ones(1, R), "write_key": torch.zeros(1, 1, W),
        "write_strength": torch.ones(1, 1), "erase": torch.zeros(1, W), "write": torch.zeros(1, W),
        "free_gates": torch.zeros(1, R), "allocation_gate": torch.zeros(1, 1), "write_gate": torch.zeros(1, 1),
        "read_modes": torch.tensor([[[0.0, 1.0, 0.0]]]),
    }  # fmt: skip
    return Interface(**{**plain, **parts})


def one_hot(size: int, *at: int) -> torch.Tensor:
    """(1, len(at), size)."""
    return torch.eye(size)[list(at)][None]


def written(*words: int) -> tuple[Access, list[int]]:
    """Writes one-hot words one after the other to newly allocated places; says which."""
    state, one, places = empty(), torch.ones(1, 1), []
    for word in words:
        _, state = access(state, interface(write=torch.eye(W)[[word]], write_gate=one, allocation_gate=one))
        places.append(int(state.write_weights.argmax()))
    return state, places


def test_what_is_written_is_read_by_its_content():
    state, places = written(2, 0, 1)
    assert places[0] == 0
    assert len(set(places)) == 3
    torch.testing.assert_close(state.memory[0, places], torch.eye(W)[[2, 0, 1]], atol=1e-4, rtol=0)
    reads, after = access(state, interface(read_keys=one_hot(W, 0), read_strengths=torch.tensor([[SURE]])))
    torch.testing.assert_close(reads, one_hot(W, 0), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.read_weights, one_hot(N, places[1]), atol=1e-4, rtol=0)


def test_a_write_by_content_erases_what_was_there():
    (state, places), one = written(2, 0), torch.ones(1, 1)
    change = {"write_key": one_hot(W, 2), "write_strength": torch.tensor([[SURE]]), "erase": torch.ones(1, W)}
    _, state = access(state, interface(**change, write=torch.tensor([[0.0, 5.0, 0.0]]), write_gate=one))
    expected = torch.tensor([[0.0, 5.0, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(state.memory[0, places], expected, atol=1e-4, rtol=0)


def test_content_weights_by_hand():
    """Cosines 1, 0, 0.6 and 0 (an empty word), strength 2."""
    memory = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]])
    found = content_weights(memory, one_hot(W, 0), torch.tensor([[2.0]]))
    torch.testing.assert_close(found[0, 0], torch.tensor([2.0, 0.0, 1.2, 0.0]).softmax(0), atol=1e-4, rtol=0)


def test_allocation_by_hand():
    """Freest first: places 2 (0.1), 0 (0.5), 3 (0.8), 1 (1): 0.9; 0.5 * 0.1; 0.2 * 0.05; 0."""
    found = allocation_weights(torch.tensor([[0.5, 1.0, 0.1, 0.8]]))
    torch.testing.assert_close(found, torch.tensor([[0.05, 0.0, 0.9, 0.01]]), atol=1e-5, rtol=0)


def test_allocation_picks_the_least_used_and_the_first_of_equals():
    torch.testing.assert_close(allocation_weights(torch.tensor([[1.0, 1.0, 0.0, 1.0]])), one_hot(N, 2)[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(allocation_weights(torch.zeros(1, N)), one_hot(N, 0)[0], atol=1e-4, rtol=0)
    assert allocation_weights(torch.ones(1, N)).abs().max() < 1e-5  # nothing is free


def test_allocation_is_the_papers_sum_over_the_free_list():
    torch.manual_seed(0)
    usage = torch.rand(50, 7)
    for u, a in zip(usage, allocation_weights(usage), strict=True):
        product = 1.0
        for place in u.argsort().tolist():
            assert a[place].item() == pytest.approx((1 - u[place].item()) * product, abs=1e-5)
            product *= u[place].item()


def test_a_read_with_an_open_free_gate_frees_the_place():
    state, places = written(2, 0, 1, 2)
    assert sorted(places) == [0, 1, 2, 3]
    _, state = access(state, interface(read_keys=one_hot(W, 0), read_strengths=torch.tensor([[SURE]])))
    _, kept = access(state, interface())
    assert kept.usage.min() > 0.99  # all four are in use
    _, state = access(state, interface(free_gates=torch.ones(1, 1)))
    freed = one_hot(N, places[1])[0]
    torch.testing.assert_close(state.usage, 1 - freed, atol=1e-3, rtol=0)
    _, state = access(state, interface(write_gate=torch.ones(1, 1), allocation_gate=torch.ones(1, 1)))
    torch.testing.assert_close(state.write_weights, freed, atol=1e-3, rtol=0)  # and it is written to next


@pytest.mark.parametrize(("mode", "start", "end"), [(2, 1, 2), (2, 0, 1), (0, 2, 1), (0, 1, 0)])
def test_links_are_read_forward_and_backward(mode, start, end):
    """Three words were written one after the other: from one, forward finds the next, backward the one before."""
    state, places = written(2, 0, 1)
    state = state._replace(read_weights=one_hot(N, places[start]))
    reads, after = access(state, interface(read_modes=one_hot(3, mode)))
    torch.testing.assert_close(after.read_weights, one_hot(N, places[end]), atol=1e-3, rtol=0)
    torch.testing.assert_close(reads, one_hot(W, (2, 0, 1)[end]), atol=1e-3, rtol=0)


def test_links_by_hand():
    """Half a write to place 1 after a whole one to place 0."""
    link, precedence = link_step(torch.zeros(1, 2, 2), torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    assert not link.any()
    link, precedence = link_step(link, precedence, torch.tensor([[0.0, 0.5]]))
    assert link.tolist() == [[[0.0, 0.0], [0.5, 0.0]]]
    assert precedence.tolist() == [[0.5, 0.5]]


def test_weightings_stay_weightings():
    torch.manual_seed(0)
    core = DNCCore(5, 12, memory_size=N, word_size=W, num_reads=2)
    _, state = core(5 * torch.randn(40, 3, 5), core.initial_state(3), torch.zeros(40, 3, dtype=torch.bool))
    after = Access(*state[3:])
    for rows in (after.read_weights, after.write_weights, after.precedence, after.link, after.link.transpose(1, 2)):
        assert rows.min() >= -1e-6
        assert rows.sum(-1).max() <= 1 + 1e-5
    assert after.link.diagonal(dim1=1, dim2=2).abs().max() == 0
    assert 0 <= after.usage.min() <= after.usage.max() <= 1


def test_the_interface_is_in_its_ranges():
    core = DNCCore(5, 12, memory_size=N, word_size=W, num_reads=2)
    parts = core.parts(3 * torch.randn(6, core.interface.out_features))
    assert [tuple(part.shape) for part in parts] == [
        (6, 2, W), (6, 2), (6, 1, W), (6, 1), (6, W), (6, W), (6, 2), (6, 1), (6, 1), (6, 2, 3)
    ]  # fmt: skip
    assert min(parts.read_strengths.min(), parts.write_strength.min()) >= 1
    for gate in (parts.erase, parts.free_gates, parts.allocation_gate, parts.write_gate):
        assert 0 < gate.min() <= gate.max() < 1
    torch.testing.assert_close(parts.read_modes.sum(2), torch.ones(6, 2))
