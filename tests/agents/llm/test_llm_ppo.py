"""Turn-level PPO: its loss by hand, its masks, and that it learns."""

from __future__ import annotations

import json
import shutil

import gymnasium as gym
import pytest

pytest.importorskip("transformers")

import torch
from torch.distributions import Categorical

from agents.base import evaluate
from agents.llm import LLMAgent, LocalModel, Sampling, saving
from agents.llm.constraint import Node
from agents.llm.sampling import Reply
from agents.llm.turns import gathered, likelihood, per_turn
from agents.llm_ppo import LLMPPO, PPOSettings, ValueHead, ppo_loss
from agents.rollout import gae
from reasongym.adapters.sb3 import make_vec_env
from reasongym.prm.judge.errors import CapabilityError
from tests.agents.llm.conftest import KEYWORDS

SMALL = {"n_steps": 4, "batch_size": 8, "n_epochs": 2, "value_rollouts": 0}


@pytest.fixture
def local(model_folder) -> LocalModel:
    return LocalModel(model_folder, device="cpu")


@pytest.fixture
def trainer(venv, model_folder) -> LLMPPO:
    return LLMPPO(venv, model=str(model_folder), device="cpu", settings=SMALL)


def test_mixed_precision_says_nearly_the_same_and_is_consistent(venv, model_folder):
    """Products in bfloat16: what was sampled is about as likely again, and as in float32; weights and their gradients stay."""
    mixed = LLMPPO(venv, model=str(model_folder), device="cpu", settings=SMALL, dtype="mixed")
    rollout = mixed.collect()
    again = likelihood(mixed.model, rollout.turns).log_probs
    torch.testing.assert_close(again, rollout.turns.log_probs, atol=0.03, rtol=0)
    exact = LocalModel(model_folder, device="cpu").model
    assert not getattr(exact, "products_in_bfloat16", False)
    whole = likelihood(exact, rollout.turns).log_probs
    assert not torch.equal(whole, again)
    torch.testing.assert_close(whole, again, atol=0.05, rtol=0)
    mixed.update(rollout)
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in mixed.model.parameters())


def test_advantages_of_three_turns_by_hand():
    """Rewards 0.1, -0.2, 1; values 0.5, 0.4, 0.3; gamma 0.9, lambda 0.8; then another episode."""
    column = lambda *values: torch.tensor(values)[:, None]  # noqa: E731
    found = gae(
        column(0.1, -0.2, 1.0), column(0.5, 0.4, 0.3), column(True, False, False),
        torch.tensor([9.0]), torch.tensor([True]), 0.9, 0.8,
    )  # fmt: skip
    third = 1.0 - 0.3
    second = -0.2 + 0.9 * 0.3 - 0.4 + 0.72 * third
    first = 0.1 + 0.9 * 0.4 - 0.5 + 0.72 * second
    assert found[:, 0].tolist() == pytest.approx([first, second, third])


def test_the_reward_of_a_step_is_its_commands(trainer):
    """One step paid more changes the advantage of that turn, and of earlier ones of its episode as lambda says: of no other."""
    rollout = trainer.collect()
    s = trainer.settings

    def advantages(rewards):
        return gae(rewards, rollout.values, rollout.starts, rollout.last_values, rollout.last_starts, s.gamma, s.gae_lambda)

    more = rollout.rewards.clone()
    more[2, 3] += 1.0
    change = advantages(more) - advantages(rollout.rewards)
    wanted = torch.zeros_like(change)
    wanted[2, 3] = 1.0
    for t in (1, 0):
        if rollout.starts[t + 1, 3]:
            break
        wanted[t, 3] = wanted[t + 1, 3] * s.gamma * s.gae_lambda
    assert change == pytest.approx(wanted, abs=1e-5)


def test_before_the_first_update_all_ratios_are_one(trainer):
    rollout = trainer.collect()
    now = likelihood(trainer.model, rollout.turns)
    assert now.log_probs.detach() == pytest.approx(torch.where(rollout.turns.free, rollout.turns.log_probs, 0.0), abs=1e-4)
    rows = torch.arange(8)
    some = rollout.turns.take(rows)
    assert likelihood(trainer.model, some).log_probs.detach() == pytest.approx(
        now.log_probs[rows, : some.tokens.shape[1]].detach(), abs=1e-4
    )
    reference = trainer._of_reference(rollout.turns)
    assert reference == pytest.approx(now.log_probs.detach(), abs=1e-4)


