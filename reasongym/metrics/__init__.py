"""What results are reported with: intervals, the scores of question answering, and how well a chain follows a tale.

All of it needs the standard library alone, but for `bleu` and `meteor`, which import the extra `text` when they are called, and
for statistics over runs and tasks, which need NumPy: `reasongym.metrics.aggregate`.
"""

from __future__ import annotations

from reasongym.metrics.chains import chain_order, entities, entity_share
from reasongym.metrics.generated import bleu, meteor, rouge_l
from reasongym.metrics.squad import exact_match, f1, normalize, squad_report
from reasongym.metrics.statistics import adjusted_rand, auc, wilson

__all__ = [
    "adjusted_rand",
    "auc",
    "bleu",
    "chain_order",
    "entities",
    "entity_share",
    "exact_match",
    "f1",
    "meteor",
    "normalize",
    "rouge_l",
    "squad_report",
    "wilson",
]
