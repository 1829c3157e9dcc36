"""A PRM by its name: in environments, in the bench, and what is said of a name that stands for nothing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.errors import PRMError, UnknownNameError
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.blame import place_of
from reasongym.prm.lexical import LexicalPRM
from reasongym.prm.loading import BUILT_IN, FORMS, load_prm

ROOT = Path(__file__).resolve().parents[2]
ID = "ReasonGym-bAbI-qa1-v0"
THRIFT = """
import numpy as np

class Thrift:
    criteria, needs_annotation, version, default_beta = ("thrift",), False, "thrift-1", {"thrift": 0.5}

    def score(self, steps):
        return np.where(steps.kind == 0, -1.0, 0.0)[:, None]

def needing(x):
    return x

def broken():
    return {}["beta"]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def tiny():
    """A learned PRM, untrained."""
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from reasongym.prm.learned import LearnedPRM, Shape, StepNetwork

    return LearnedPRM(StepNetwork(("recall", "mary"), 1, Shape(width=16, layers=1, heads=2, channels=2)), ("correct",))


def test_built_in_names():
    assert isinstance(load_prm("annotated"), AnnotatedPRM)
    assert isinstance(load_prm("lexical"), LexicalPRM)


def test_an_object_of_a_file_makes_the_reward(here):
    (here / "mine.py").write_text(THRIFT)
    env = gym.make(ID, prm="mine.py:Thrift", utility="none")
    env.reset(seed=0)
    assert env.step(0)[4]["reward_terms"]["thrift"] == -0.5
    by_module = gym.make(ID, observer="mine:Thrift")
    by_module.reset(seed=0)
    assert by_module.step(0)[0]["scores"].tolist() == [-1]


@pytest.mark.parametrize("as_path", [False, True])
def test_the_folder_of_a_learned_prm_is_the_prm(here, as_path):
    prm = tiny()
    prm.save_pretrained(here / "runs" / "prm")
    name = here / "runs" / "prm" if as_path else "runs/prm"
    assert load_prm(name).version == prm.version
    rewards = []
    for given in (prm, name):
        env = gym.make_vec(ID, num_envs=3, prm=given, observer=given, beta={"correct": 1.0}, utility="none")
        env.reset(seed=1)
        observation, reward, *_ = env.step(np.zeros(3, int))
        assert observation["scored"].all()
        rewards.append(reward)
    np.testing.assert_array_equal(*rewards)
    assert rewards[0].any()


def test_a_folder_that_is_cut_short_is_named(here):
    tiny().save_pretrained(here / "prm")
    (here / "prm" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(PRMError, match="the learned PRM in prm cannot be read: SafetensorError"):
        load_prm("prm")
    (here / "prm" / "model.safetensors").unlink()
    with pytest.raises(PRMError, match="the learned PRM in prm cannot be read: FileNotFoundError"):
        load_prm("prm")
    config = json.loads((here / "prm" / "reasongym_prm.json").read_text())
    (here / "prm" / "reasongym_prm.json").write_text(json.dumps({**config, "kind": "tree"}))
    with pytest.raises(PRMError, match="cannot be read: KeyError: 'tree'"):
        load_prm("prm")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("lexcal", UnknownNameError, "unknown PRM 'lexcal': did you mean 'lexical'"),
        ("runs/prn", PRMError, "no PRM 'runs/prn': it does not exist; expected the folder of a learned PRM (here is "),
        ("mine.py", PRMError, "say which object of it is the PRM: mine.py:Object"),
        ("notes.txt", PRMError, "no PRM 'notes.txt': it is a file"),
        ("empty", PRMError, "the folder empty holds no learned PRM: reasongym_prm.json is missing"),
        ("empty", PRMError, "or ask the language model in it with judge:empty"),
        ("nowhere.py:X", PRMError, "there is no file nowhere.py"),
        ("no_such_module:X", PRMError, "there is no module 'no_such_module'"),
        ("mine.py:Thrfit", UnknownNameError, "did you mean 'Thrift'"),
        ("mine.py:needing", PRMError, "mine.py:needing cannot be made without x"),
        ("mine.py:broken", PRMError, "mine.py:broken cannot be made: KeyError: 'beta'\n  at "),
        ("mine.py:broken", PRMError, "mine.py:14: return {}"),
        ("slip.py:X", PRMError, "slip.py cannot be run: SyntaxError: "),
        ("slip.py:X", PRMError, "slip.py:2: def f(:"),
        ("lacking.py:X", PRMError, "lacking.py:1: import no_such_package"),
        (
            "lacking:X",
            PRMError,
            "the module lacking cannot be imported: ModuleNotFoundError: No module named 'no_such",
        ),
        ("judge:", PRMError, "a judge is named judge:MODEL or judge:MODEL@http://HOST:PORT/v1, got 'judge:'"),
        ("judge:model@localhost", PRMError, "a judge is named judge:MODEL"),
    ],
)
def test_a_name_that_stands_for_nothing_is_answered(here, name, error, message):
    (here / "empty").mkdir()
    (here / "notes.txt").write_text("nothing")
    (here / "mine.py").write_text(THRIFT)
    (here / "slip.py").write_text("x = 1\ndef f(:\n    pass\n")
    (here / "lacking.py").write_text("import no_such_package\n")
    for way in (load_prm, lambda name: gym.make(ID, prm=name), lambda name: gym.make(ID, observer=name)):
        with pytest.raises(error, match=re.escape(message)) as raised:
            way(name)
        if "\n  at " in str(raised.value):
            assert raised.value.__cause__ is not None


@pytest.mark.parametrize("name", ["./nowhere", "missing folder", "/nowhere/at/all"])
def test_a_judge_without_a_model_is_answered_at_once(here, name):
    pytest.importorskip("transformers")
    for given in (f"judge:{name}", f"judge:{here}"):
        with pytest.raises(PRMError, match=r"there is no folder .*; expected|holds no language model: config\.json is"):
            load_prm(given)


def test_a_judge_with_a_broken_model_is_answered(here, monkeypatch):
    pytest.importorskip("transformers")
    (here / "model").mkdir()
    (here / "model" / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(PRMError, match="the language model in model cannot be loaded; expected a folder that save_pretrained"):
        load_prm("judge:model")


def test_the_line_that_is_named_is_the_users_own(here):
    (here / "deep.py").write_text("import json\n\ndef parse():\n    return json.loads('{')\n")
    with pytest.raises(PRMError, match=re.escape("deep.py:4: return json.loads")):
        load_prm("deep.py:parse")
    with pytest.raises(ValueError) as raised:
        json.loads("{")
    assert place_of(raised.value).startswith(f"{__file__}:")
    assert place_of(ValueError("never raised")) == ""


def test_the_page_names_every_form():
    table = (ROOT / "docs" / "reward.md").read_text().split("<!-- names -->")[1].split("\n\n")[0]
    named = re.findall(r"`([^`]+)`", " ".join(line.split("|")[1] for line in table.strip().splitlines()[2:]))
    assert named == [*BUILT_IN, *FORMS]
