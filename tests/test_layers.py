"""Imports go down the floors of the design, never up, never sideways, never to the own root package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = (
    ("types", "errors", "seeding", "metrics", "jit"),
    ("tasks", "memory", "prm"),
    ("engine", "render"),
    ("envs",),
    ("text", "wrappers", "audit", "bench"),
    ("registration", "adapters"),
    ("report", "server"),
    ("cli", "__main__"),
)
FLOOR = {room: height for height, floor in enumerate(FLOORS) for room in floor}
SEPARATE = {"tasks", "memory", "prm"}
"""Siblings that never import one another."""
LEARNED = tuple(
    f"learned.{name}" for name in ("prm", "fitting", "step_encoder", "step_transformer", "step_network", "step_lm", "pool")
)
TREE = tuple(f"tree.{name}" for name in ("conditioned", "conditioned_network"))
HEAVY = {
    "torch": {f"reasongym.prm.{name}" for name in (*LEARNED, *TREE, "judge.local", "sentence_model")},
    "transformers": {f"reasongym.prm.{name}" for name in (*LEARNED, "judge.local", "sentence_model")},
    "safetensors": {"reasongym.prm.learned.prm", "reasongym.prm.judge.local"},
    "openai": {"reasongym.prm.judge.clients"},
    "anyio": {"reasongym.prm.judge.clients"},
    "diskcache": {"reasongym.prm.judge.store"},
    "jinja2": {"reasongym.report.page"},
    "stable_baselines3": {f"reasongym.adapters.{name}" for name in ("sb3", "sb3_observations", "feedback")},
    "fastapi": {f"reasongym.server.{name}" for name in ("app", "http", "websocket")},
    "starlette": {f"reasongym.server.{name}" for name in ("app", "websocket")},
    "pydantic": {f"reasongym.server.{name}" for name in ("wire", "websocket")},
    "pydantic_core": {"reasongym.server.guards"},
    "prometheus_client": {"reasongym.server.metrics"},
    "uvicorn": {f"reasongym.server.{name}" for name in ("command", "protocol")},
    "sb3_contrib": set(),
    "trl": set(),
    "minari": {"reasongym.adapters.minari", "reasongym.adapters.minari_recorder"},
    "h5py": {"reasongym.adapters.minari"},
    "ray": {"reasongym.adapters.ray"},
    "agents": set(),
}
"""Packages that only these modules of `reasongym` may import."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: str, is_package: bool) -> list[tuple[int, str]]:
    """(line, absolute name) of every import, those inside functions and under TYPE_CHECKING included."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, base] if base else parts)
            if base == "reasongym" or base.count(".") == 0:
                found += [(node.lineno, f"{base}.{alias.name}" if base == "reasongym" else base) for alias in node.names]
            else:
                found.append((node.lineno, base))
    return found


def faults(source: str, module: str, is_package: bool = False) -> list[str]:
    """What a module of `reasongym` imports against the rules, each as "module:line imports name: why"."""
    room = module.split(".")[1] if "." in module else "reasongym"
    out = []
    for line, name in imports(source, module, is_package):
        why = None
        top, *rest = name.split(".")
        if top in HEAVY and module not in HEAVY[top]:
            why = f"only {', '.join(sorted(HEAVY[top])) or 'code outside reasongym'} may"
        elif top == "reasongym" and room != "reasongym":
            target = rest[0] if rest else ""
            if target not in FLOOR:
                why = "a module never imports its own root package"
            elif room not in FLOOR:
                why = f"the room {room!r} stands on no floor: add it to FLOORS"
            elif FLOOR[target] > FLOOR[room]:
                why = f"{target} stands above {room}"
            elif target != room and {target, room} <= SEPARATE:
                why = f"{target} and {room} are siblings that meet only in types"
        if why:
            out.append(f"{module}:{line} imports {name}: {why}")
    return out


def modules() -> list[Path]:
    return sorted((ROOT / "reasongym").rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_imports_go_down(path):
    assert not faults(path.read_text(), module_name(path), path.name == "__init__.py")


def test_every_room_stands_on_a_floor():
    rooms = {module_name(path).split(".")[1] for path in modules() if path.parent != ROOT / "reasongym"}
    rooms |= {path.stem for path in (ROOT / "reasongym").glob("*.py")} - {"__init__"}
    assert rooms <= set(FLOOR), f"add to FLOORS: {sorted(rooms - set(FLOOR))}"


def test_the_root_package_imports_no_more_than_registration():
    source = (ROOT / "reasongym" / "__init__.py").read_text()
    rooms = {name.split(".")[1] for _, name in imports(source, "reasongym", True) if name.startswith("reasongym.")}
    assert rooms <= {"registration", "errors", "types"}


@pytest.mark.parametrize(
    ("source", "module", "why"),
    [
        ("import reasongym", "reasongym.envs", "own root package"),
        ("from reasongym import __version__", "reasongym.envs", "own root package"),
        ("from . import __version__", "reasongym.envs", "own root package"),
        ("from reasongym.engine.batch import Engine", "reasongym.prm.lexical", "engine stands above prm"),
        ("def f():\n    from ..engine import batch", "reasongym.prm.lexical", "engine stands above prm"),
        ("from reasongym.memory.gates import Gate", "reasongym.prm.lexical", "siblings"),
        ("import torch.nn as nn", "reasongym.engine.batch", "reasongym.prm.learned.prm"),
        (
            "from stable_baselines3 import PPO",
            "reasongym.wrappers.embed",
            "reasongym.adapters.sb3, reasongym.adapters.sb3_observations may",
        ),
        ("from agents.ppo import MemoryPPO", "reasongym.cli", "only code outside reasongym may"),
        ("from reasongym.types import Story", "reasongym.news", "stands on no floor"),
    ],
)
def test_a_fault_is_seen(source, module, why):
    assert any(why in fault for fault in faults(source, module))


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from reasongym.prm.base import NEXT", "reasongym.prm.lexical"),
        ("from reasongym import types", "reasongym.prm.lexical"),
        ("from reasongym.types import Story", "reasongym.tasks.babi"),
        ("from stable_baselines3.common.vec_env import VecEnv", "reasongym.adapters.sb3"),
        ("import torch", "reasongym.prm.learned.prm"),
        ("import openai", "reasongym.prm.judge.clients"),
    ],
)
def test_what_is_allowed(source, module):
    assert not faults(source, module)
