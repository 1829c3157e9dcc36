"""Iterative self-reward: an agent that judges its own steps, remembers its best episodes, and learns from both, in rounds.

settings    what a run is asked to be
start       the weak start that all arms share
arms        what an arm may read, enforced; labels of episodes
episodes    episodes as they are kept, played and played again; playing: who plays, and in lock-step
judge       the agent's own judge head
rewards     weights, gates, and environments that pay by them
replay      episodes of earlier rounds
candidates  several candidates at one state, and pairs of them
updates     self-imitation, step-wise DPO, the value head
learner     what the rounds ask of whoever learns
report      held-out results, for reporting only
loop        the rounds; state: what is kept between them
"""

from agents.self_reward.loop import SelfReward
from agents.self_reward.settings import Settings
from agents.self_reward.start import weak_start

__all__ = ["SelfReward", "Settings", "weak_start"]
