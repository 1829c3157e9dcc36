"""PPO on one page, in CleanRL's manner (Huang et al., 2022, JMLR 23/274): any ReasonGym array id, legal actions only.

    python examples/cleanrl_ppo.py                                          # bAbI task 1, short stories
    python examples/cleanrl_ppo.py --env-id ReasonGym-bAbI-qa6-v0 --total-timesteps 2000000
    python examples/cleanrl_ppo.py --env-id ReasonGym-SQuAD2-v0 --env-kwargs '{"memory_slots": 4}'

The vector environment is `gym.make_vec`'s, with its own autoreset (`--autoreset-mode`). What each mode asks of a learner:

- NextStep (Gymnasium's default): the observation after a last step is the one that the episode ended with, and the next step
  only resets. That step has no action and no reward, so it is left out of the loss (`valid`).
- SameStep: the observation after a last step is the next episode's first; the one that the episode ended with is in
  `infos["final_obs"]`, and a truncated episode is bootstrapped from there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads slow small networks down

import argparse
import json
import time
from dataclasses import dataclass, fields

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

import reasongym  # noqa: F401
from reasongym.wrappers import VectorEmbedObservation


@dataclass
class Args:
    env_id: str = "ReasonGym-bAbI-qa1-v0"
    env_kwargs: str = '{"difficulty": {"max_units": 6}, "memory_slots": 6}'  # JSON; keywords of gym.make_vec
    autoreset_mode: str = "NextStep"  # or SameStep
    seed: int = 1
    total_timesteps: int = 300_000
    learning_rate: float = 1e-3
    num_envs: int = 128
    num_steps: int = 64  # of each environment, before an update
    anneal_lr: int = 1  # to 0, linearly; 0: constant
    gamma: float = 0.99
    gae_lambda: float = 0.95
    num_minibatches: int = 8
    update_epochs: int = 4
    clip_coef: float = 0.2
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    hidden_size: int = 256
    eval_problems: int = 1000  # held-out problems, each played once at the end


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for f in fields(Args):
        parser.add_argument("--" + f.name.replace("_", "-"), type=type(f.default), default=f.default)
    parser.add_argument("--smoke", action="store_true", help="a few seconds, to see that it runs")
    args = parser.parse_args()
    if args.smoke:
        args.total_timesteps, args.num_envs, args.num_steps, args.eval_problems = 1024, 8, 32, 20
    return args


def make_envs(args, num_envs, **kwargs):
    """Bags of words instead of token ids, so that a plain network can learn."""
    return VectorEmbedObservation(gym.make_vec(args.env_id, num_envs=num_envs, **json.loads(args.env_kwargs), **kwargs))


def flat(observation):
    """A dictionary of (N, ...) arrays -> (N, inputs) and the legal actions (N, A) bool."""
    parts = [torch.as_tensor(value).flatten(1).float() for key, value in observation.items() if key != "action_mask"]
    return torch.cat(parts, 1), torch.as_tensor(observation["action_mask"]).bool()


def layer_init(layer, std=2**0.5):
    nn.init.orthogonal_(layer.weight, std)
    nn.init.zeros_(layer.bias)
    return layer


class Agent(nn.Module):
    def __init__(self, num_inputs, num_actions, hidden_size):
        super().__init__()
        self.actor = nn.Sequential(
            layer_init(nn.Linear(num_inputs, hidden_size)),
            nn.Tanh(),
            layer_init(nn.Linear(hidden_size, hidden_size)),
            nn.Tanh(),
            layer_init(nn.Linear(hidden_size, num_actions), std=0.01),
        )
        self.critic = nn.Sequential(
            layer_init(nn.Linear(num_inputs, hidden_size)),
            nn.Tanh(),
            layer_init(nn.Linear(hidden_size, hidden_size)),
            nn.Tanh(),
            layer_init(nn.Linear(hidden_size, 1), std=1.0),
        )

    def get_value(self, x):
        return self.critic(x).squeeze(1)

    def get_policy(self, x, mask):
        mask = mask | ~mask.any(1, keepdim=True)  # the observation that an episode ended with allows nothing
        return Categorical(logits=self.actor(x).masked_fill(~mask, -1e9))


def gae(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
    """Advantages (T, N) by Schulman et al., 2016, arXiv 1506.02438.

    `next_values` are of the observations that the steps really led to; a terminated episode is worth nothing after its end, a
    truncated one is bootstrapped; nothing flows over an episode's end.
    """
    done = terminated | truncated
    advantages, last = torch.zeros_like(rewards), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * next_values[t] * ~terminated[t] - values[t]
        advantages[t] = last = delta + gamma * gae_lambda * ~done[t] * last
    return advantages


@torch.no_grad()
def accuracy(agent, args):
    """Share of right answers on held-out problems, the best action each step."""
    envs = make_envs(args, 1, split="validation")
    problems = min(args.eval_problems, envs.unwrapped.num_problems or args.eval_problems)
    envs = make_envs(args, problems, split="validation")
    observation, _ = envs.reset(seed=0, options={"problem": np.arange(problems)})
    playing, right = np.ones(problems, bool), np.zeros(problems, bool)
    while playing.any():
        x, mask = flat(observation)
        action = agent.get_policy(x, mask).probs.argmax(1)
        observation, _, terminated, truncated, infos = envs.step(action.numpy())
        if "is_success" in infos:
            right |= playing & terminated & infos["is_success"]
        playing &= ~(terminated | truncated)  # what comes after the first episode does not count
    return right.mean(), problems


if __name__ == "__main__":
    args = parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    next_step = args.autoreset_mode == "NextStep"

    envs = make_envs(args, args.num_envs, autoreset_mode=args.autoreset_mode)
    observation, _ = envs.reset(seed=args.seed)
    next_x, next_mask = flat(observation)
    T, N = args.num_steps, args.num_envs
    agent = Agent(next_x.shape[1], next_mask.shape[1], args.hidden_size)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)

    xs, masks = torch.zeros(T, N, next_x.shape[1]), torch.zeros(T, N, next_mask.shape[1], dtype=torch.bool)
    actions = torch.zeros(T, N, dtype=torch.long)
    log_probs, rewards, values, final_values = (torch.zeros(T, N) for _ in range(4))
    terminated, truncated, valid = (torch.zeros(T, N, dtype=torch.bool) for _ in range(3))
    only_resets = torch.zeros(N, dtype=torch.bool)  # whose next step has no action
    returns, successes, frames, begin = [], [], 0, time.process_time()

    num_iterations = args.total_timesteps // (T * N)
    for iteration in range(num_iterations):
        if args.anneal_lr:
            optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - iteration / num_iterations)

        for t in range(T):
            xs[t], masks[t], valid[t] = next_x, next_mask, ~only_resets
            with torch.no_grad():
                policy = agent.get_policy(next_x, next_mask)
                actions[t] = policy.sample()
                log_probs[t], values[t] = policy.log_prob(actions[t]), agent.get_value(next_x)
            observation, reward, term, trunc, infos = envs.step(actions[t].numpy())
            rewards[t], terminated[t], truncated[t] = map(torch.as_tensor, (reward, term, trunc))
            next_x, next_mask = flat(observation)
            only_resets = (terminated[t] | truncated[t]) & next_step
            if trunc.any() and not next_step:
                with torch.no_grad():
                    final_values[t] = agent.get_value(flat(infos["final_obs"])[0])
            if term.any():
                told = infos if next_step else infos["final_info"]
                returns += told["episode_return"][term].tolist()
                successes += told["is_success"][term].tolist() if "is_success" in told else []
        frames += int(valid.sum())

        with torch.no_grad():
            next_values = torch.cat([values[1:], agent.get_value(next_x)[None]])
        if not next_step:
            next_values = torch.where(truncated, final_values, next_values)
        advantages = gae(rewards, values, next_values, terminated, truncated, args.gamma, args.gae_lambda)
        keep = valid.flatten()
        b_x, b_mask, b_action = xs.flatten(0, 1)[keep], masks.flatten(0, 1)[keep], actions.flatten()[keep]
        b_log_prob, b_advantage = log_probs.flatten()[keep], advantages.flatten()[keep]
        b_return = b_advantage + values.flatten()[keep]

        for _ in range(args.update_epochs):
            for rows in torch.randperm(len(b_x)).tensor_split(args.num_minibatches):
                policy = agent.get_policy(b_x[rows], b_mask[rows])
                ratio = (policy.log_prob(b_action[rows]) - b_log_prob[rows]).exp()
                advantage = b_advantage[rows]
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                pg_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
                v_loss = 0.5 * (agent.get_value(b_x[rows]) - b_return[rows]).square().mean()
                loss = pg_loss - args.ent_coef * policy.entropy().mean() + args.vf_coef * v_loss
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()

        if returns and (iteration % 10 == 9 or iteration == num_iterations - 1):
            right = f"{np.mean(successes):.1%} right, " if successes else ""
            print(
                f"{frames:>9,} frames, {time.process_time() - begin:5.0f} CPU s: {right}return {np.mean(returns):.2f}",
                flush=True,
            )
            returns, successes = [], []

    seconds = time.process_time() - begin
    share, problems = accuracy(agent, args)
    print(f"held out: {share:.1%} of {problems} problems right after {frames:,} frames and {seconds:.0f} CPU seconds")
