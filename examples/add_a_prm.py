"""A process reward model of one's own: any object with criteria, needs_annotation, version, default_beta and score(steps).

    python examples/add_a_prm.py

Nothing is registered: the object is passed as `prm=` (it makes the reward) or, as it reads no annotation, as `observer=` (its
scores are shown to the agent and move the salience of memory slots). It is called once per vector step, on all steps.
"""

import argparse
from collections.abc import Mapping

import gymnasium as gym
import numpy as np

import reasongym  # noqa: F401 (registers the ids)
from reasongym.prm.base import RECALL, StepBatch

COMMON = frozenset(("the", "to", "is", "where", "there", "went", "back", "journeyed", "moved", "travelled"))


class WordOverlap:
    """A recall is relevant when it shares a word with the question or with what was recalled before."""

    criteria: tuple[str, ...] = ("relevance",)
    needs_annotation = False  # `steps.annotation` would raise
    version = "word-overlap-1"  # part of every cache key: change it with the code
    default_beta: Mapping[str, float] = {"relevance": 0.2}

    def score(self, steps: StepBatch) -> np.ndarray:
        scores = np.zeros((len(steps), 1), np.float32)  # 0 is a score, NaN is none
        for i in np.flatnonzero((steps.kind == RECALL) & ~steps.illegal):
            known = words(steps.questions[steps.question[i]])
            for link in steps.chain[i, : steps.chain_length[i] - 1]:
                known |= words(steps.unit_text(link))
            scores[i] = 1 if known & words(steps.unit_text(steps.memory_before[i, steps.slot[i]])) else -1
        return scores


def words(text: str) -> set[str]:
    return set(text.lower().replace(".", "").replace("?", "").split()) - COMMON


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="few steps")
    steps = 30 if parser.parse_args().smoke else 1_000

    envs = gym.make_vec("ReasonGym-bAbI-qa2-v0", num_envs=64, prm=WordOverlap(), beta={"relevance": 0.5})
    observation, _ = envs.reset(seed=0)
    rng, given = np.random.default_rng(0), []
    for _ in range(steps):
        actions = (rng.random(observation["action_mask"].shape) * observation["action_mask"]).argmax(1)
        observation, _, _, _, info = envs.step(actions)
        given += info["prm_scores"]["relevance"][info["reward_terms"]["relevance"] != 0].tolist()
    print(f"as the reward: {len(given)} recalls of a random policy, {np.mean(np.array(given) > 0):.0%} of them relevant")

    env = gym.make("ReasonGym-bAbI-qa2-v0", observer=WordOverlap())
    observation, _ = env.reset(seed=0)
    ended = False
    while not ended:
        action = env.unwrapped.expert_action()  # type: ignore[attr-defined]
        observation, _, ended, _, _ = env.step(action)
        if observation["scores"].any():
            salience = observation["memory_features"][:2, 2].round(2).tolist()
            print(f"as the observer: recall, scores {observation['scores']}, salience of the first slots {salience}")


if __name__ == "__main__":
    main()
