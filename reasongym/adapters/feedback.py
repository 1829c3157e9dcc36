"""RL feedback to the working memory: how the agent's own value estimate changed moves the salience of the slot it touched.

`WM_{t+1} = gate(WM_t, a_t, PRM scores, RL feedback)`. The feedback is V(s_{t+1}) - V(s_t) of the agent's critic, which exists at test
time too; it is never the reward. Off unless an environment is wrapped.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

ValueFunction = Callable[[Any, np.ndarray], np.ndarray]
"""(observations, which episodes begin with them (N,) bool) -> (N,) values. One that carries a state from call to call has
`get_state` and `set_state`."""


class ValueFeedback(VecEnvWrapper):
    """Hands the change of a model's value estimate to the working memory after every step.

    The touched slot's salience moves by `salience_rate * clip(V(s') - V(s), -1, 1)`; the observation returned shows it.

    Args:
        venv: a `ReasonGymVecEnv`, or wrappers around one.
        model: an SB3 algorithm, or one with `value_function(num_envs)` (recurrent ones have it). An algorithm is made with its
            environment, so it can also be set later: `venv.model = model`; without one there is no feedback.
    """

    def __init__(self, venv: VecEnv, model: Any = None) -> None:
        super().__init__(venv)
        if not hasattr(venv.unwrapped, "feedback"):
            raise TypeError(f"ValueFeedback wraps a ReasonGymVecEnv (adapters.sb3.make_vec_env), got {venv.unwrapped!r}")
        self._rate = venv.unwrapped.batch.settings.salience_rate  # type: ignore[attr-defined]
        self._values = np.zeros(venv.num_envs)
        self.model = model

    @property
    def model(self) -> Any:
        """Whose value estimate it is."""
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        self._model = model
        self._value: ValueFunction | None = None if model is None else value_function(model, self.num_envs)

    def reset(self) -> Any:
        observation = self.venv.reset()
        if self._value is not None:
            self._values = self._value(observation, np.ones(self.num_envs, bool))
        return observation

    def step_wait(self) -> Any:
        observation, rewards, dones, infos = self.venv.step_wait()
        if self._value is not None:
            values = self._value(observation, dones)
            change = np.where(dones, 0.0, np.clip(values - self._values, -1, 1))
            observation = self.venv.unwrapped.feedback(self._rate * change)  # type: ignore[attr-defined]
            self._values = values
        return observation, rewards, dones, infos

    def get_state(self) -> dict[str, Any]:
        """The environments' state, the last values, and what the value function carries along."""
        carried = self._value.get_state() if hasattr(self._value, "get_state") else None  # type: ignore[union-attr]
        return {"environments": self.venv.get_state(), "values": self._values.copy(), "carried": carried}  # type: ignore[attr-defined]

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`.

        Raises:
            ValueError: the value function carried a state, and here there is none that does.
        """
        if state["carried"] is not None:
            if not hasattr(self._value, "set_state"):
                raise ValueError(
                    "this state is of a model whose value function carries a state of its own, and here is none that does: "
                    "set `model` to one of its kind first"
                )
            self._value.set_state(state["carried"])  # type: ignore[union-attr]
        self.venv.set_state(state["environments"])  # type: ignore[attr-defined]
        self._values = state["values"].copy()


def value_function(model: Any, num_envs: int) -> ValueFunction:
    """The value estimate of an SB3 algorithm as a function of observations."""
    if hasattr(model, "value_function"):
        return model.value_function(num_envs)

    def values(observation: dict[str, np.ndarray], starts: np.ndarray) -> np.ndarray:
        return model.policy.predict_values(obs_as_tensor(observation, model.device)).detach().flatten().cpu().numpy()

    return values
