"""Imports among the agents go down the floors, and on one floor they run in no circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {
    "what others are made of": ("budget", "provenance", "ranges", "curriculum", "renaming", "memory", "distributions", "frames",
                                "matching", "roles", "spans", "gates", "embedding_store", "sentence_embeddings",
                                "frozen_encoder", "encoders", "bodies", "heads"),
    "MemoryPPO": ("policy", "rollout", "ppo", "checkpoint"),
    "what an agent is": ("evaluation", "base", "episodes", "ray_rollouts", "annotators", "labels", "reward_model"),
    "agents": ("baselines", "self_reward", "goodhart", "llm", "llm_ppo", "llm_dpo", "llm_rounds", "trl_steps"),
    "what compares them": ("benchmark",),
}  # fmt: skip
FLOOR = {room: height for height, rooms in enumerate(FLOORS.values()) for room in rooms}


def modules() -> dict[str, Path]:
    """Every module of `agents` by its name."""
    found = {}
    for path in sorted((ROOT / "agents").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str, known: set[str], typing: bool = True) -> set[str]:
    """The modules of `agents` that a module imports, inside functions too, and under `if TYPE_CHECKING` with `typing`."""
    tree, names = ast.parse(source), set()
    if not typing:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name in known and name != "agents"}


def faults(imports: dict[str, set[str]]) -> list[str]:
    """What is imported from a floor above."""
    rooms = [(name, other, name.split(".")[1], other.split(".")[1]) for name, others in imports.items() for other in others]
    return [f"{name} imports {other} from above" for name, other, room, theirs in rooms if FLOOR[theirs] > FLOOR[room]]


def whole(typing: bool = True) -> dict[str, set[str]]:
    found = modules()
    return {name: imported(path.read_text(), set(found), typing) for name, path in found.items() if name != "agents"}


def test_every_module_stands_on_a_floor():
    assert {name.split(".")[1] for name in whole()} == set(FLOOR)


def test_imports_go_down():
    assert not faults(whole())


def test_imports_run_in_no_circle():
    # a package imports its own modules, and they may import their siblings through it
    graph = {name: {o for o in others if not o.startswith(f"{name}.")} for name, others in whole(typing=False).items()}
    TopologicalSorter(graph).prepare()


def test_a_fault_is_seen():
    found = imported("def f():\n    from agents.benchmark import suite", {"agents.benchmark", "agents.benchmark.suite"})
    assert found == {"agents.benchmark", "agents.benchmark.suite"}
    assert len(faults({"agents.ppo": found})) == 2
    with pytest.raises(CycleError):
        TopologicalSorter({"agents.a": {"agents.b"}, "agents.b": {"agents.a"}}).prepare()
