"""Registers the ids with Gymnasium: a line a data set."""

from __future__ import annotations

import gymnasium as gym

ENTRY_POINT = "reasongym.envs:ReasonGymEnv"
VECTOR_ENTRY_POINT = "reasongym.envs:ReasonGymVectorEnv"

IDS: dict[str, dict[str, object]] = {
    "ReasonGym-bAbI-v0": {"dataset": "babi"},
    **{f"ReasonGym-bAbI-qa{task}-v0": {"dataset": "babi", "tasks": (task,)} for task in range(1, 21)},
    "ReasonGym-SQuAD2-v0": {"dataset": "squad2"},
    "ReasonGym-NarrativeQA-v0": {"dataset": "narrativeqa"},
    "ReasonGym-FairytaleQA-v0": {"dataset": "fairytaleqa"},
}
"""Keyword arguments by id."""


def register_all() -> None:
    """Registers every id that is not registered yet."""
    for env_id, kwargs in IDS.items():
        if env_id not in gym.registry:
            gym.register(env_id, ENTRY_POINT, vector_entry_point=VECTOR_ENTRY_POINT, kwargs=kwargs)
