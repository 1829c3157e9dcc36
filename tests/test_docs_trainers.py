"""docs/trainers.md: its Python runs, its scripts and options exist, and RLlib's environment lets nothing illegal pass."""

from __future__ import annotations

import importlib.util
import re
import runpy
import shlex
from pathlib import Path

import gymnasium as gym
import pytest

import reasongym  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "trainers.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}")[1].split("\n## ")[0]


def test_the_section_on_minari_runs(tmp_path, monkeypatch):
    for package in ("minari", "h5py"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", section("Minari"), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "docs/trainers.md", "exec"), names)


@pytest.mark.parametrize("command", re.findall(r"^\S*python (examples/.*)$", PAGE, re.MULTILINE))
def test_scripts_and_their_options_exist(command):
    script, *words = shlex.split(command)
    source = (ROOT / script).read_text()
    for option in (word[2:] for word in words if word.startswith("--")):
        name = option.removeprefix("no-")
        assert f'"--{name}"' in source or f"\n    {name.replace('-', '_')}: " in source, option


def test_an_illegal_action_ends_the_rllib_script():
    pytest.importorskip("ray.rllib", reason="ray[rllib] is not installed (docs/trainers.md says how to install it apart)")
    script = runpy.run_path(str(ROOT / "examples" / "rllib_ppo.py"))
    env = script["make_env"]({"env_id": "ReasonGym-bAbI-qa1-v0", "env_kwargs": '{"memory_slots": 2}'})
    observation, _ = env.reset(seed=0)
    assert observation.keys() == {"observations", "action_mask"}
    assert isinstance(env.observation_space["observations"], gym.spaces.Box)
    env.step(int(observation["action_mask"].argmax()))
    with pytest.raises(AssertionError, match="is illegal"):
        env.step(env.action_space.n - 1)  # an answer while there is text
