"""What judging has cost, and the bound on what it may cost."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from reasongym.prm.judge.errors import CostError
from reasongym.prm.judge.questions import Question

TEMPLATE_TOKENS = 64
"""Most tokens that a chat template adds to system and user text, for the bound on a call's cost."""


@dataclass
class Ledger:
    """Running totals of one judge.

    Attributes:
        questions: asked, repeated ones within a batch counted once.
        hits: of those, answered from the store without a call.
        calls: answered by the model; for a server, requests that brought a reply.
        failed: requests that brought none.
        retries: repeated requests that the client made for its replies.
        tokens_in, tokens_out: tokens read and written; a local model counts what it computed, a shared prefix once.
        seconds: time spent waiting for the model.
        cost: in the unit of `price`, failed calls that may have been billed included at their bound.
        scored, unscored: verdicts.
        mass, masses: sum and number of label masses, hits included; `mean_mass` is their ratio.
        human_label_bits: bits of human labels that calibration has read.
    """

    questions: int = 0
    hits: int = 0
    calls: int = 0
    failed: int = 0
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    scored: int = 0
    unscored: int = 0
    mass: float = 0.0
    masses: int = 0
    human_label_bits: float = 0.0

    @property
    def mean_mass(self) -> float:
        """Mean probability of the labels together; NaN before the first."""
        return self.mass / self.masses if self.masses else math.nan

    def as_dict(self) -> dict[str, float]:
        """All totals, for a result file."""
        return asdict(self) | {"mean_mass": self.mean_mass}


class Budget:
    """Keeps the cost of finished and running calls below a bound.

    Before a call its highest cost is set aside (no tokenizer makes more tokens than a text has bytes); afterwards its true
    cost is entered. A call that could break the bound waits for running ones, and is refused when none runs.

    Args:
        ledger: where the cost is entered.
        price: per million tokens, (in, out).
        max_cost: the bound, in the same unit.
        attempts: how often a call may be made; one that times out may have been billed each time.

    Raises:
        ValueError: a negative price, or a bound without a price: it would bound nothing.
    """

    def __init__(self, ledger: Ledger, price: tuple[float, float], max_cost: float, attempts: int = 1) -> None:
        if len(price) != 2 or min(price) < 0:
            raise ValueError(f"price must be two non-negative numbers per million tokens, (in, out), got {price!r}")
        if max_cost < math.inf and not max(price):
            raise ValueError(f"max_cost={max_cost!r} bounds nothing without price=(in, out) per million tokens")
        self.ledger, self.price, self.max_cost = ledger, price, max_cost
        self.attempts, self.reserved = attempts, 0.0

    def most(self, question: Question) -> float:
        """The highest cost that the question's call can have, all attempts together."""
        return self.once(question) * self.attempts

    def once(self, question: Question) -> float:
        """The highest cost of one attempt."""
        tokens = len(question.system.encode()) + len(question.content.encode()) + TEMPLATE_TOKENS
        return self.cost(tokens, question.max_tokens)

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """Of so many tokens."""
        return (tokens_in * self.price[0] + tokens_out * self.price[1]) / 1e6

    def fits(self, question: Question) -> bool:
        """Whether the call can start now; sets its highest cost aside if so.

        Raises:
            CostError: it cannot, and no running call will make room.
        """
        most = self.most(question)
        if self.ledger.cost + self.reserved + most <= self.max_cost:
            self.reserved += most
            return True
        if self.reserved <= 1e-12:
            raise CostError(
                f"{self.ledger.cost:.6g} of max_cost={self.max_cost:g} is spent, and the next call may cost {most:.3g}; "
                "what was paid for is stored: raise max_cost to go on"
            )
        return False

    def settle(self, question: Question, cost: float) -> None:
        """Enters a finished call's cost for what was set aside."""
        self.reserved -= self.most(question)
        self.ledger.cost += cost
