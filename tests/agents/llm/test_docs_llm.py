"""The training block of docs/llm.md runs, with the test's model and few turns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("transformers")

PAGE = Path(__file__).resolve().parents[3] / "docs" / "llm.md"


def test_the_block_runs(model_folder, tmp_path):
    block = next(code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "LLMPPO(" in code)
    for told, short in (
        ('"runs/llm"', repr(str(model_folder))), ('"runs/llm-ppo"', repr(str(tmp_path / "ppo"))),
        ("60_000", "16"), ("rounds=16", "rounds=2"), (", 64,", ", 4,"), ('{"learning_rate": 2e-4}', '{"n_steps": 4}'),
    ):  # fmt: skip
        assert told in block
        block = block.replace(told, short)
    space: dict = {"__name__": "docs"}
    exec(compile(block, "docs/llm.md", "exec"), space)
    assert space["trainer"].num_timesteps == 16
    assert (tmp_path / "ppo" / "model.safetensors").is_file()
