"""Rows that are only settings, and MemoryPPO with the arguments that the project's own results were trained with.

*PRM-only*: the same spaces, K and process rewards, without utility, gate, observer or feedback. *No external memory*: the
same with K = 0 and a recurrent core, whose size can be matched to another row's parameters (`matched_core_size`).
*Outcome-only*: the answer's reward alone.
"""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from agents.memory import CORES
from agents.ppo import MemoryPPO

PRM_ONLY: dict[str, Any] = {"utility": "none", "utility_weight": 0.0, "gate": "open", "observer": None}
"""Keywords of environments that pay process rewards and nothing for memory."""
NO_MEMORY: dict[str, Any] = {**PRM_ONLY, "memory_slots": 0}
"""PRM-only without slots: what is remembered is in the core."""
OUTCOME_ONLY: dict[str, Any] = {
    **PRM_ONLY, "beta": {"logic": 0.0, "coherence": 0.0, "goal": 0.0, "validity": 0.0, "outcome": 1.0},
}  # fmt: skip
"""Keywords of environments that pay for the right answer alone."""
SETTINGS: dict[str, Any] = {
    "n_steps": 64, "batch_size": 1024, "n_epochs": 3, "gamma": 0.99, "gae_lambda": 0.5, "vf_coef": 5.0,
}  # fmt: skip
"""MemoryPPO's arguments as `examples/train_ppo.py` has them."""
LEARNING_RATE, ENT_COEF, WEIGHT_DECAY = 1e-3, 0.02, 0.1
"""The same: falling linearly to a fiftieth, to a tenth, and AdamW's."""


def memory_ppo(
    env: VecEnv, seed: int = 0, device: str = "cpu", algorithm: type[MemoryPPO] = MemoryPPO, core: str = "none", **changes: Any
) -> Any:
    """A fresh MemoryPPO (or one of its kind) with the settings above.

    Args:
        env: training environments.
        seed, device, core: as for MemoryPPO.
        algorithm: the class.
        changes: other arguments than the settings'; `policy_kwargs` are added to.
    """
    policy = {"core": core, "optimizer_kwargs": {"weight_decay": WEIGHT_DECAY}, **changes.pop("policy_kwargs", {})}
    settings = {
        "learning_rate": LinearSchedule(LEARNING_RATE, 0.02 * LEARNING_RATE, 1.0),
        "ent_coef": LinearSchedule(ENT_COEF, 0.1 * ENT_COEF, 1.0),
        **SETTINGS,
        **changes,
    }
    return algorithm("MemoryPolicy", env, seed=seed, device=device, policy_kwargs=policy, **settings)


def matched_core_size(env: VecEnv, parameters: int, most: int = 2048, **settings: Any) -> int:
    """The least `core_size` at which a policy in `env` has as many parameters as wanted.

    Args:
        env: environments, e.g. with K = 0.
        parameters: how many are wanted; see `num_parameters`.
        most: the greatest size tried.
        settings: for `memory_ppo`, all that the policy is to have but its `core_size`.

    Raises:
        ValueError: the core has no size, or not even `most` is enough.
    """
    policy_kwargs = settings.pop("policy_kwargs", {})

    def made(size: int) -> MemoryPPO:
        return memory_ppo(env, policy_kwargs={**policy_kwargs, "core_size": size}, **settings)

    def enough(size: int) -> bool:
        return num_parameters(made(size)) >= parameters

    core = policy_kwargs.get("core", settings.get("core", "none"))
    if not made(1).policy.recurrent:
        raise ValueError(
            f"parameters are matched by the size of a recurrent core, and core={core!r} has none: name one of "
            f"{', '.join(name for name in CORES if name not in ('none', 'slots'))}"
        )
    high = 1
    while not enough(high):
        if high >= most:
            raise ValueError(f"core={core!r} of size {high} makes fewer than the {parameters} parameters wanted")
        high = min(2 * high, most)
    low = high // 2 + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def num_parameters(model: MemoryPPO) -> int:
    """Trained numbers of a policy."""
    return sum(parameter.numel() for parameter in model.policy.parameters())