def test_values_are_read_at_the_prompts_last_token(trainer):
    torch.nn.init.normal_(trainer.value_head.layers[-1].weight)
    rollout = trainer.collect()
    hidden = likelihood(trainer.model, rollout.turns).hidden
    assert trainer.value_head(hidden).detach() == pytest.approx(rollout.values.flatten(), abs=1e-3)


def test_prompts_carry_no_loss(trainer):
    """Only what was chosen does: with one command left to choose from, there is no gradient of the policy."""
    forced = Node([(7, 4)])
    prompts = [[20, 21, 22], [23, 24]]
    replies = trainer.backend.sample(prompts, Sampling(), [forced, forced], trainer.value_head)
    turns = gathered(prompts, replies, trainer.backend.pad, "cpu")
    assert not turns.free.any()
    s = PPOSettings(vf_coef=0.0, kl_coef=0.0)
    loss, row = ppo_loss(trainer.model, trainer.value_head, turns, torch.ones(2), torch.zeros(2), None, s)
    loss.backward()
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in trainer.model.parameters())
    assert row["entropy"] == 0


def test_one_token_commands_are_categorical_ppo(local):
    """Prompts with three replies of one token each: the clipped loss of a categorical policy over three actions."""
    choices, prompts = (30, 31, 32), [[20, 21], [22, 23, 24], [25]]
    torch.manual_seed(1)
    head = ValueHead(32)
    old = torch.tensor([[0.2, 0.5, 0.3]] * 3)
    actions, advantages, returns = torch.tensor([0, 2, 1]), torch.tensor([1.0, -0.5, 2.0]), torch.tensor([0.3, 0.1, -0.2])
    replies = [Reply([choices[a]], [float(old[i, a].log())], [choices], True) for i, a in enumerate(actions.tolist())]
    turns = gathered(prompts, replies, local.pad, "cpu")
    s = PPOSettings(ent_coef=0.01, kl_coef=0.0, vf_coef=0.5)
    loss, row = ppo_loss(local.model, head, turns, advantages, returns, None, s)
    logits, values = [], []
    for prompt in prompts:
        out = local.model.model(torch.tensor([prompt])).last_hidden_state[0, -1]
        logits.append(local.model.lm_head(out)[list(choices)])
        values.append(head(out[None])[0])
    policy = Categorical(logits=torch.stack(logits))
    ratio = (policy.log_prob(actions) - old.gather(1, actions[:, None])[:, 0].log()).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()
    value_loss = 0.5 * (torch.stack(values) - returns).square().mean()
    wanted = -gain + 0.5 * value_loss - 0.01 * policy.entropy().mean()
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-4)
    assert row["entropy"] == pytest.approx(policy.entropy().mean().item(), abs=1e-4)
    mine = torch.autograd.grad(loss, local.model.lm_head.weight, retain_graph=True)[0]
    theirs = torch.autograd.grad(wanted, local.model.lm_head.weight)[0]
    assert mine == pytest.approx(theirs, abs=1e-4)


def test_long_commands_weigh_no_more_than_short_ones():
    values = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    free = torch.tensor([[True, True, True], [True, False, False]])
    assert per_turn(values, free).tolist() == [1.0, 1.0]
    assert per_turn(values, torch.zeros(2, 3, dtype=torch.bool)).tolist() == [0.0, 0.0]


def test_forced_tokens_do_not_count(local):
    """The same choice with and without a forced token behind it is the same loss."""
    head = ValueHead(32)
    s = PPOSettings(kl_coef=0.0, vf_coef=0.0)
    losses = []
    for tail in ((), (4,), (4, 5)):
        replies = [Reply([30, *tail], [-0.7] + [0.0] * len(tail), [(30, 31), *((t,) for t in tail)], True)]
        turns = gathered([[20, 21]], replies, local.pad, "cpu")
        losses.append(ppo_loss(local.model, head, turns, torch.ones(1), torch.zeros(1), None, s)[0].item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) == pytest.approx(losses[2], abs=1e-5)


