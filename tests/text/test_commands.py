"""How replies are read: the last line that parses, in whatever dress."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasongym.envs import ReasonGymEnv
from reasongym.registration import TEXT_IDS
from reasongym.text.commands import MOST_LINE, MOST_READ, Command, Commands, one_line, read
from reasongym.text.env import ReasonGymTextEnv
from tests.engine.span_source import SpanTexts

CLOSED = [
    ("next", Command("next")),
    ("  NEXT.  ", Command("next")),
    ("- `store 2`", Command("store", 2)),
    ("* **Store 2**", Command("store", 2)),
    ("Action: update 10", Command("update", 10)),
    ("**Action:** recall slot 3!", Command("recall", 3)),
    ("1. next", Command("next")),
    ("> command : store #4", Command("store", 4)),
    ("store 2: the football is in the garden.", Command("store", 2, "the football is in the garden.")),
    ("STORE 2 :Mary has it", Command("store", 2, "Mary has it")),
    ("store 2:", Command("store", 2)),
    ("store 1: recall 2", Command("store", 1, "recall 2")),
    ("answer kitchen", Command("answer", 0, "kitchen")),
    ("Answer: kitchen.", Command("answer", 0, "kitchen")),
    ("answer  Apple , Milk", Command("answer", 0, "Apple , Milk")),
    ("answer none", Command("answer", 0, "none")),
    ("`answer n,w`", Command("answer", 0, "n,w")),
    ("store 0", Command("store", 0)),
    ("store", None), ("store two", None), ("store 1 2", None), ("nextt", None), ("go next", None), ("", None),
    ("answer", None), ("update 2: own words", None), ("start 3", None), ("abstain", None), ("store 12345678901", None),
    ("answering is hard", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "command"), CLOSED)
def test_lines(line, command):
    assert read(line, spans=False)[1] == command


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("answer none", Command("abstain")),
        ("Answer: None.", Command("abstain")),
        ("abstain", Command("abstain")),
        ("answer abstain", Command("abstain")),
        ('answer "none"', Command("answer", 0, '"none"')),
        ("answer Dr. Who", Command("answer", 0, "Dr. Who")),
        ("answer U.S.", Command("answer", 0, "U.S.")),
        ("start 7", Command("start", 7)),
        ("End at 9.", Command("end", 9)),
    ],
)
def test_lines_where_answers_are_spans(line, command):
    assert read(line, spans=True)[1] == command


def test_the_last_line_that_parses_counts_and_what_comes_before_is_the_thought():
    reply = "I could store 2\nstore 1\nOn second thought:\nnext\nThat is all. I am done."
    assert read(reply, spans=False) == ("I could store 2\nstore 1\nOn second thought:", Command("next"))
    assert read("no idea", spans=False) == ("no idea", None)


def test_huge_replies_are_read_from_their_end():
    thought, command = read("x" * 1_000_000 + "\nrecall 1", spans=False)
    assert (len(thought), command) == (1_000_000, Command("recall", 1))
    assert read("next\n" + "y" * MOST_READ, spans=False)[1] is None
    assert read("answer " + "y" * MOST_LINE, spans=False)[1] is None
    assert read("next\n" * 400_000, spans=False)[1] == Command("next")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300) | st.text(alphabet="stornexupdalcaw 012:\n`*-\t\x00\u2028\ud800", max_size=120))
def test_any_string_is_read(reply):
    for spans in (False, True):
        thought, command = read(reply, spans=spans)
        assert reply.startswith(thought) or thought in reply
        if command is not None:
            again = read(str(command), spans=spans)[1]
            assert again is not None
            assert (again.verb, again.number) == (command.verb, command.number)
            assert "\n" not in str(command)


@given(st.text(max_size=100))
def test_one_line_is_one_line(text):
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line.isprintable() or not any(ord(c) < 32 for c in line)
    line.encode()


@pytest.mark.parametrize("env_id", TEXT_IDS)
def test_every_action_has_a_command_and_back(env_id):
    arrays = ReasonGymEnv(**TEXT_IDS[env_id], memory_slots=3)
    commands = Commands(arrays.source, arrays.batch.shapes)
    for action in range(arrays.action_space.n):
        thought, command = read(commands.of(action), spans=not arrays.choices)
        if command.verb == "answer":
            assert 1 + 3 * 3 + commands.choice(command.words) == action
        else:
            assert commands.action(command) == action
    with pytest.raises(ValueError, match="outside Discrete"):
        commands.of(arrays.action_space.n)


def test_every_action_has_a_command_and_back_where_answers_are_spans():
    made = ReasonGymTextEnv(dataset=SpanTexts([(("A cat sat.",), "Who?", ("cat",), (0,))]), memory_slots=2)
    commands = made.interface.commands
    for action in range(made.batch.shapes.actions):
        assert commands.action(read(made.command(action), spans=True)[1]) == action
    assert made.command(made.batch.shapes.actions - 1) == "abstain"


def test_commands_are_told_in_one_form():
    made = ReasonGymTextEnv(tasks=(8,), reason_when="any")
    for reply, command in (
        ("* **STORE 1**.", "store 1"), ("recall slot 1", "recall 1"), ("store 9: Mary  went", "store 9: Mary went"),
        ("recall 77", "recall 77"), ("hm", ""), ("answer Milk, apple!", "answer apple,milk"),
        ("answer Nobody.", "answer Nobody"),
    ):  # fmt: skip
        made.reset(seed=0)
        assert made.step(reply)[4]["command"] == command


def test_closed_answers_in_any_case_and_lists_in_any_order():
    lists, names, paths = (
        Commands(env.source, env.batch.shapes) for env in (ReasonGymEnv(tasks=(task,)) for task in (8, 5, 19))
    )
    assert lists.choice("Milk , APPLE") == lists.choice("apple,milk") is not None
    assert lists.choice("milk,bread") is None
    assert names.choice("mary") == names.choice("MARY") is not None
    assert paths.choice("N, W") == paths.choice("n,w") is not None
    assert paths.choice("n,e") != paths.choice("e,n")
