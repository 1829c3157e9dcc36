"""A copy of the language model that judges what the model does."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.llm.turns import Turns, likelihood
from agents.llm_rounds.reading import Read, shown, split
from agents.self_reward.judge import OwnJudge

if TYPE_CHECKING:
    from agents.llm_rounds.learner import LanguageLearner


class LanguageJudge(OwnJudge):
    """A copy of a language model that says how well a turn will end, or whether it is sound.

    Its logit is the command's log-probability and a linear function of the state after the command's last token, which begins
    at 0: what the model is unsure of, its judge doubts from the start.
    """

    batch_size, most = 64, 256

    def __init__(self, learner: LanguageLearner) -> None:
        super().__init__()
        self._turns = (learner.turns_of,)  # in a tuple, or the learner would be a part of the judge
        self.temperature = learner.settings.temperature
        self.learning_rate = learner.settings.learning_rate
        self.model = copy.deepcopy(learner.model).requires_grad_(True)
        self.head = nn.Linear(learner.model.config.get_text_config().hidden_size, 1).to(learner.model.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def logits(self, observations: Read, actions: np.ndarray) -> Tensor:
        return self.of(self._turns[0](observations, actions))

    def of(self, turns: Turns) -> Tensor:
        """(B,) logits of turns."""
        found = likelihood(self.model, turns, self.temperature)
        return found.log_probs.sum(1) + self.head(found.after.float())[:, 0]


class Live:
    """A judge that hears the environments which its model is playing in."""

    def __init__(self, learner: LanguageLearner, judge: LanguageJudge) -> None:
        self._learner, self._judge = learner, judge

    def probability(self, observation: Any, actions: np.ndarray) -> np.ndarray:
        """(N,) float32 of what is about to be done; `observation` is what the situations are rendered from."""
        everyone = np.arange(len(actions))
        prompts, masks = shown(self._learner, everyone), observation["action_mask"]
        legal = np.take_along_axis(masks, actions[:, None], 1)[:, 0].astype(bool)
        out = np.zeros(len(actions), np.float32)
        with torch.no_grad():
            for rows in split(everyone[legal], self._judge.most):
                turns = self._learner.turns([prompts[i] for i in rows], masks[rows], actions[rows])
                out[rows] = self._judge.of(turns).sigmoid().float().cpu().numpy()
        return out
