"""GRPO with the reward of each step for the tokens of its call: by hand, and in TRL's own trainer."""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed")

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from agents.llm.tiny import Shape, tiny_model, train_tokenizer
from agents.llm.tool_calls import expert_chats, labelled, texts_of, with_tools
from agents.trl_steps import PastMean, StepGRPOTrainer, credit_of, others, over_tokens, rewards_by_turn, turns_of
from reasongym.adapters.trl import SpanTools, call_of, environment_factory, problem_rows

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "trl.md").read_text()
FACTORY = environment_factory(
    "ReasonGymText-bAbI-qa1-v0", memory_slots=1, units_per_slot=1, chain_length=1, difficulty={"max_units": 2}
)
CPU = {
    "seed": 0, "use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no", "logging_steps": 1,
    "disable_tqdm": True, "gradient_checkpointing": False,
}  # fmt: skip
GENERATED = torch.tensor([[1, 1, 0, 0, 1, 0, 1, 1], [1, 0, 0, 1, 1, 0, 0, 0]])


def test_turns_are_runs_of_generated_tokens():
    assert turns_of(GENERATED).tolist() == [[0, 0, -1, -1, 1, -1, 2, 2], [0, -1, -1, 1, 1, -1, -1, -1]]


def test_credit_is_a_decaying_sum():
    rewards = torch.tensor([[0.0, 1.0, 0.0, 2.0]])
    assert credit_of(rewards, 0).tolist() == rewards.tolist()
    assert credit_of(rewards, 0.5).tolist() == [[0.75, 1.5, 1.0, 2.0]]
    assert credit_of(rewards, 1).tolist() == [[3.0, 3.0, 2.0, 2.0]]


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_reward_moves_the_tokens_of_its_step_and_with_a_trace_those_before(decay):
    turns = turns_of(GENERATED)

    def advantages(rewards):
        return over_tokens(credit_of(torch.tensor(rewards), decay), turns)

    change = advantages([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]) - advantages([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert change.tolist() == [[decay, decay, 0, 0, 1, 0, 0, 0], [0] * 8]


def test_rewards_go_to_the_turn_whose_calls_made_the_steps():
    made = [[[0.1], [0.2, 0.3], []], [[], [], []]]  # the second turn called twice; the other rollout never called
    rewards, counted = rewards_by_turn(made, [False, False], turns_of(GENERATED))
    assert rewards[0].tolist() == pytest.approx([0.1, 0.5, 0])
    assert rewards[1].tolist() == [0, 0, 0]
    assert counted.tolist() == [[True, True, True], [True, True, False]]
    _, counted = rewards_by_turn(made, [True, False], turns_of(GENERATED))
    assert counted[0].tolist() == [True, True, False]  # what is said after the end has no part
    _, counted = rewards_by_turn(made, [True, False], torch.full((2, 4), -1))
    assert not counted.any()  # left out of the loss


def test_steps_without_tokens_are_refused():
    with pytest.raises(RuntimeError, match="its last step was made in turn 3"):
        rewards_by_turn([[[0.0], [0.0], [0.0]]], [True], torch.tensor([[0, 0, -1, 1]]))
    with pytest.raises(RuntimeError, match="2 turns of tokens, but 1 were generated"):
        rewards_by_turn([[[0.0]]], [True], torch.tensor([[0, 0, -1, 1]]))


def test_the_others_of_a_group_are_averaged():
    values = torch.tensor([[1.0, 5.0], [2.0, 7.0], [6.0, 9.0], [4.0, 8.0]])
    counted = torch.tensor([[True, True], [True, False], [True, True], [True, False]])
    assert others(values, counted, 2).tolist() == [[2, 0], [1, 5], [4, 0], [6, 9]]
    assert others(values, counted, 4)[:, 0].tolist() == pytest.approx([4, 11 / 3, 7 / 3, 3])


def test_past_batches_count_the_less_the_older_they_are():
    past = PastMean(keep=0.5)
    assert past(2).tolist() == [0, 0]
    past.add(torch.tensor([[4.0, 9.0]]), torch.tensor([[True, False]]))
    assert past(3).tolist() == [4, 0, 0]
    past.add(torch.tensor([[1.0, 3.0, 5.0]]), torch.tensor([[True, True, True]]))
    assert past(3).tolist() == pytest.approx([(0.5 * 4 + 1) / 1.5, 3, 5])


@pytest.fixture(scope="module")
def trained():
    """(model, tokenizer): a tiny model that makes tool calls."""
    chats = list(expert_chats(FACTORY, range(120), stray=0.3))
    texts = [text for chat in chats for text in texts_of(chat)]
    tokenizer = with_tools(train_tokenizer(texts, 640, phrases=True))
    torch.manual_seed(0)
    model = tiny_model(tokenizer, Shape(64, 1, 2, window=512))
    arguments = SFTConfig(**CPU, output_dir="unused", num_train_epochs=2, per_device_train_batch_size=4, learning_rate=1e-2)
    rows = Dataset.from_list([labelled(chat, tokenizer) for chat in chats])
    SFTTrainer(model, args=arguments, train_dataset=rows, processing_class=tokenizer).train()
    return model, tokenizer


def trainer_of(kind, trained, folder, **keywords):
    model, tokenizer = copy.deepcopy(trained[0]), trained[1]
    arguments = GRPOConfig(
        **CPU, output_dir=str(folder), max_steps=2, learning_rate=1e-3, per_device_train_batch_size=8, num_generations=4,
        max_completion_length=320, generation_kwargs={"max_new_tokens": 40}, max_tool_calling_iterations=6,
    )  # fmt: skip
    rows = problem_rows(range(8), rules="")
    return kind(model, args=arguments, processing_class=tokenizer, environment_factory=FACTORY, train_dataset=rows, **keywords)


def logged(trainer):
    return [row for row in trainer.state.log_history if "reward" in row]


def test_grpo_itself_trains_through_the_tools(trained, tmp_path):
    trainer = trainer_of(GRPOTrainer, trained, tmp_path)
    assert {tool.__name__ for tool in trainer._env_tools[None]} == {"next", "store", "update", "recall", "answer"}
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train()
    rows = logged(trainer)
    assert len(rows) == 2
    assert min(row["tools/call_frequency"] for row in rows) > 1
    assert max(row["rewards/MemoryTools/std"] for row in rows) > 0
    assert any(not torch.equal(new, old) for new, old in zip(trainer.model.parameters(), before, strict=True))


def test_the_transcripts_are_what_the_trainer_generates_from(trained, tmp_path):
    trainer = trainer_of(GRPOTrainer, trained, tmp_path)
    chat = next(expert_chats(FACTORY, [3]))
    ids = trainer._tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, return_dict=False)
    whole = labelled(chat, trainer._tokenizer)
    for said, told in zip(chat[1::2], [*chat[2::2], None], strict=True):
        reply = itertools.takewhile(lambda token: token >= 0, whole["labels"][len(ids) :])
        ids += [*reply, *(trainer._get_tool_suffix_ids([told]) if told else [])]
        assert bool(said.get("tool_calls")) == bool(told)
    assert ids == whole["input_ids"]


@pytest.fixture(scope="module")
def played(trained, tmp_path_factory):
    """A trainer that has taken two steps, and then generated the batch that is with it."""
    trainer = trainer_of(StepGRPOTrainer, trained, tmp_path_factory.mktemp("trl"), trace_decay=0.5)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train()
    assert any(not torch.equal(new, old) for new, old in zip(trainer.model.parameters(), before, strict=True))
    rows = [row for row in trainer.train_dataset for _ in range(4)][:8]
    trainer.model.train()
    return trainer, trainer._generate_and_score_completions(rows)


def test_the_tokens_of_a_turn_spell_the_call_that_made_its_steps(played):
    trainer, output = played
    turns, seen = turns_of(output["tool_mask"] * output["completion_mask"]), 0
    marks = [*trainer._marks, [len(environment.rewards) for environment in trainer.environments]]
    for i, environment in enumerate(trainer.environments):
        for j in range(len(marks) - 1):
            commands = environment.commands[marks[j][i] : marks[j + 1][i]]
            said = trainer._tokenizer.decode(output["completion_ids"][i][turns[i] == j])
            if len(commands) == 1 and commands[0]:
                name, arguments = call_of(commands[0])
                assert f'"name": "{name}"' in said
                assert all(str(value) in said for value in arguments.values())
                seen += 1
            elif j <= int(turns[i].max()) and not environment.over:
                assert said
    assert seen > 8


@pytest.mark.parametrize("baseline", ["past", "none", "group"])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_reward_in_a_batch_moves_its_own_tokens(played, baseline, decay):
    trainer, output = played
    trainer.baseline, trainer.trace_decay = baseline, decay
    turns = turns_of(output["tool_mask"] * output["completion_mask"])
    i = max(range(8), key=lambda i: len(trainer.environments[i].rewards))
    rewards = trainer.environments[i].rewards
    step = len(rewards) - 1
    turn = next(j for j, mark in enumerate([*trainer._marks[1:], None]) if mark is None or mark[i] > step)
    assert turn > 0
    before = trainer.token_advantages(turns)
    rewards[step] += 1
    change = trainer.token_advantages(turns) - before
    rewards[step] -= 1
    expected = torch.zeros_like(change)
    for j in range(turn + 1):
        expected[i][turns[i] == j] = decay ** (turn - j)
    torch.testing.assert_close(change[i], expected[i], atol=1e-5, rtol=0)
    if baseline == "group":  # the reward reaches what the others of the group are compared with
        first = i - i % 4
        outside = torch.ones(8, dtype=torch.bool)
        outside[first : first + 4] = False
        assert not change[outside].any()
        assert (change[[k for k in range(first, first + 4) if k != i]] <= 0).all()
    else:
        torch.testing.assert_close(change, expected, atol=1e-5, rtol=0)


def test_advantages_reach_the_loss_token_by_token(played):
    trainer, output = played
    assert output["advantages"].shape == output["completion_ids"].shape
    assert output["advantages"].any()
    assert not output["advantages"][(output["tool_mask"] * output["completion_mask"]) == 0].any()
    assert {"steps/turns", "steps/reward", "steps/advantage"} <= set(logged(trainer)[0])
    trainer.current_gradient_accumulation_steps = 1

    def gradient(advantages):
        trainer.model.zero_grad()
        trainer._compute_loss(trainer.model, {**output, "advantages": advantages}).backward()
        return torch.cat([p.grad.flatten() for p in trainer.model.parameters()])

    assert gradient(output["advantages"]).norm() > 0
    assert gradient(torch.zeros_like(output["advantages"])).norm() == 0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"trace_decay": 2}, "trace_decay must lie in"),
        ({"baseline": "best"}, "baseline must be one of past, group, none"),
        ({"rollout_func": print}, "no rollout_func="),
    ],
)
def test_what_it_cannot_do_is_refused(trained, tmp_path, keywords, message):
    with pytest.raises(ValueError, match=message):
        trainer_of(StepGRPOTrainer, trained, tmp_path, **keywords)


