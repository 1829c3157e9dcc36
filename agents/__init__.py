"""Agents for ReasonGym: PPO with recurrent memory policies, and what they are compared with. Used from a checkout."""
