"""Play an episode in words: replies go in, situations come out. Any function from a chat to a reply can stand in for `reply`.

python examples/text_episode.py
"""

import argparse

import gymnasium as gym

import reasongym  # noqa: F401 (registers the ids)

REPLIES = (
    "John's place may matter, but he may still move.\nnext",
    "I keep who has the football.\nstore 1: John has got the football",
    "Sandra has nothing to do with it.\nskip",
    "next",
    "- `Store 2: John went to the bedroom.`",
    "The football is where John is.\nrecall 2",
    "answer Bedroom.",
)


def reply(messages: list[dict[str, str]], turn: int) -> str:
    """What a language model would say to the chat; here it is known beforehand."""
    return REPLIES[turn]


def main() -> None:
    """Plays the episode and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="the same (for the tests)")
    parser.parse_args()
    env = gym.make(
        "ReasonGymText-bAbI-qa2-v0", split="validation", difficulty={"max_units": 6}, memory_slots=2, instructions="none"
    )
    observation, info = env.reset(options={"problem": 7})
    ended, turn = False, 0
    while not ended:
        said = reply(info["messages"], turn)
        print(observation, *(f"> {line}" for line in said.splitlines()), sep="\n")
        observation, reward, ended, _, info = env.step(said)
        terms = ", ".join(f"{name} {term:+.2f}" for name, term in info["reward_terms"].items() if term)
        print(f"= reward {float(reward):+.2f}{f' ({terms})' if terms else ''}")
        if "invalid_action" in info:
            print(f"= {info['invalid_action']}")
        print()
        turn += 1
    print(f"answer {info['answer']!r}, gold {info['gold']!r}, return {info['episode_return']:.2f}")


if __name__ == "__main__":
    main()
