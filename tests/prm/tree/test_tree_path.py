"""The whole path with rule judges: pairs of episodes, criteria, a tree, scores, preference pairs. Plumbing, no claim."""

from __future__ import annotations

import json

import numpy as np

import reasongym  # noqa: F401
from reasongym.audit.collect import collect
from reasongym.audit.corruption import Planter
from reasongym.prm.tree.aspects import content_words
from reasongym.prm.tree.differ import RuleDiffer, raw_criteria
from reasongym.prm.tree.embedding import HashedEmbedder
from reasongym.prm.tree.growth import grow
from reasongym.prm.tree.pareto import pareto_pairs, read_pairs, write_pairs
from reasongym.prm.tree.prm import TreePRM
from reasongym.prm.tree.selection import DynamicSelection
from reasongym.prm.tree.thresholds import choose_thresholds, labelled_criteria
from reasongym.prm.tree.tree import RewardTree, empty_tree


class Rules:
    """Two rules in place of a model: repeating and irrelevance, each by shared words; what they do not know is unscored."""

    version = "rules"

    def __init__(self):
        self._owner = {text: c.name for c in labelled_criteria() for text in c.wordings}

    def score(self, contexts, criteria):
        return np.array([self._one(*pair) for pair in zip(contexts, criteria, strict=True)], np.float32)

    def _one(self, context, criterion):
        said = content_words(context.step)
        if self._owner.get(criterion) == "redundant_step":
            return -1.0 if said in [content_words(step) for step in context.earlier] else 1.0
        if self._owner.get(criterion) == "irrelevant_fact":
            known = content_words(" ".join((context.prompt, *context.earlier)))
            return 2 * len(said & known) / max(1, len(said)) - 1
        return np.nan


def test_the_whole_path(tmp_path):
    problems = np.arange(40)
    sound, wrong = (collect("ReasonGym-bAbI-qa2-v0", Planter(("redundant step", "irrelevant fact"), rate=rate), problems)
                    for rate in (0.0, 1.0))  # fmt: skip
    pairs = [pair for pair in zip(sound, wrong, strict=True) if pair[1].meta["error_class"] != "none"]
    assert len(pairs) > 30
    raw = raw_criteria(RuleDiffer(), pairs)
    assert len(raw.criteria) >= len(pairs)

    embedder = HashedEmbedder()
    tree = grow(empty_tree(embedder, choose_thresholds(embedder).thresholds), raw.criteria, embedder)
    assert sum(fine.support for fine in tree.fine) == len(raw.criteria)
    assert tree.largest_share <= 0.5
    tree.save(tmp_path / "tree.json")
    prm = TreePRM(RewardTree.load(tmp_path / "tree.json"), Rules(), DynamicSelection(embedder))

    first, second = prm.score_records(sound), prm.score_records([*wrong, *sound])
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second[len(wrong) :], strict=True))

    def at_the_fork(good, bad):
        t = bad.meta["error_step"]
        return prm.group(good.prompt, good.steps[:t], (good.steps[t], bad.steps[t]), problem=str(good.meta["problem"]))

    forks = [(a, b) for a, b in pairs if a.steps[: b.meta["error_step"]] == b.steps[: b.meta["error_step"]]]
    made, report = pareto_pairs([at_the_fork(*fork) for fork in forks], margin=0.05)
    assert report.pairs == len(made) > 0
    assert report.groups_seen == len(forks)
    assert all(any({pair.chosen, pair.rejected} <= {*a.steps, *b.steps} for a, b in forks) for pair in made)
    write_pairs(made, tmp_path / "pairs.jsonl")
    assert read_pairs(tmp_path / "pairs.jsonl") == made
    assert set(json.loads((tmp_path / "pairs.jsonl").read_text().splitlines()[0])) >= {
        "prompt",
        "prefix",
        "chosen",
        "rejected",
        "margin",
    }
