"""Labelled solutions that several test modules share."""

from __future__ import annotations

from reasongym.prm.records import StepRecord

MADE = [
    StepRecord.of("What is 2 + 3?", ["2 + 3 = 5.", "So it is 5."], [1.0, 1.0], outcome=1, meta={"group": "easy"}),
    StepRecord.of("What is 2 + 3?", ["2 + 3 = 6.", "So it is 6."], [-1.0, None], outcome=0, meta={"group": "easy"}),
    StepRecord.of("Is 9 prime?", ["9 = 3 * 3.", "So 9 is prime."], [1.0, -1.0], outcome=0, meta={"group": "hard"}),
    StepRecord.of(
        "Is 7 prime?", ["7 has no divisor below it but 1.", "So yes."], [1.0, 1.0], outcome=1, meta={"group": "hard"}
    ),
]
