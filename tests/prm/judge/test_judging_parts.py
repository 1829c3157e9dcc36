"""Parts of the judge that need no model: fences, prompt files, label probabilities, calibration, cost, the store."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("torch")
from reasongym.prm.judge.calibration import Calibration, fit
from reasongym.prm.judge.clients import label_probabilities
from reasongym.prm.judge.errors import CostError, UnreadableError
from reasongym.prm.judge.ledger import TEMPLATE_TOKENS, Budget, Ledger
from reasongym.prm.judge.local import common
from reasongym.prm.judge.questions import PROMPTS, Asking, Question, Rubric, read_rubric
from reasongym.prm.judge.store import ReplyStore, question_key
from reasongym.prm.judge.verdicts import Reply, share

QUESTION = Question("verdict", "logic", "system", "| step", "ask", 1)


def test_questions_share_their_beginning_and_end_with_the_rubric():
    asking = Asking([read_rubric(PROMPTS / f"{name}.txt") for name in ("logic", "goal")], 64)
    material = asking.solution("1 + 1?", ["One and one.", "Two."])
    asked = [asking.question(kind, c, material, order) for kind in ("topic", "verdict", "json") for c in ("logic", "goal")
             for order in (False, True)]  # fmt: skip
    assert len({question.content for question in asked}) == len(asked)
    assert all(question.content.startswith(material + "\n") for question in asked)
    assert "yes or no" in asked[0].ask
    assert "no or yes" in asked[1].ask
    longer = asking.solution("1 + 1?", ["One and one.", "Two.", "So 2."])
    assert longer.startswith(material)  # a server's prefix cache serves the next step too


def test_shipped_prompts_have_versions():
    for path in PROMPTS.glob("*.txt"):
        tag = path.read_text().splitlines()[0]
        assert tag.startswith(f"{path.stem}-"), path.name
    assert {path.stem for path in PROMPTS.glob("*.txt")} >= {"judge", "logic", "coherence", "goal"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line must be a version tag"),
        ("[applies]\nDoes it?\n[verdict]\nIs it?", r"got '\[applies\]'"),
        ("rigour-1\nDoes it?", "sections that begin with a line"),
        ("rigour-1\n[applies]\nDoes it?", r"lacks the section \[verdict\]"),
        ("rigour-1\n[applies]\n[verdict]\nIs it?", r"lacks the section \[applies\]"),
    ],
)
def test_a_broken_rubric_is_named(tmp_path, text, said):
    path = tmp_path / "rigour.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_rubric(path)


def test_a_rubric_of_ones_own(tmp_path):
    path = tmp_path / "rigour.txt"
    path.write_text("rigour-3\n[applies]\nDoes it?\n[verdict]\nIs it?\n")
    assert read_rubric(path) == Rubric("rigour", "rigour-3", "Does it?", "Is it?")


def test_label_probabilities_add_spellings():
    top = [("yes", math.log(0.5)), (" Yes", math.log(0.25)), ("NO", math.log(0.125)), ("maybe", math.log(0.1))]
    assert label_probabilities(top) == pytest.approx({"yes": 0.75, "no": 0.125})
    p, mass = share(Reply(label_probabilities(top)), QUESTION)
    assert (p, mass) == (pytest.approx(0.75 / 0.875), pytest.approx(0.875))


@pytest.mark.parametrize("logprob", [math.nan, 0.5, "high", None])
def test_a_probability_that_is_none_is_named(logprob):
    with pytest.raises(UnreadableError, match="the token 'yes' has the log-probability"):
        label_probabilities([("yes", logprob)])


def test_a_reply_without_probabilities_is_no_verdict():
    with pytest.raises(UnreadableError, match="carries no probabilities of yes and no"):
        share(Reply(text="yes"), QUESTION)


def test_calibration_finds_the_numbers_it_was_made_from():
    draw = np.random.default_rng(0)
    z = draw.normal(0, 1.5, 20_000)
    good = draw.random(20_000) < 1 / (1 + np.exp(-(0.5 * z + 0.8)))
    found = fit(1 / (1 + np.exp(-z)), good)
    assert (found.slope, found.offset) == (pytest.approx(0.5, abs=0.05), pytest.approx(0.8, abs=0.05))
    assert found(0.5) == pytest.approx(1 / (1 + np.exp(-0.8)), abs=0.02)


def test_calibration_does_not_run_away():
    assert Calibration()(0.123) == 0.123
    assert math.isnan(Calibration(2, 1)(math.nan))
    for p, good in (([1.0, 0.0], [True, False]), ([0.9], [True]), ([0.2, 0.3, 0.4], [True] * 3), ([0.0] * 50, [True] * 50)):
        found = fit(p, good)
        assert abs(found.slope) < 20
        assert abs(found.offset) < 20
        assert 0 <= found(0.5) <= 1
    with pytest.raises(ValueError, match="of equal length"):
        fit([0.5], [True, False])
    with pytest.raises(ValueError, match="at least one scored step"):
        fit([math.nan], [True])


def test_the_budget_waits_for_running_calls_and_then_refuses():
    ledger = Ledger()
    tokens = len("system") + len("| step\nask") + TEMPLATE_TOKENS
    budget = Budget(ledger, (1e6, 0.0), 2.5 * tokens)
    assert budget.most(QUESTION) == tokens
    assert budget.fits(QUESTION)
    assert budget.fits(QUESTION)
    assert not budget.fits(QUESTION)  # two are running
    budget.settle(QUESTION, 10.0)
    assert budget.fits(QUESTION)
    budget.settle(QUESTION, tokens)
    budget.settle(QUESTION, tokens)
    with pytest.raises(CostError, match="what was paid for is stored: raise max_cost"):
        budget.fits(QUESTION)


def test_the_store_keeps_replies_as_they_are(tmp_path):
    reply = Reply({"yes": 0.25, "no": 0.5}, "né\n", "length", "", 7, 1)
    store = ReplyStore(tmp_path)
    key = question_key("model", QUESTION)
    assert store.get(key) is None
    store.put(key, reply)
    assert ReplyStore(tmp_path).get(key) == reply
    other = Question("verdict", "logic", "system", "| stepask", "", 1)
    keys = {question_key("model", QUESTION), question_key("model/bfloat16", QUESTION), question_key("model", other)}
    assert len(keys) == 3


def test_common_beginnings():
    assert common([(1, 2, 3), (1, 2), (1, 2, 4)]) == 2
    assert common([(1,), (2,)]) == 0
    assert common([(5, 6)]) == 2


def test_a_judge_that_nobody_closed_does_not_keep_a_program_from_ending():
    pytest.importorskip("openai")
    code = (
        "from reasongym.prm.judge import Ledger\nfrom reasongym.prm.judge.clients import ServerClient\n"
        "client = ServerClient('http://127.0.0.1:9/v1', 'model', Ledger())\nprint(client.identity)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "model@http://127.0.0.1:9/v1/unknown\n")


def test_a_client_that_is_gone_leaves_no_thread():
    pytest.importorskip("openai")
    from reasongym.prm.judge.clients import ServerClient

    others = set(threading.enumerate())  # of earlier tests, which may end meanwhile
    client = ServerClient("http://127.0.0.1:9/v1", "model", Ledger())
    assert len(set(threading.enumerate()) - others) == 1
    client.close()
    client.close()
    assert not set(threading.enumerate()) - others
    client = ServerClient("http://127.0.0.1:9/v1", "model", Ledger())
    assert len(set(threading.enumerate()) - others) == 1
    del client
    gc.collect()
    assert not set(threading.enumerate()) - others
