"""Make an environment, play one episode with a policy of ten lines, then thousands of episodes at once.

    python examples/quickstart.py

Token ids become words by `vocabulary[id - 1]`; `choices[c]` is what ANSWER c commits to.
"""

import argparse
import time

import gymnasium as gym
import numpy as np

import reasongym  # noqa: F401 (registers the ids)


def simple_policy(env: gym.Env, observation: dict[str, np.ndarray]) -> int:
    """Remembers the last sentence about whom the question asks, recalls it, and answers with the place that it names."""
    vocabulary, choices = env.unwrapped.vocabulary, env.unwrapped.choices  # type: ignore[attr-defined]

    def words(tokens: np.ndarray) -> set[str]:
        return {vocabulary[token - 1] for token in tokens if token}

    slots = len(observation["memory"])
    store, recall, answer = 1, 1 + 2 * slots, 1 + 3 * slots  # slot 1 and choice 1
    if observation["progress"][2]:  # something is on the desk
        return store if words(observation["unit"]) & (words(observation["question"]) - {"where", "is", "the"}) else 0
    if observation["action_mask"][recall]:
        return recall
    known = words(observation["chain"][0])
    return answer + next((c for c, choice in enumerate(choices) if choice in known), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    smoke = parser.parse_args().smoke
    env = gym.make("ReasonGym-bAbI-qa1-v0", split="validation", memory_slots=3, render_mode="ansi")
    observation, info = env.reset(seed=0)
    ended = False
    while not ended:
        observation, reward, ended, _, info = env.step(simple_policy(env, observation))
        print(env.render())
        print("reward", round(float(reward), 3), {name: round(term, 3) for name, term in info["reward_terms"].items() if term})
    print("answered", info["answer"], "- gold:", info["gold"])
    envs = gym.make_vec("ReasonGym-bAbI-v0", num_envs=4096, num_problems=10_000)
    observation, info = envs.reset(seed=0)
    rng, steps, started, right, episodes = np.random.default_rng(0), 10 if smoke else 300, time.perf_counter(), 0, 0
    for _ in range(steps):
        actions = (rng.random(observation["action_mask"].shape, np.float32) * observation["action_mask"]).argmax(1)
        observation, rewards, terminated, truncated, info = envs.step(actions)
        right += int(info.get("is_success", np.zeros(1)).sum())
        episodes += int(terminated.sum())
    rate = steps * envs.num_envs / (time.perf_counter() - started)
    print(f"random policy, 20 tasks: {right} of {episodes} right; {rate:,.0f} steps a second, policy included")


if __name__ == "__main__":
    main()
