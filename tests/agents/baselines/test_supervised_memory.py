"""Networks trained on answers alone: what they read, their papers' equations, and that they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agents.baselines import make
from agents.baselines.supervised_memory import NETWORKS, Fitted, Training, fit, make_network
from agents.baselines.supervised_memory import reader as reader_module
from agents.baselines.supervised_memory.base import last_units, loss_of, position_encoding
from agents.baselines.supervised_memory.recurrent import recurrent_cores
from agents.baselines.supervised_memory.stories import Lesson, Stories, lesson_of
from agents.budget import Budget
from reasongym.adapters.sb3 import make_vec_env
from reasongym.errors import UnknownNameError

NAMES = [*NETWORKS, *recurrent_cores()]
CPU = torch.device("cpu")


def lesson(count: int, seed: int = 0) -> Lesson:
    """Texts of one to four units "A B", question "A": which B came last with this A? (tokens 1-3 are As, 4-7 Bs.)"""
    draw = np.random.default_rng(seed)
    units, questions = np.zeros((count, 4, 2), np.int64), np.zeros((count, 1), np.int64)
    answers, support = np.zeros(count, np.int64), np.zeros((count, 4), bool)
    for p in range(count):
        n = draw.integers(1, 5)
        units[p, :n, 0], units[p, :n, 1] = draw.integers(1, 4, n), draw.integers(4, 8, n)
        asked = draw.integers(n)
        questions[p] = units[p, asked, 0]
        last = np.flatnonzero(units[p, :, 0] == questions[p]).max()
        answers[p], support[p, last] = units[p, last, 1] - 4, True
    stories = Stories.of(units, questions, CPU)
    return Lesson(stories, *(torch.as_tensor(x) for x in (answers, support, np.ones(count, bool))))


def network(name: str, **options):
    torch.manual_seed(0)
    return make_network(name, 7, 4, 2, **options)


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_company_change_nothing(name):
    """Problem by problem or together with longer ones: the same logits."""
    net, all_of = network(name).eval(), lesson(6)
    with torch.no_grad():
        together = net(all_of.stories).logits
        for p in range(6):
            alone = net(all_of.stories.take(torch.tensor([p]))).logits
            torch.testing.assert_close(alone[0], together[p], atol=1e-4, rtol=1e-4)
    assert together.shape == (6, 4)


SETTINGS = {
    "memn2n": {}, "entnet": {}, "transformer": {"learning_rate": 1e-3, "batch_size": 32},
}  # fmt: skip
"""Changes to the papers' training that make some hundred updates enough."""


@pytest.mark.parametrize("name", [*NETWORKS, "lstm"])
def test_it_learns(name):
    changes = SETTINGS.get(name, {"optimizer": "adam", "learning_rate": 2e-3, "batch_size": 32})
    options = {"linear_epochs": 2} if name == "memn2n" else {"core_size": 64} if name == "lstm" else {}
    net = network(name, **options)
    training = replace(net.defaults, **changes)
    found = fit(net, lesson(600), training, Budget(12_000))
    assert found.watched > 0.6, "chance is 0.25"
    held_out = lesson(200, seed=1)
    with torch.no_grad():
        assert (net(held_out.stories).logits.argmax(1) == held_out.answers).float().mean() > 0.55


def test_entnet_by_hand():
    """One block, one unit, identities: h = normalise(w + sigmoid(s.w + s.w) (w + w + s)); phi with slope 1 is the identity."""
    net = network("entnet", size=2, num_blocks=1)
    with torch.no_grad():
        for layer in (net.U, net.V, net.W):
            layer.weight.copy_(torch.eye(2))
        w, s = torch.tensor([0.6, 0.8]), torch.tensor([1.0, -1.0])
        net.keys.copy_(w[None])
        h, gates = net.read(s[None, None], torch.ones(1, 1, dtype=torch.bool))
    g = torch.sigmoid(2 * (s @ w))
    torch.testing.assert_close(gates[0, 0, 0], g)
    torch.testing.assert_close(h[0, 0], F.normalize(w + g * (2 * w + s), dim=0))


def test_position_encoding_by_hand():
    """J = 2, d = 2: 1 - j/J - (k/d)(1 - 2j/J) for j, k = 1, 2."""
    torch.testing.assert_close(position_encoding(2, 2), torch.tensor([[0.5, 0.5], [0.5, 1.0]]))


def test_memn2n_keeps_the_last_units():
    units = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    kept, back = last_units(units, 3)
    assert kept.tolist() == [[2, 3, 4], [0, 5, 6]]
    assert back.tolist() == [[3, 2, 1], [0, 2, 1]]


def test_memn2ns_hops_by_hand():
    """Equation by equation, two hops, no noise."""
    net, stories = network("memn2n", size=4, num_hops=2).eval(), lesson(3).stories
    encoding = position_encoding(2, 4)
    with torch.no_grad():
        for p in range(3):
            rows = stories.units[p][stories.units[p] > 0]
            sentence = lambda hop, row: (net.words[hop](stories.table[row]) * encoding).sum(-2)  # noqa: E731
            u = sentence(0, stories.question[p])
            late = torch.arange(len(rows), 0, -1)
            for hop in range(2):
                memory, output = sentence(hop, rows) + net.times[hop](late), sentence(hop + 1, rows) + net.times[hop + 1](late)
                u = u + (memory @ u).softmax(0) @ output
            torch.testing.assert_close(net(stories).logits[p], net.answers(u), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["entnet", *recurrent_cores()])
