"""The reward tree: criteria in words, named by comparing solutions, selected for each step, scored, and set against each other.

    embedding                a sentence as a vector (`sentence_embedder`: by a pretrained model)
    thresholds, clustering   which two sentences are one criterion, and which share a parent
    differ                   raw criteria from pairs of solutions
    tree, growth, picture    the tree, its next version, how it looks
    context, aspects         what a step is judged in, and on what it should be judged
    selection                which criteria a step is judged on
    judged                   a language model as scorer of a step on a criterion in words
    conditioned              a trainable scorer of a step on a criterion in words
    prm                      all of it as a process reward model
    pareto                   preference pairs

Importing this loads neither `torch` nor `transformers`.
"""

from reasongym.prm.tree.aspects import AspectReader, JudgedAspects, RelationAspects
from reasongym.prm.tree.conditioned import ConditionedScorer, ConditionedSettings, Example, examples_of
from reasongym.prm.tree.context import Complete, Context, CriterionScorer, contexts_of
from reasongym.prm.tree.differ import JudgedDiffer, RuleDiffer, raw_criteria
from reasongym.prm.tree.embedding import Embedder, HashedEmbedder
from reasongym.prm.tree.growth import grow, merge, recluster
from reasongym.prm.tree.judged import JudgeCriterionScorer
from reasongym.prm.tree.pareto import Group, Pair, pareto_front, pareto_pairs, read_pairs, write_pairs
from reasongym.prm.tree.picture import draw_tree
from reasongym.prm.tree.prm import TreePRM
from reasongym.prm.tree.selection import AllCriteria, DynamicSelection, FixedSelection, RandomSelection, Selection
from reasongym.prm.tree.sentence_embedder import SentenceEmbedder
from reasongym.prm.tree.thresholds import Thresholds, choose_thresholds, labelled_criteria
from reasongym.prm.tree.tree import Coarse, Fine, RewardTree, empty_tree

__all__ = [
    "AllCriteria", "AspectReader", "Coarse", "Complete", "ConditionedScorer", "ConditionedSettings", "Context",
    "CriterionScorer", "DynamicSelection", "Embedder", "Example", "Fine", "FixedSelection", "Group", "HashedEmbedder",
    "JudgeCriterionScorer", "JudgedAspects", "JudgedDiffer", "Pair", "RandomSelection", "RelationAspects", "RewardTree",
    "RuleDiffer", "Selection", "SentenceEmbedder", "Thresholds", "TreePRM", "choose_thresholds", "contexts_of", "draw_tree",
    "empty_tree", "examples_of", "grow", "labelled_criteria", "merge", "pareto_front", "pareto_pairs", "raw_criteria",
    "read_pairs", "recluster", "write_pairs",
]  # fmt: skip
