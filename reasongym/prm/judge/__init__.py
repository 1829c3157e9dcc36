"""Another language model as process reward model: `Judge`, and what it is made of.

Questions, replies, verdicts, the store of paid replies, the ledger, a local model, the client of a server. Importing this loads
neither `torch` nor `openai`; making a judge loads what it asks.
"""

from reasongym.prm.judge.errors import CapabilityError, CostError, JudgeError
from reasongym.prm.judge.ledger import Ledger
from reasongym.prm.judge.model import LanguageModel
from reasongym.prm.judge.prm import Judge, step_text
from reasongym.prm.judge.questions import Rubric, read_rubric
from reasongym.prm.judge.verdicts import Verdict

__all__ = [
    "CapabilityError",
    "CostError",
    "Judge",
    "JudgeError",
    "LanguageModel",
    "Ledger",
    "Rubric",
    "Verdict",
    "read_rubric",
    "step_text",
]
