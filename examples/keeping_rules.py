"""What simple rules of keeping leave in working memory: `python examples/keeping_rules.py [--help]`.

    python examples/keeping_rules.py --json examples/results/keeping_rules.json

Stories made to order are read sentence by sentence with a few slots of one sentence each. Every rule knows, as `prudence` does,
what would be needed if the text ended with what was read (the world's solver says it), stores that, over something that is not
needed where memory is full, and differs from the others in what it does with the rest. Counted are the stories at whose end
memory holds the whole support, and of the sentences that nothing showed to matter when they were read, those that the answer
needs after all: the chance that a charge for storing has to be weighed against.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from agents.provenance import result_file
from reasongym.envs import build
from reasongym.metrics import wilson
from reasongym.types import ProblemSource

RULES = {
    "what is needed so far, and nothing else": "leave",
    "also the rest, over the oldest": "oldest",
    "also the rest, while there is room": "room",
    "also the rest, over the oldest that is not needed": "spare",
}
"""By description, what becomes of a sentence that is not needed so far: it is passed over; or it is stored over the oldest, in
an empty slot alone, or over the oldest that is not needed."""


def read(needed: list[set[int]], slots: int, rest: str) -> list[int]:
    """What memory holds at the end of a story, whose sentence t is read when `needed[t]` would be needed: oldest first."""
    held: list[int] = []
    for unit, matter in enumerate(needed):
        spare = [other for other in held if other not in matter]
        if len(held) < slots:
            if unit in matter or rest != "leave":
                held.append(unit)
        elif unit in matter or rest in ("oldest", "spare"):
            gives_way = held if rest == "oldest" and unit not in matter else spare
            if gives_way:
                held.remove(gives_way[0])
                held.append(unit)
    return held


def play(source: ProblemSource, problems: int, slots: int) -> dict[str, object]:
    """How many stories end with their support in memory, by rule; and how many sentences matter only later."""
    kept = dict.fromkeys(RULES, 0)
    unknown = late = 0
    for index in range(problems):
        problem = source.problem(index)
        support = set(problem.support)
        needed = [set(source.needed(index, unit + 1)) for unit in range(problem.num_units)]
        open_ones = {unit for unit, matter in enumerate(needed) if unit not in matter}
        unknown, late = unknown + len(open_ones), late + len(open_ones & support)
        for name, rest in RULES.items():
            kept[name] += support <= set(read(needed, slots, rest))
    rules = {name: {"share": count / problems, "interval": wilson(count, problems)} for name, count in kept.items()}
    later = {"sentences": unknown, "share": late / unknown}
    return {"problems": problems, "slots": slots, "needed_later": later, "rules": rules}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=int, default=2, help="of bAbI, made to order")
    parser.add_argument("--max-units", type=int, default=12)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--problems", type=int, default=4_000, help="of the validation split")
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--smoke", action="store_true", help="few problems")
    options = parser.parse_args()
    source, _ = build("babi", (options.task,), {"split": "validation", "difficulty": {"max_units": options.max_units}})
    found = play(source, 20 if options.smoke else options.problems, options.slots)
    result = {"task": options.task, "max_units": options.max_units, **found}
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
