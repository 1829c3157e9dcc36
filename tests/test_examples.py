"""Every script in `examples/` runs with --smoke (so README's tables are the committed ones); README tells what there is."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import gymnasium as gym
import pytest
from scripts import run_script

import reasongym  # noqa: F401

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
OPTIONAL = (
    "agents", "datasets", "fastapi", "httpx", "minari", "prometheus_client", "ray", "rich", "safetensors", "sb3_contrib",
    "stable_baselines3", "tokenizers", "torch", "transformers", "trl", "tyro", "uvicorn", "websockets",
)  # fmt: skip


def skip_without(code: str) -> None:
    """Skips where something that the code imports is not installed."""
    for package in OPTIONAL:
        if re.search(rf"^\s*(import|from) {package}\b", code, re.MULTILINE) and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if "ray.rllib" in code and not list(importlib.metadata.distributions(name="dm-tree")):
        pytest.skip("ray is installed without its extra rllib")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_runs(script, tmp_path):
    skip_without(script.read_text())
    code, printed = run_script(script, "--smoke", cwd=tmp_path, PYTHONPATH=str(ROOT), MPLBACKEND="Agg")
    assert code == 0, f"exit code {code} (None: out of time)\n{printed[-6000:]}"


def test_short_scripts_are_short():
    for name, most in (("quickstart", 60), ("add_a_task", 80), ("add_a_prm", 80)):
        lines = len((ROOT / "examples" / f"{name}.py").read_text().splitlines())
        assert lines < most, f"{name}.py has {lines} lines"


def test_extensions_in_the_readme_are_short():
    extend = (ROOT / "README.md").read_text().split("## Extend it")[1]
    for block in re.findall(r"```python\n(.*?)```", extend, re.DOTALL):
        assert len([line for line in block.splitlines() if line.strip()]) < 20


def test_every_keyword_stands_in_the_readme():
    from reasongym.envs import SETTING_KEYWORDS, SOURCE_KEYWORDS

    table = (ROOT / "README.md").read_text().split("### Keywords")[1].split("\n## ")[0]
    missing = [name for name in (*SOURCE_KEYWORDS, *SETTING_KEYWORDS) if f"`{name}`" not in table]
    assert not missing


def test_every_key_stands_in_the_reference():
    text = (ROOT / "docs" / "environments.md").read_text()
    env = gym.make("ReasonGym-bAbI-qa1-v0")
    _, info = env.reset(seed=0)
    keys, ended = set(env.observation_space.spaces) | set(info), False
    while not ended:
        _, _, ended, _, info = env.step(env.unwrapped.expert_action())
        keys |= set(info)
    assert not [key for key in keys if f"`{key}`" not in text]


def test_links_and_files_of_the_readme_exist():
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}, which does not exist"
    order = (ROOT / "README.md").read_text().split("## Reading order")[1].split("## Licence")[0]
    for row in re.findall(r"^\| (`.*?) \|", order, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", row):
            assert any((ROOT / room / name).exists() for room in ("", "reasongym")), f"the reading order names {name}"