def test_environments_have_to_keep_rewards(trained, tmp_path):
    class Bare:
        def reset(self, **row):
            return None

        def get_reward(self) -> float:
            return 0.0

        def next(self) -> str:
            """Reads on."""
            return ""

    model, tokenizer = trained
    arguments = GRPOConfig(**CPU, output_dir=str(tmp_path), per_device_train_batch_size=4, num_generations=4)
    with pytest.raises(TypeError, match="Bare keeps no list `rewards`"):
        StepGRPOTrainer(
            model, args=arguments, processing_class=tokenizer, environment_factory=Bare, train_dataset=problem_rows([0])
        )


def test_the_blocks_of_the_page_run(trained, tmp_path, capsys):
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    for told, short in (
        ('output_dir="runs/trl"', f"output_dir={str(tmp_path)!r}, max_steps=1, per_device_train_batch_size=4, **CPU"),
        ("max_completion_length=4096", "max_completion_length=200, num_generations=4"),
        ("max_tool_calling_iterations=40", "max_tool_calling_iterations=3"),
        ("    model,\n", "    model, processing_class=tokenizer,\n"),
        ("10_000", "4"),
    ):
        assert told in code
        code = code.replace(told, short)
    space: dict = {"__name__": "docs", "model": copy.deepcopy(trained[0]), "tokenizer": trained[1], "CPU": CPU}
    exec(compile(code, "docs/trl.md", "exec"), space)
    assert space["trainer"].state.global_step == 1
    assert "Commands now: next; store 1|2" in capsys.readouterr().out


def test_every_tool_and_metric_stands_on_the_page():
    tools = {name for name in dir(SpanTools) if not name.startswith("_")} - {"reset", "get_reward"}
    for name in (*tools, "steps/turns", "steps/reward", "steps/advantage"):
        assert f"`{name}`" in PAGE, name
