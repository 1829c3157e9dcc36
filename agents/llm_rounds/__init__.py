"""A language model in the rounds of iterative self-reward: it plays, a copy of it judges, and both learn.

    from agents.llm_rounds import Language
    from agents.self_reward import SelfReward, Settings
    settings = Settings(arm="none", n_steps=16, batch_size=128, learning_rate=1e-4)
    easy = {"difficulty": {"max_units": 6}}
    rows = SelfReward("ReasonGym-bAbI-qa1-v0", settings, "runs/rounds", learner=Language("runs/llm"), **easy).run()

Rounds, arms, replay, pairs and reports are those of memory policies (`agents.self_reward`): an episode is kept as its actions,
and what the model was shown is rendered again from them. What differs is here: how it plays (constrained to legal commands),
how its judge reads (the situation and the command, by its own copy), and its losses (`agents.llm_ppo`, `agents.llm_dpo`, and
self-imitation of whole commands).

Axes: F frames (turns), N environments, R of them, H hidden.
"""

from __future__ import annotations

from agents.llm_rounds.learner import Language, LanguageLearner

__all__ = ["Language", "LanguageLearner"]
