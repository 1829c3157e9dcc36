"""MemoryPPO as an agent: from scratch, from a cloned start, or with as many parameters as another."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from agents.base import REWARDS, SB3Agent
from agents.baselines.cloning import Cloner
from agents.baselines.novelty import Novelty
from agents.baselines.settings import matched_core_size, memory_ppo
from agents.budget import Budget, Progress
from agents.renaming import Renaming
from reasongym.adapters.feedback import ValueFeedback


class PPOAgent(SB3Agent):
    """MemoryPPO with a memory of slots (and a core), from scratch or from a cloned start.

    Args:
        env: training environments.
        seed, device: as for MemoryPPO.
        cloning_share: share of the budget spent on cloning the expert first, and on fitting the critic to what that earns; 0
            none.
        dagger: whether that is DAgger instead of behaviour cloning.
        match: parameters to have, by the size of the core, which must be recurrent; 0: as `policy_kwargs` say.
        feedback: whether the change of its own value estimate moves the salience of the slot it touched (`ValueFeedback`).
        process_share: share of what is left of the budget after cloning in which process rewards and utility are paid; then
            outcomes and validity alone, and a learned PRM, which costs time, is not asked any more.
        novelty: the bonus of what was never seen before (`Novelty`), while it learns; 0: none.
        rename: whether names change places in every episode that it learns from (`Renaming`; bAbI only).
        supervision: in words, beside the cloned start.
        settings: for `memory_ppo`.
    """

    _cloner: Cloner | None = None  # nor has an agent that was loaded
    _share = 0.0

    def __init__(
        self,
        env: VecEnv,
        seed: int = 0,
        device: str = "cpu",
        cloning_share: float = 0.0,
        dagger: bool = False,
        match: int = 0,
        feedback: bool = False,
        process_share: float = 1.0,
        novelty: float = 0.0,
        rename: bool = False,
        supervision: str = REWARDS,
        **settings: Any,
    ) -> None:
        if not 0 <= cloning_share < 1:
            raise ValueError(f"cloning_share must lie in [0, 1), got {cloning_share!r}")
        if not 0 < process_share <= 1:
            raise ValueError(f"process_share must lie in (0, 1], got {process_share!r}")
        if match:
            size = matched_core_size(env, match, **settings)
            settings["policy_kwargs"] = {**settings.get("policy_kwargs", {}), "core_size": size}
        told = " + expert actions (cloned start)" if cloning_share else ""
        told += " + a bonus for what was seldom seen" if novelty else ""
        told += " + which words are names (they change places)" if rename else ""
        told += f" (all but outcomes in the first {process_share:.0%} of its time)" if process_share < 1 else ""
        env = Renaming(env, seed) if rename else env
        env = Novelty(env, novelty, seed=seed) if novelty else env
        wrapped = ValueFeedback(env) if feedback else env
        super().__init__(memory_ppo(wrapped, seed, device, **settings), supervision + told)
        self.model.value_feedback, self.model.novelty, self.model.renamed = feedback, novelty, rename  # saved with the model
        if isinstance(wrapped, ValueFeedback):
            wrapped.model = self.model
        self.model.process_share = process_share
        if cloning_share:
            self._share, self._cloner = cloning_share, Cloner(self.model, dagger=dagger, vf_coef=self.model.vf_coef)

    def playing_in(self, env: VecEnv) -> VecEnv:
        """Environments in which its value estimate is heard, where it was trained with that."""
        return ValueFeedback(env, self.model) if getattr(self.model, "value_feedback", False) else env

    @classmethod
    def load(cls, path: Any, env: VecEnv | None = None, device: str = "cpu") -> Any:
        """As any agent's; it goes on learning with feedback, the bonus (whose counts begin anew) and other names, where it was
        trained with that."""
        agent = super().load(path, env, device)
        if env is not None and getattr(agent.model, "renamed", False):
            env = Renaming(env, agent.model.seed or 0)
            agent.model.set_env(env)
        if env is not None and (weight := getattr(agent.model, "novelty", 0.0)):
            env = Novelty(env, weight, seed=agent.model.seed or 0)
            agent.model.set_env(env)
        if env is not None and (wrapped := agent.playing_in(env)) is not env:
            agent.model.set_env(wrapped)
        return agent

    def learn(self, total_timesteps: int, *, seconds: float | None = None, progress: Progress | None = None) -> Any:
        """As any agent; the cloned start comes first, once."""
        budget = Budget(total_timesteps, seconds, progress)
        if self._cloner is not None and not budget.over:
            part = budget.part(self._share)
            self._cloner.run(part)
            self.ledger["expert_actions"] = self._cloner.labels
            self._cloner = None
            budget.include(part)
        if not budget.over:
            self._improve(budget.rest())
        return self

    def _improve(self, budget: Budget) -> None:
        """PPO, in two parts where process rewards are paid in the first one alone; schedules follow both."""
        share = getattr(self.model, "process_share", 1.0)
        if share == 1:
            self.spend(budget)
            return
        part = budget.part(share)
        self.spend(part, budget)
        if budget.include(part):
            self._weigh_process(0.0)
            self.spend(budget.rest(), budget)
            self._weigh_process(1.0)

    def _weigh_process(self, weight: float) -> None:
        """In the environments learned in; `learn` then begins with a reset."""
        env: Any = self.model.env
        env.unwrapped.batch.weigh_process(weight)
        self.model._last_obs = None
        self.model._last_state = self.model.policy.initial_state(env.num_envs)
