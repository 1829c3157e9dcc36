"""A task of one's own: any object that keeps `reasongym.types.ProblemSource` is a data set; this one is a shell game.

    python examples/add_a_task.py

A source hands out problem i as a pure function of i. `support` and `prerequisites` feed the process rewards and the expert; a
source that does not know them says `support=None`, and goal, logic and coverage are unscored.
"""

import argparse

import gymnasium as gym

from reasongym.audit.accuracy import baselines
from reasongym.registration import ENTRY_POINT, VECTOR_ENTRY_POINT
from reasongym.seeding import Draws, hash64
from reasongym.types import Problem, Story

CUPS = ("red", "blue", "green")
COIN = 1 << len(CUPS)  # the bit of the coin; cup c has the bit 1 << c


class ShellGame:
    """A coin under a cup, and cups that change places: where is it in the end?"""

    name, fingerprint = "shell-game", "1"
    vocabulary = ("the", "coin", "is", "under", "cup", "and", "change", "places", "which", *CUPS)
    choices = CUPS
    kinds, choice_kinds = ("cup",), (1, 1, 1)  # bit 0: every choice is a cup
    entities = (*CUPS, "coin")
    unit_tokens, question_tokens = 9, 7

    def __init__(self, num_problems: int = 10_000, swaps: int = 8) -> None:
        self.num_problems, self.max_units = num_problems, swaps + 1

    def problem(self, index: int) -> Problem:
        draws = Draws(hash64(f"{self.name}/{index}"))
        place = draws.below(3)
        units, entities, support = [f"The coin is under the {CUPS[place]} cup."], [COIN | 1 << place], [0]
        for i in range(1, self.max_units):
            a, b = draws.shuffled(range(3))[:2]
            units.append(f"The {CUPS[a]} cup and the {CUPS[b]} cup change places.")
            entities.append(1 << a | 1 << b)
            if place in (a, b):
                place = a + b - place
                support.append(i)
        moved = support[1] if len(support) > 1 else -1  # the first sentence is untrue from here on
        story = Story(tuple(units), (moved, *[-1] * (len(units) - 1)), tuple(entities), tuple(range(len(units))))
        earlier = tuple((1 << position) - 1 for position in range(len(support)))  # each fact needs all before it
        return Problem(
            f"{self.name}/{index}", 1, story, len(units), "Under which cup is the coin?", COIN, "cup", (CUPS[place],),
            tuple(support), earlier,
        )  # fmt: skip

    def tokenize(self, text: str) -> list[int]:
        return [self.vocabulary.index(word) + 1 for word in text.lower().rstrip(".?").split()]

    def choice_of(self, answer: str) -> int:
        return self.choices.index(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="few problems")
    played = 100 if parser.parse_args().smoke else 2_000
    gym.register("ShellGame-v0", ENTRY_POINT, vector_entry_point=VECTOR_ENTRY_POINT, kwargs={"dataset": ShellGame()})
    env = gym.make("ShellGame-v0")
    env.reset(seed=0, options={"problem": 0})
    reward, ended = 0.0, False
    while not ended:
        _, earned, ended, _, info = env.step(env.unwrapped.expert_action())  # type: ignore[attr-defined]
        reward += float(earned)
    print(f"{env.action_space}; the expert answers {info['answer']} in {info['episode_length']} steps and earns {reward:.2f}")
    for name, found in baselines("ShellGame-v0", most=played).items():
        print(f"{name:10} {found.share:6.1%} of {found.played} problems")


if __name__ == "__main__":
    main()
