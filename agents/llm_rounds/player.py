"""A language model that plays for the rounds of self-reward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.llm.sampling import Sampling
from agents.llm_rounds.reading import Read, shown
from agents.self_reward.playing import Thought

if TYPE_CHECKING:
    from agents.llm_rounds.learner import LanguageLearner


class TextPlayer:
    """A language model as `self_reward.playing.Player`: what it reads is rendered from the environments."""

    stateful = False

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner, self.agent = learner, learner.player

    def begin(self, env: Any) -> None:
        """New episodes begin in these environments."""
        self.learner.model.eval()
        self.agent.attach(env)

    def think(self, observation: Any, begins: np.ndarray, rows: np.ndarray, deterministic: bool, keep: bool) -> Thought:
        """Of the situations `rows`; values come with the replies."""
        agent, learner = self.agent, self.learner
        assert agent.interface is not None
        assert agent.legal is not None
        agent.interface.begin(np.flatnonzero(begins))
        agent.interface.observe()
        prompts = shown(learner, rows)
        heat = 0.0 if deterministic else learner.settings.temperature
        replies = learner.backend.sample(
            prompts, Sampling(heat, 1.0, learner.room), agent.legal(rows.tolist()), learner.value_head
        )
        read = {
            "prompt": np.array(
                [learner.prompts.add(prompt) for prompt in prompts] if keep else np.zeros(len(prompts)), np.int64
            ),
            "action_mask": observation["action_mask"][rows],
        }
        actions = np.array([agent.legal.action(reply.tokens) for reply in replies], np.int64)
        return Thought(read, actions, np.array([reply.value for reply in replies], np.float32), ())

    def acted(self, actions: np.ndarray) -> None:
        """Nothing is repeated to it: a situation shows all that it is to know."""

    def propose(self, read: Read, states: tuple[np.ndarray, ...], most: int) -> list[np.ndarray]:
        """Distinct ones among `most` sampled commands."""
        learner, agent = self.learner, self.agent
        assert agent.legal is not None
        prompts, tries = [learner.prompts[place] for place in read["prompt"].tolist()], agent.legal.under(read["action_mask"])
        sampling = Sampling(learner.settings.temperature, 1.0, learner.room)
        drawn = [learner.backend.sample(prompts, sampling, tries) for _ in range(most)]
        actions = [[agent.legal.action(reply.tokens) for reply in row] for row in zip(*drawn, strict=True)]
        return [np.array(list(dict.fromkeys(row)), np.int64) for row in actions]
