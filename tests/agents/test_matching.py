"""Questions and sentences, matched word by word."""

from __future__ import annotations

import pytest
import torch

from agents.matching import QuestionMatch

E, SIZE = 16, 8


@pytest.fixture
def match():
    torch.manual_seed(0)
    return QuestionMatch(E, SIZE, hidden_size=12)


@pytest.fixture
def content():
    """Contents of 9 words at right angles, word 0 none; word 3 weighs three times as much as the others."""
    rows = torch.zeros(10, E)
    rows[1:, :9] = torch.eye(9)
    rows[3] *= 3
    return rows


TABLE = torch.tensor([
    [0, 0, 0, 0, 0],
    [1, 2, 3, 0, 0],  # a question
    [3, 2, 1, 5, 0],  # says all of its words
    [1, 2, 6, 7, 8],  # all but the heavy one
    [9, 8, 0, 0, 0],  # none
])  # fmt: skip


def test_what_is_found_and_what_is_missing(match, content):
    _, scores = match(torch.tensor([1]), torch.tensor([[2, 3, 4, 0]]), TABLE, content)
    found, missing = scores[0].T.tolist()
    assert found == pytest.approx([1.0, 2 / 5, 0.0, 0.0])  # weights 1, 1, 3 of 5
    assert missing == pytest.approx([0.0, 3 / 5, 3 / 5, 0.0])


def test_a_pair_is_the_same_in_whatever_company(match, content):
    questions, sentences = torch.tensor([1, 2, 1]), torch.tensor([[2, 0, 3], [1, 4, 4], [3, 2, 0]])
    vectors, scores = match(questions, sentences, TABLE, content)
    assert vectors.shape == (3, 3, SIZE)
    assert scores.shape == (3, 3, 2)
    for f, s in ((0, 0), (0, 2), (1, 0), (1, 1), (2, 1)):
        alone, score = match(questions[f : f + 1], sentences[f : f + 1, s : s + 1], TABLE[:, :5], content)
        torch.testing.assert_close(vectors[f, s], alone[0, 0])
        torch.testing.assert_close(scores[f, s], score[0, 0])
    torch.testing.assert_close(vectors[0, 0], vectors[2, 1])
    assert not vectors[0, 1].any()
    assert not scores[2, 2].any()


def test_padding_and_the_order_of_words_change_nothing(match, content):
    shuffled = TABLE.clone()
    shuffled[2] = torch.tensor([5, 1, 0, 2, 3])
    wider = torch.nn.functional.pad(shuffled, (0, 4))
    vectors, _ = match(torch.tensor([1]), torch.tensor([[2, 3]]), TABLE, content)
    others, _ = match(torch.tensor([1]), torch.tensor([[2, 3]]), wider, content)
    torch.testing.assert_close(vectors, others)


def test_without_sentences(match, content):
    vectors, scores = match(torch.tensor([1, 2]), torch.zeros(2, 0, dtype=torch.long), TABLE, content)
    assert vectors.shape == (2, 0, SIZE)
    assert scores.shape == (2, 0, 2)
    vectors, _ = match(torch.tensor([0]), torch.tensor([[2]]), TABLE, content)  # a question not yet asked
    assert torch.isfinite(vectors).all()


def test_it_learns_which_other_words_mean_the_same(match, content):
    """Word 2 of the question is said as word 5: gradients reach the contents of both."""
    content = content.clone().requires_grad_()
    vectors, scores = match(torch.tensor([1]), torch.tensor([[2]]), TABLE, content)
    (vectors.square().sum() + scores.sum()).backward()
    assert content.grad[1:4].abs().sum(1).min() > 0
    assert content.grad[5].abs().sum() > 0
    assert not content.grad[9].any()