def test_divergence_is_of_the_reference_and_stands_in_the_loss(trainer):
    rollout = trainer.collect()
    with torch.no_grad():
        for p in trainer.model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    reference = trainer._of_reference(rollout.turns)
    with torch.no_grad():
        now = likelihood(trainer.model, rollout.turns)
        _, row = ppo_loss(
            trainer.model, trainer.value_head, rollout.turns, torch.zeros(24), torch.zeros(24), reference, PPOSettings()
        )
    behind = reference - now.log_probs
    k3 = per_turn(behind.exp() - behind - 1, rollout.turns.free)[rollout.turns.free.any(1)].mean()
    assert row["kl"] == pytest.approx(k3.item(), abs=1e-5)
    assert row["kl"] > 0


def test_updates_make_what_pays_likelier(trainer):
    """Three commands to choose from, one of which pays: it is what is said in the end."""
    trie, prompts = Node([(30, 4), (31, 32, 4), (31, 33, 4)]), [[20, 21, 22]] * 24
    for _ in range(12):
        replies = trainer.backend.sample(prompts, Sampling(), [trie] * 24, trainer.value_head)
        paid = torch.tensor([float(reply.tokens == [31, 33, 4]) for reply in replies])
        turns = gathered(prompts, replies, trainer.backend.pad, "cpu")
        trainer.optimizer.param_groups[0]["lr"] = 3e-3
        for _ in range(3):
            trainer._step(turns, (paid - paid.mean()) / (paid.std() + 1e-8), paid, None, False)
    assert paid.mean() > 0.8
    assert trainer.value_head(likelihood(trainer.model, turns).hidden).mean().item() > 0.4


def test_a_rollout_is_logged(trainer):
    trainer.learn(72)  # 24 turns a rollout
    assert [row["timesteps"] for row in trainer.rows] == [24, 48, 72]
    row = trainer.rows[-1]
    assert {"entropy", "kl", "clipped", "command_tokens", "tokens_per_second", "success", "explained_variance"} <= set(row)
    assert row["commands"] == 1.0
    assert 2 <= row["command_tokens"] <= trainer.player.legal.most_tokens
    assert row["updates"] == 6


def test_the_value_head_may_begin_alone(venv, model_folder):
    trainer = LLMPPO(venv, model=str(model_folder), device="cpu", settings={**SMALL, "value_rollouts": 1})
    before = [p.clone() for p in trainer.model.parameters()]
    trainer.learn(24)
    assert all(torch.equal(one, other) for one, other in zip(before, trainer.model.parameters(), strict=True))
    trainer.learn(24)
    assert not all(torch.equal(one, other) for one, other in zip(before, trainer.model.parameters(), strict=True))


def test_learning_rates_rise_over_the_first_rollouts_then_fall(venv, model_folder, tmp_path):
    """One rollout for the value head, three to rise over; a trainer that was saved in between does not begin again."""
    settings = {**SMALL, "value_rollouts": 1, "warmup_rollouts": 3, "learning_rate": 1e-3, "value_learning_rate": 1e-2}
    trainer, rates = LLMPPO(venv, model=str(model_folder), device="cpu", settings=settings), []
    for rollout in range(5):
        trainer.learn(24, whole=240)
        rates.append((trainer.optimizer.param_groups[0]["lr"] / 1e-3, trainer.optimizer.param_groups[-1]["lr"] / 1e-2))
        if rollout == 1:
            trainer.save(tmp_path / "run")
            trainer = LLMPPO.load(tmp_path / "run", venv, device="cpu")
    fallen = [0.1 + 0.9 * (1 - 24 * rollout / 240) for rollout in range(5)]
    assert [rate for rate, _ in rates] == pytest.approx([0, fallen[1] / 3, 2 * fallen[2] / 3, fallen[3], fallen[4]])
    assert [rate for _, rate in rates] == pytest.approx(fallen)


def test_how_a_model_computes_outlives_a_file(venv, model_folder, tmp_path):
    player = LLMAgent(
        model=str(model_folder),
        backend=LocalModel(model_folder, device="cpu", dtype="mixed", batch_size=7, template={"x": 1}),
        constrained=True,
        instructions="none",
    )
    LLMPPO(venv, model=player, settings=SMALL).save(tmp_path / "run")
    backend = LLMPPO.load(tmp_path / "run", venv, device="cpu").backend
    assert (backend.dtype, backend.batch_size, backend.template) == ("mixed", 7, {"x": 1})