def test_a_support_loss_finds_the_unit_that_matters(name):
    batch = lesson(32)
    net = network(name).train()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = loss_of(net, batch, 1.0) - loss_of(net, batch, 0.0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    relevance = net(batch.stories).relevance
    assert relevance.shape == batch.support.shape
    assert ((relevance >= 0) & (relevance <= 1)).all()


def test_a_support_loss_by_hand():
    """Three units of two problems, one with unknown support: the mean over the units whose support is known."""

    class Fixed(torch.nn.Module):
        def forward(self, stories):
            from agents.baselines.supervised_memory import Read

            return Read(torch.zeros(2, 4), torch.tensor([[0.25, 0.5], [0.9, 0.9]]))

    stories = Stories.of(np.array([[[1, 4], [2, 5]], [[1, 4], [0, 0]]]), np.array([[1], [1]]), CPU)
    support = torch.tensor([[True, False], [True, False]])
    both = Lesson(stories, torch.tensor([0, 0]), support, torch.tensor([True, False]))
    extra = loss_of(Fixed(), both, 1.0) - loss_of(Fixed(), both, 0.0)
    assert extra.item() == pytest.approx(-(np.log(0.25) + np.log(0.5)) / 2, rel=1e-5)
    with pytest.raises(ValueError, match="takes no support loss"):
        loss_of(network("memn2n"), lesson(4), 1.0)


def test_lessons_are_the_sources_problems():
    env = make_vec_env("ReasonGym-bAbI-qa1-v0", 1, seed=0, num_problems=20)
    source = env.batch.source
    found = lesson_of(source, 20, CPU, support=True)
    for p in range(20):
        problem = source.problem(p)
        row = found.stories.table[found.stories.units[p, problem.num_units - 1]]
        assert row[row > 0].tolist() == source.tokenize(problem.story.units[problem.num_units - 1])
        assert int(found.stories.lengths[p]) == problem.num_units
        assert int(found.answers[p]) == source.choice_of(problem.answers[0])
        assert tuple(found.support[p].nonzero().flatten().tolist()) == tuple(sorted(problem.support))
    assert not lesson_of(source, 20, CPU, support=False).support_known.any()


def test_the_agent_reads_what_the_lesson_holds():
    """Played through the environment, a reader answers as its network does on the stored problem."""
    env = make_vec_env("ReasonGym-bAbI-qa1-v0", 8, seed=0, num_problems=50)
    agent = make("lstm", env, problems=50, training={"epochs": 1}).learn(200)
    found = lesson_of(env.batch.source, 50, CPU, support=False)
    with torch.no_grad():
        expected = agent.network(found.stories).logits.argmax(1)[:8]
    env.set_options([{"problem": p} for p in range(8)])
    observation, state, answered = env.reset(), None, {}
    start = np.ones(8, bool)
    while len(answered) < 8:
        actions, state = agent.act(observation, state, start)
        for i in np.flatnonzero(actions):
            answered.setdefault(int(i), int(actions[i]) - 31)
        observation, _, start, _ = env.step(actions)
    assert [answered[i] for i in range(8)] == expected.tolist()


def test_trainings_begin_anew_while_the_budget_lasts_and_the_best_stays(monkeypatch):
    env = make_vec_env("ReasonGym-bAbI-qa1-v0", 2, seed=0, num_problems=50)
    played = []

    def fit_to(watched):
        found = iter(watched)

        def fake(net, lesson, training, budget, seed):
            played.append(net)
            budget.spend(100)
            return Fitted(next(found), 1, 50)

        return fake

    training = {"epochs": 1, "restarts": 3}
    for watched, trainings, best, budget in (
        ((0.2, 0.8, 0.5, 0.8), 4, 1, 1_000),  # the first of the best
        ((0.2, 1.0), 2, 1, 1_000),  # nothing is left to be learned
        ((0.4, 0.3), 2, 0, 200),  # nothing is left to be spent
    ):
        played.clear()
        monkeypatch.setattr(reader_module, "fit", fit_to(watched))
        agent = make("memn2n", env, problems=50, training=training).learn(budget)
        assert len(played) == trainings
        assert agent.network is played[best]
        assert agent.fitted == (max(watched), trainings, 50 * trainings)
    first, second = (next(net.parameters()) for net in played)
    assert not torch.equal(first, second)


def test_spans_and_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match=r"unknown network 'memn2m'.*did you mean 'memn2n'"):
        make_network("memn2m", 7, 4, 2)
    with pytest.raises(UnknownNameError, match="unknown optimizer"):
        Training(optimizer="adamm")
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        Training(learning_rate=0.0)
    with pytest.raises(ValueError, match="at least two problems"):
        fit(network("entnet"), lesson(1), Training(), Budget(10))
