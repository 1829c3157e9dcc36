"""What must hold after a block of the documentation, beyond that it ran: by the name that pages use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Space = Mapping[str, Any]


def a_policy_trains_with_the_cell(space: Space, printed: str) -> None:
    from agents.ppo import MemoryPPO
    from reasongym.adapters.sb3 import make_vec_env

    env = make_vec_env("ReasonGym-bAbI-qa1-v0", n_envs=2, seed=0)
    MemoryPPO("MemoryPolicy", env, n_steps=8, batch_size=16, policy_kwargs={"core": "trace"}).learn(16)


def the_judge_was_asked(space: Space, printed: str) -> None:
    assert "'goal'" in printed
    assert space["judge"].ledger.as_dict()["calls"] > 0
    assert Path("judge-cache").is_dir()


def the_model_was_trained_and_saved(space: Space, printed: str) -> None:
    assert space["trainer"].num_timesteps == 16
    assert Path("runs/llm-ppo/model.safetensors").is_file()


def six_episodes_were_written(space: Space, printed: str) -> None:
    assert len(episodes_as_the_report_reads_them()) == 6


def an_episode_with_thoughts_was_written(space: Space, printed: str) -> None:
    (episode,) = episodes_as_the_report_reads_them()
    assert episode["steps"][0]["thought"] == "I follow the expert."


def episodes_as_the_report_reads_them() -> Sequence[Mapping[str, Any]]:
    from reasongym.report import read_runs
    from reasongym.wrappers.episodes import FORMAT
    from tests.report.conftest import result, write_run

    folder = write_run(Path("runs"), result("row", "s", 0))
    Path("episodes.jsonl").rename(folder / "episodes.jsonl")
    episodes = read_runs(folder).runs[0].episodes
    assert all(episode["format"] == FORMAT for episode in episodes)
    return episodes


def the_tree_is_that_of_the_page(space: Space, printed: str) -> None:
    from reasongym.prm.tree.tree import RewardTree

    page = (ROOT / "docs" / "reward_tree.md").read_text()
    tree = RewardTree.load(Path("tree.json"))
    told = f"Of {len(space['raw'].criteria)} criteria in words, {len(tree.fine)} are left in {len(tree.coarse)} families"
    assert told in page
    found, said = (float(re.search(r"AUC (?:of )?([\d.]+)", text)[1]) for text in (printed, page.split("It prints")[1]))
    assert found == pytest.approx(said, abs=0.1)


def knowing_earns_more_than_hoarding(space: Space, printed: str) -> None:
    expert, hoarder = (space["earned"](space["Chained"](), space[name], 64) for name in ("expert", "recall_all"))
    assert hoarder < 0 < expert
    assert abs(space["earned"](space["WordOverlap"](), space["expert"], 64)) < 0.1


CHECKS: dict[str, Callable[[Space, str], None]] = {
    check.__name__.replace("_", " "): check
    for check in (
        a_policy_trains_with_the_cell,
        the_judge_was_asked,
        the_model_was_trained_and_saved,
        six_episodes_were_written,
        an_episode_with_thoughts_was_written,
        the_tree_is_that_of_the_page,
        knowing_earns_more_than_hoarding,
    )
}
