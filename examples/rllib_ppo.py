"""RLlib's PPO (new API stack) on any ReasonGym array id: legal actions only, with an LSTM where one is asked for.

    python examples/rllib_ppo.py                              # 5 iterations, bAbI task 1, an LSTM
    python examples/rllib_ppo.py --no-lstm --iterations 100

`ray[rllib]` pins a version of Gymnasium of its own (Ray 2.60: 1.2.2), so it wants an environment of its own: docs/trainers.md.
RLlib's default encoders take a flat array, and its masked module the keys `observations` and `action_mask`: that is what
`FlattenTokens` gives; `EmbedObservation` puts bags of words in the place of token ids first. `OnlyLegal` ends the run at the
first illegal action.
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads slow small networks down
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import gymnasium as gym
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.tune.registry import register_env

import reasongym  # noqa: F401
from reasongym.wrappers import EmbedObservation, FlattenTokens


class OnlyLegal(gym.Wrapper):
    """Counts the steps, and fails at an illegal action."""

    steps = 0

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        assert "invalid_action" not in info, f"action {action} is illegal: {info['invalid_action']}"
        OnlyLegal.steps += 1
        return observation, reward, terminated, truncated, info


def make_env(config):
    """What `register_env` wants: `config` has the id and the keywords of `gym.make`."""
    env = gym.make(config["env_id"], **json.loads(config["env_kwargs"]))
    return OnlyLegal(FlattenTokens(EmbedObservation(env)))


def configuration(args):
    lstm = {"use_lstm": True, "lstm_cell_size": 128, "max_seq_len": 16} if args.lstm else {}
    network = {"fcnet_hiddens": [256, 256], "fcnet_activation": "tanh", "vf_share_layers": args.lstm, **lstm}
    return (
        PPOConfig()
        .environment("reasongym", env_config={"env_id": args.env_id, "env_kwargs": args.env_kwargs})
        .env_runners(num_env_runners=0, num_envs_per_env_runner=args.num_envs)
        .learners(num_learners=0, num_gpus_per_learner=0)
        .training(
            train_batch_size=args.batch_size,
            minibatch_size=args.batch_size // 4,
            num_epochs=4,
            lr=1e-3,
            gamma=0.99,
            lambda_=0.95,
            clip_param=0.2,
            entropy_coeff=0.01,
            vf_loss_coeff=0.5,
            grad_clip=0.5,
            use_kl_loss=False,
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule, model_config=network))
        .debugging(seed=args.seed, log_level="ERROR")
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-id", default="ReasonGym-bAbI-qa1-v0")
    parser.add_argument("--env-kwargs", default='{"difficulty": {"max_units": 6}, "memory_slots": 6}', help="JSON")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=4096, help="steps before an update")
    parser.add_argument("--num-envs", type=int, default=16)
    parser.add_argument("--lstm", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a few seconds, to see that it runs")
    args = parser.parse_args()
    if args.smoke:
        args.batch_size, args.num_envs = 128, 4

    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=200 * 1024 * 1024, log_to_driver=False)
    register_env("reasongym", make_env)
    algorithm = configuration(args).build_algo()
    for iteration in range(args.iterations):
        told = algorithm.train()["env_runners"]
        print(f"iteration {iteration + 1}: {OnlyLegal.steps:,} steps, return {told['episode_return_mean']:.2f}", flush=True)
    algorithm.stop()
    ray.shutdown()
    print(f"{OnlyLegal.steps:,} steps, all of them legal")
