"""Other names in every episode: what follows still follows, and nothing else of an episode changes."""

from __future__ import annotations

import numpy as np
import pytest

from agents.baselines.ppo import PPOAgent
from agents.renaming import PARTS, Renaming
from reasongym.adapters.sb3 import make_vec_env
from reasongym.tasks.worlds import lexicon

WORDS = ("", *lexicon.VOCABULARY)
SMALL = {"difficulty": {"max_units": 8}}


def env_of(task: int | None = None, n: int = 16, **keywords):
    return make_vec_env("ReasonGym-bAbI-v0" if task is None else f"ReasonGym-bAbI-qa{task}-v0", n, seed=0, **keywords)


def renamed(env: Renaming, i: int, text: str) -> str:
    """A sentence with the names of episode i, in its own letters."""
    written = {name.lower(): name for name in lexicon.ENTITIES}
    words = []
    for word in text.replace(".", " .").replace("?", " ?").split():
        try:
            (token,) = lexicon.tokenize(word)
            other = WORDS[env._table[i, token]]
        except ValueError:
            other = word
        words.append(word if other == word.lower() else written[other])
    return " ".join(words).replace(" .", ".").replace(" ?", "?")


@pytest.mark.parametrize("task", range(1, 21))
def test_the_same_answer_follows_from_the_same_sentences(task):
    env = Renaming(env_of(task, num_problems=500))
    source = env.unwrapped.batch.source
    world = source.worlds[0]
    changed = 0
    for _ in range(4):
        env.reset()
        for i in range(env.num_envs):
            problem = source.problem(int(env.unwrapped.batch.memory.state["problem"][i]))
            units = [renamed(env, i, unit) for unit in problem.story.units[: problem.num_units]]
            question = renamed(env, i, problem.question)
            changed += units != list(problem.story.units[: problem.num_units])
            proof = world.solve(tuple(enumerate(map(world.parse_unit, units))), world.parse_question(question))
            assert source.choice_of(proof.answer) == source.choice_of(problem.answers[0]), (units, question)
            assert set(proof.support) == set(problem.support)
    assert bool(changed) == bool(env.names[task])


def test_the_words_change_places_and_all_else_is_as_without():
    plain, env = env_of(17), Renaming(env_of(17))
    before, after = plain.reset(), env.reset()
    rng = np.random.default_rng(0)
    swapped, names = 0, env._table.copy()
    for _ in range(60):
        for key, value in before.items():
            if key in PARTS:
                rows = np.arange(16).reshape(-1, *[1] * (value.ndim - 1))
                np.testing.assert_array_equal(after[key], names[rows, value])
                swapped += (after[key] != value).sum()
            else:
                np.testing.assert_array_equal(after[key], value)
            assert after[key].dtype == value.dtype
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in before["action_mask"]])
        before, reward, done, told = plain.step(actions)
        after, rewards, dones, infos = env.step(actions)
        np.testing.assert_array_equal(reward, rewards)
        np.testing.assert_array_equal(done, dones)
        for i in np.flatnonzero(done):
            last, other = told[i]["terminal_observation"], infos[i]["terminal_observation"]
            np.testing.assert_array_equal(other["question"], names[i][last["question"]], "the names of the episode that ended")
        assert (env._table[~done] == names[~done]).all(), "an episode keeps its names"
        names = env._table.copy()
    assert swapped


def test_it_goes_on_from_its_state():
    env, other = Renaming(env_of()), Renaming(env_of(), seed=5)
    env.reset()
    other.reset()
    other.set_state(env.get_state())
    ended = 0
    for _ in range(30):
        actions = np.array([np.flatnonzero(mask)[-1] for mask in env.action_masks()])
        (ours, _, dones, _), (theirs, *_) = env.step(actions), other.step(actions)
        ended += int(dones.sum())
        for part in PARTS:
            np.testing.assert_array_equal(ours[part], theirs[part])
    assert ended > env.num_envs, "new names were drawn, for other tasks than before"


def test_names_that_answer_or_mean_something_stay():
    names = {task: {WORDS[token] for group in groups for token in group} for task, groups in Renaming(env_of()).names.items()}
    assert names[1] == {"mary", "john", "sandra", "daniel"}, "its answers are places"
    assert "milk" not in names[20], "who gets milk is thirsty"
    assert not names[18], "containers have names of several words"
    groups = Renaming(env_of(11)).names[11]
    assert [{WORDS[token] for token in group} for group in groups] == [{"mary", "sandra"}, {"john", "daniel"}], "he and she"


def test_an_agent_learns_with_other_names_and_plays_with_its_own(tmp_path):
    def learning(agent):
        env = agent.model.get_env()
        while not isinstance(env, Renaming):
            env = env.venv
        return bool((env._table != np.arange(env._table.shape[1])).any())

    agent = PPOAgent(env_of(17), rename=True, feedback=True, n_steps=8, batch_size=64).learn(256)
    assert learning(agent)
    assert "which words are names" in agent.supervision
    held_out = env_of(17, split="validation")
    assert agent.playing_in(held_out).venv is held_out, "feedback alone"
    agent.save(tmp_path / "agent.zip")
    assert learning(PPOAgent.load(tmp_path / "agent.zip", env=env_of(17)).learn(128))


def test_other_environments_are_refused():
    with pytest.raises(TypeError, match="bAbI"):
        Renaming(make_vec_env("ReasonGym-SQuAD2-v0", 2, seed=0))
