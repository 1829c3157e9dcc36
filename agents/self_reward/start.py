"""The weak start that all arms share: a policy that PPO trained on annotated rewards for few frames, and then was stopped.

An agent that has never been told what an answer is cannot agree with itself about more than noise: self-reward needs a start,
as language models begin at instruction tuning. What the start read (outcomes and support) is counted apart from the rounds.
A start cloned from the expert was tried and is none: an expert puts aside what will not be needed, a clone puts aside
everything, and rounds of PPO stayed at storing the last sentence (task 1, six sentences: 50% after 200,000 frames).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback

from agents.baselines.settings import memory_ppo
from agents.ppo import MemoryPPO
from reasongym.adapters.sb3 import make_vec_env

LEARNING_RATE, ENT_COEF = 7e-4, 0.01


class _Episodes(BaseCallback):
    """Counts the episodes that end."""

    count = 0

    def _on_step(self) -> bool:
        self.count += int(self.locals["dones"].sum())
        return True


def weak_start(
    path: str | Path, env_id: str, seed: int, frames: int, num_envs: int = 64, n_steps: int = 32,
    policy_kwargs: dict[str, Any] | None = None, answer_loss: float = 0.0, **keywords: Any,
) -> dict[str, Any]:  # fmt: skip
    """The start's parameters and what they cost; made and kept at `path` where that does not exist.

    Args:
        path: of the file.
        env_id, keywords: of the environments; their PRM is `annotated`, whatever `prm` says.
        seed: of the training.
        frames: PPO on annotated rewards; whole rollouts of `num_envs` x `n_steps`. 0: untrained.
        policy_kwargs: of the policy.
        answer_loss: weight of the cross-entropy on gold answers: where answers are spans, rewards alone find only to abstain.

    Returns:
        `policy` (parameters), `episodes` whose outcome and support were read, `frames`, and `made_with`.

    Raises:
        ValueError: the file is of another start.
    """
    path = Path(path)
    made_with = {"env": env_id, "seed": seed, "frames": frames, "answer_loss": answer_loss, "num_envs": num_envs}
    made_with["keywords"] = repr(sorted(keywords.items()))
    if path.exists():
        saved = torch.load(path, map_location="cpu", weights_only=False)
        if saved["made_with"] != made_with:
            raise ValueError(f"{path} is the start of {saved['made_with']}, not of {made_with}: name another file")
        return saved
    chosen = {**keywords, "prm": "annotated", "utility": "coverage", "split": "train"}
    settings: dict[str, Any] = {"learning_rate": LEARNING_RATE, "ent_coef": ENT_COEF, "n_steps": n_steps, "batch_size": 512}
    settings["answer_loss_coef"] = answer_loss
    model: MemoryPPO = memory_ppo(
        make_vec_env(env_id, num_envs, seed, **chosen), seed, policy_kwargs=policy_kwargs or {}, **settings
    )
    episodes = _Episodes()
    if frames:
        model.learn(frames, callback=episodes)
    cost = {"episodes": episodes.count, "frames": model.num_timesteps}
    saved = {"policy": model.policy.state_dict(), **cost, "made_with": made_with}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(saved, part)
    os.replace(part, path)
    return saved