def test_a_killed_training_goes_on_to_the_same_weights(venv, model_folder, tmp_path):
    """Problems, draws, order, optimizer and what is logged, too."""
    whole = LLMPPO(venv, model=str(model_folder), device="cpu", settings=SMALL, seed=3)
    whole.learn(48, whole=144)
    whole.save(tmp_path / "run")
    whole.learn(48, whole=144)
    torch.rand(7)  # another process would be elsewhere
    again = make_vec_env("ReasonGym-bAbI-qa1-v0", 6, seed=5, **KEYWORDS)
    resumed = LLMPPO.load(tmp_path / "run", again, device="cpu")
    assert (resumed.num_timesteps, resumed.settings, len(resumed.rows)) == (48, whole.settings, 2)
    resumed.reference = whole.reference
    resumed.learn(48, whole=144)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    timeless = [[{k: v for k, v in row.items() if k != "tokens_per_second"} for row in t.rows] for t in (whole, resumed)]
    assert timeless[0] == timeless[1]


def test_a_saved_trainer_plays_anywhere(trainer, tmp_path):
    """Without environments, and in others than it was trained in."""
    trainer.learn(24)
    trainer.save(tmp_path / "run")
    assert evaluate(LLMPPO.load(tmp_path / "run", device="cpu"), "ReasonGym-bAbI-qa1-v0", problems=4, **KEYWORDS).problems == 4
    other = make_vec_env("ReasonGym-bAbI-qa1-v0", 2, seed=0, **KEYWORDS)
    assert LLMPPO.load(tmp_path / "run", other, device="cpu").learn(8).num_timesteps == 32


