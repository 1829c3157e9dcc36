"""The weak start that all arms share: a policy cloned from few of the expert's actions.

An agent that has never been told what an answer is cannot agree with itself about more than noise: self-reward needs a start,
as language models begin at instruction tuning. What the start read (support and gold, through the expert) is counted apart.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from agents.baselines.cloning import Cloner
from agents.baselines.settings import memory_ppo
from agents.budget import Budget
from agents.ppo import MemoryPPO
from reasongym.adapters.sb3 import make_vec_env


def weak_start(
    path: Path, env_id: str, seed: int, frames: int, num_envs: int = 64, policy_kwargs: dict[str, Any] | None = None,
    **keywords: Any,
) -> dict[str, Any]:  # fmt: skip
    """The cloned start's parameters and what it cost; made and kept at `path` where that does not exist.

    Args:
        path: of the file.
        env_id, keywords: of the environments, which have an expert.
        seed: of the cloning.
        frames: expert actions to learn from; about so many, whole rollouts.
        num_envs: environments that the expert plays in.
        policy_kwargs: of the policy.

    Returns:
        `policy` (parameters), `expert_actions`, and `made_with`.

    Raises:
        ValueError: the file is of another start.
    """
    made_with = {"env": env_id, "seed": seed, "frames": frames, "keywords": repr(sorted(keywords.items()))}
    if path.exists():
        saved = torch.load(path, map_location="cpu", weights_only=False)
        if saved["made_with"] != made_with:
            raise ValueError(f"{path} is the start of {saved['made_with']}, not of {made_with}: name another file")
        return saved
    chosen = {**keywords, "prm": "annotated", "utility": "coverage", "split": "train"}
    env = make_vec_env(env_id, num_envs, seed, **chosen)
    steps = max(8, min(64, frames // num_envs))
    model: MemoryPPO = memory_ppo(env, seed, n_steps=steps, policy_kwargs=policy_kwargs or {})
    torch.manual_seed(seed)
    cloner = Cloner(model)
    if frames:
        cloner.run(Budget(frames))
    saved = {"policy": model.policy.state_dict(), "expert_actions": cloner.labels, "made_with": made_with}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(saved, part)
    os.replace(part, path)
    return saved
