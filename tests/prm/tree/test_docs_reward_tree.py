"""The worked examples of docs/reward_tree.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from reasongym.prm.tree.embedding import HashedEmbedder
from reasongym.prm.tree.pareto import Group, dominance, pareto_front, pareto_pairs, without_gaps
from reasongym.prm.tree.thresholds import choose_thresholds

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reward_tree.md").read_text()


def test_the_thresholds_of_the_page():
    choice = choose_thresholds(HashedEmbedder())
    row = next(line for line in PAGE.splitlines() if line.startswith("| `HashedEmbedder()`"))
    told = [float(cell) for cell in row.split("|")[2:-1]]
    pairs = [(choice.chosen[name], choice.held_out[name]) for name in ("fine_ari", "coarse_ari", "aspect_f1")]
    found = [*vars(choice.thresholds).values(), *(number for pair in pairs for number in pair)]
    assert found == pytest.approx(told, abs=0.006)


def test_the_pareto_examples_of_the_page():
    table = PAGE.split("| scores | dominates | front | pairs |")[1].strip().split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    assert len(rows) == 3
    for scores, dominates, front, told in rows:
        points = [[float("nan" if x.strip() == "–" else x.replace("−", "-")) for x in point.split(",")]
                  for point in re.findall(r"\(([^)]*)\)", scores)]  # fmt: skip
        array = np.array(points)
        kept, _ = without_gaps(array)
        assert {(a + 1, b + 1) for a, b in np.argwhere(dominance(kept)).tolist()} == {
            (int(a), int(b)) for a, b in re.findall(r"(\d) › (\d)", dominates)
        }
        assert np.flatnonzero(pareto_front(kept)) + 1 == pytest.approx([int(n) for n in front.split(",")])
        names = tuple(str(i + 1) for i in range(len(array)))
        group = Group("", (), names, tuple(f"c{i}" for i in range(array.shape[1])), array, "p")
        pairs, _ = pareto_pairs([group], per_group=9, per_problem=9, margin=0.01)
        assert {(p.chosen, p.rejected) for p in pairs} == set(re.findall(r"\((\d), (\d)\)", told))