def test_a_folder_that_is_not_whole_is_refused(trainer, venv, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="was not written by LLMPPO"):
        LLMPPO.load(tmp_path, venv)
    trainer.save(tmp_path / "run")
    monkeypatch.setattr(saving.torch, "save", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(OSError, match="No space"):
        trainer.save(tmp_path / "run")
    with pytest.raises(ValueError, match="or not to its end"):
        LLMPPO.load(tmp_path / "run", venv)


def test_damaged_files_are_named(trainer, venv, tmp_path):
    trainer.learn(24)
    for name, kind in (("trainer.pt", ValueError), ("value_head.pt", ValueError), ("model.safetensors", CapabilityError)):
        trainer.save(tmp_path / name)
        file = tmp_path / name / name
        file.write_bytes(file.read_bytes()[:200])
        with pytest.raises(kind, match=name.replace(".", r"\.")):
            LLMPPO.load(tmp_path / name, venv, device="cpu")
    trainer.save(tmp_path / "run")
    (tmp_path / "run" / "environments.pt").unlink()
    with pytest.warns(UserWarning, match=r"episodes that begin anew: .*environments\.pt is missing or damaged"):
        LLMPPO.load(tmp_path / "run", venv, device="cpu")


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    place = tmp_path / "checkpoint"
    assert not saving.settled(place)
    for text in ("one", "two"):
        with saving.replacing(place) as fresh:
            (fresh / "file").write_text(text)
        assert (place / "file").read_text() == text
    with pytest.raises(ZeroDivisionError), saving.replacing(place) as fresh:
        (fresh / "file").write_text(str(1 / 0))
    assert saving.settled(place)
    assert (place / "file").read_text() == "two"
    place.rename(tmp_path / "checkpoint.old")  # where a kill falls between taking away and putting in place
    assert saving.settled(place)
    assert (place / "file").read_text() == "two"


def test_adapters_are_trained_saved_and_trained_further(venv, model_folder, tmp_path):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    local = LocalModel(model_folder, device="cpu")
    local.model = peft.get_peft_model(local.model, peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    player = LLMAgent(model=str(model_folder), backend=local, constrained=True, instructions="none")
    trainer = LLMPPO(venv, model=player, settings=SMALL).learn(24)
    trainer.save(tmp_path / "run")
    again = LLMPPO.load(tmp_path / "run", venv, device="cpu")
    kept = {name: p.detach().clone() for name, p in again.model.named_parameters()}
    for name, p in trainer.model.named_parameters():
        assert torch.equal(p, kept[name]), name
    again.learn(24)
    moved = {name for name, p in again.model.named_parameters() if not torch.equal(p, kept[name])}
    assert moved
    assert all("lora_" in name for name in moved)
    with again.reference.model() as base, torch.no_grad():
        ids = torch.tensor([[20, 21, 22]])
        torch.testing.assert_close(base(ids).logits, LocalModel(model_folder, device="cpu").model(ids).logits)
    told = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    told["base_model_name_or_path"] = "gone/away"
    (tmp_path / "run" / "adapter_config.json").write_text(json.dumps(told))
    with pytest.raises(CapabilityError, match="holds adapters of 'gone/away', and that cannot be loaded"):
        LocalModel(tmp_path / "run", device="cpu")
    shutil.copytree(model_folder, tmp_path / "run" / "away")
    LocalModel(tmp_path / "run", device="cpu")  # found beside them


def test_dropout_has_no_part(venv, model_folder):
    """Ratios before the first update are one whatever the model was trained with."""
    local = LocalModel(model_folder, device="cpu")
    local.model.model.layers[0].mlp.down_proj = torch.nn.Sequential(
        local.model.model.layers[0].mlp.down_proj, torch.nn.Dropout(0.5)
    )
    local.model.model.layers[0].self_attn.attention_dropout = 0.5
    player = LLMAgent(model=str(model_folder), backend=local, constrained=True, instructions="none")
    trainer = LLMPPO(venv, model=player, settings={**SMALL, "learning_rate": 0.0, "n_epochs": 1})
    assert abs(trainer.update(trainer.collect())["approx_kl"]) < 1e-5


def test_one_turn_is_a_rollout(model_folder):
    one = make_vec_env("ReasonGym-bAbI-qa1-v0", 1, seed=0, **KEYWORDS)
    trainer = LLMPPO(one, model=str(model_folder), device="cpu", settings={**SMALL, "n_steps": 1}).learn(2)
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_what_cannot_be_trained_is_refused(venv, model_folder):
    with pytest.raises(ValueError, match="only a model in this process"):
        LLMPPO(venv, model="m", url="http://127.0.0.1:9/v1", constrained=False)
    with pytest.raises(ValueError, match="top_p must be 1"):
        LLMPPO(venv, model=str(model_folder), device="cpu", top_p=0.9)
    with pytest.raises(ValueError, match=r"samples at temperature 0.5, and training at 1: say it in the settings"):
        LLMPPO(venv, model=str(model_folder), device="cpu", temperature=0.5)
    with pytest.raises(ValueError, match=r"made by reasongym.adapters.sb3.make_vec_env, got OrderEnforcing"):
        LLMPPO(gym.make("ReasonGymText-bAbI-qa1-v0"), model=str(model_folder), device="cpu")
    with pytest.raises(ValueError, match="there are no environments to learn in"):
        LLMPPO(None, model=str(model_folder), device="cpu").learn(8)
    with pytest.raises(ValueError, match="a budget must not be negative, got total_timesteps=nan"):
        LLMPPO(venv, model=str(model_folder), device="cpu").learn(float("nan"))
    with pytest.raises(ValueError, match="n_steps must be a whole number of at least 1"):
        PPOSettings(n_steps=0)
    with pytest.raises(ValueError, match="warmup_rollouts must be a whole number of at least 0"):
        PPOSettings(warmup_rollouts=-1)
    with pytest.raises(ValueError, match=r"cut from outside after 2 steps"):
        LLMPPO(make_vec_env("ReasonGym-bAbI-qa1-v0", 2, max_episode_steps=2, **KEYWORDS), model=str(model_folder), device="cpu")
    player = LLMAgent(model=str(model_folder), device="cpu")
    with pytest.raises(TypeError, match="history, kl_coef: an LLMAgent was given"):
        LLMPPO(venv, model=player, history=5, kl_coef=9)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("gamma", 1.7, r"lie in \[0, 1\]"), ("gae_lambda", -3, r"lie in \[0, 1\]"), ("clip_range", -0.2, "positive"),
        ("kl_coef", -1, "not negative"), ("learning_rate", float("nan"), "not negative"),
        ("max_grad_norm", 0, "positive"), ("temperature", float("inf"), "positive and finite"),
        ("n_steps", 2.5, "whole number"), ("temperature", 0, "positive"),
    ],
)  # fmt: skip
def test_hyper_parameters_out_of_range_are_refused(name, value, wanted):
    with pytest.raises(ValueError, match=f"{name} must .*{wanted}"):
        PPOSettings(**{name: value})


def test_weights_too_coarse_to_learn_are_told_of(venv, model_folder):
    with pytest.warns(UserWarning, match="trainable weights are torch.bfloat16, too coarse"):
        LLMPPO(venv, model=str(model_folder), device="cpu", dtype="bfloat16", settings=SMALL)
