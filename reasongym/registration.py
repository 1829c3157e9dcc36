"""Registers the ids with Gymnasium: a line a data set."""

from __future__ import annotations

import gymnasium as gym

ENTRY_POINT = "reasongym.envs:ReasonGymEnv"
VECTOR_ENTRY_POINT = "reasongym.envs:ReasonGymVectorEnv"
TEXT_ENTRY_POINT = "reasongym.text.env:ReasonGymTextEnv"
TEXT_VECTOR_ENTRY_POINT = "reasongym.text.vector:ReasonGymTextVectorEnv"

IDS: dict[str, dict[str, object]] = {
    "ReasonGym-bAbI-v0": {"dataset": "babi"},
    **{f"ReasonGym-bAbI-qa{task}-v0": {"dataset": "babi", "tasks": (task,)} for task in range(1, 21)},
    "ReasonGym-SQuAD2-v0": {"dataset": "squad2"},
    "ReasonGym-NarrativeQA-v0": {"dataset": "narrativeqa"},
    "ReasonGym-FairytaleQA-v0": {"dataset": "fairytaleqa"},
}
"""Keyword arguments by id."""

TEXT_IDS: dict[str, dict[str, object]] = {
    env_id.replace("ReasonGym-", "ReasonGymText-"): kwargs for env_id, kwargs in IDS.items()
}
"""The text twins: the same data sets, strings in and out."""


def register_all() -> None:
    """Registers every id that is not registered yet."""
    for ids, entry_point, vector_entry_point in (
        (IDS, ENTRY_POINT, VECTOR_ENTRY_POINT),
        (TEXT_IDS, TEXT_ENTRY_POINT, TEXT_VECTOR_ENTRY_POINT),
    ):
        for env_id, kwargs in ids.items():
            if env_id not in gym.registry:
                gym.register(env_id, entry_point, vector_entry_point=vector_entry_point, kwargs=kwargs)
