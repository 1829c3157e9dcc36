"""Budgets: what the one who is told of learning does is not spent, in a part as in the whole."""

from __future__ import annotations

import time

import pytest

from agents.budget import Budget


def burn(seconds):
    """Spends CPU seconds."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_what_progress_does_is_not_spent():
    budget = Budget(100, 10.0, lambda frames: burn(0.2) or True)
    assert budget.spend(1)
    assert budget.spent < 0.1
    burn(0.2)
    assert 0.2 <= budget.spent < 0.3


@pytest.mark.parametrize("kind", ["part", "rest"])
def test_nor_is_it_in_a_part(kind):
    told = []
    budget = Budget(100, 10.0, lambda frames: told.append(frames) or burn(0.2) or True)
    budget.spend(7)
    part = budget.part(0.5) if kind == "part" else budget.rest()
    assert part.spend(1)
    assert part.spent < 0.1
    assert budget.include(part)
    assert budget.spent < 0.1
    assert told == [7, 8], "the frames of the whole are told"


def test_what_a_part_has_spent_is_gone_of_the_whole():
    whole = Budget(100)
    first = whole.part(0.5)
    assert whole.share_left(first.frames) == 1
    first.spend(30)
    assert first.share_left() == pytest.approx(0.4)
    assert whole.share_left(first.frames + 5) == pytest.approx(0.65)
    whole.include(first)
    assert whole.share_left() == pytest.approx(0.7)
    assert whole.share_left(90) == 0
