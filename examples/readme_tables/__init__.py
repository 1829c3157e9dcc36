"""The tables of README and docs, each made from a result file or a folder of them."""

from functools import partial
from importlib import import_module
from typing import Any

from readme_tables import babi, cores, environments, language, learning, models, scale


def of_suite(table: str, report: Any) -> str:
    """A table of `readme_tables.suites`, which alone needs torch."""
    return getattr(import_module("readme_tables.suites"), table)(report)


CORE = "parts/core.json"
TABLES: dict[str, tuple[Any, ...]] = {
    "ids": ("audit.json", environments.ids),
    "coverage": ("audit.json", partial(environments.audit, utility="coverage")),
    "level": ("audit.json", partial(environments.audit, utility="level")),
    "bounds": ("audit.json", environments.bounds),
    "keeping rules": ("keeping_rules.json", environments.keeping),
    "learning": ("published", learning.published),
    "babi, one agent": ("joint", babi.joint),
    "babi, an agent each": ("parts/babi20.json", "transfer.json", babi.single),
    "core": (CORE, partial(of_suite, "board")),
    "core, pairs": (CORE, partial(of_suite, "pairs")),
    "core, told": (CORE, partial(of_suite, "supervision")),
    "task 2": ("task2.json", partial(of_suite, "differences")),
    "ablations": ("ablations.json", partial(of_suite, "differences")),
    "cores": ("bench_cores.json", cores.speed),
    "copying": ("copy_task.json", cores.copying),
    "answers alone": ("supervised.json", cores.answers_alone),
    "transfer": ("transfer.json", environments.transfer),
    "speed": ("bench_engine.json", environments.speed),
    "ppo": ("bench_ppo.json", learning.ppo),
    "agreement": ("agreement.json", models.agreement),
    "prm": ("train_prm.json", models.learned),
    "prm sets": ("prm_bench_suite.json", models.sets),
    "rewards": ("reward_models", learning.rewards),
    "readers": ("text_readers.json", environments.readers),
    "text": ("text", learning.text),
    "rounds": ("self_reward.json", learning.rounds),
    "gains": ("self_reward.json", learning.gains),
    "language models": ("llm_task2", language.trained),
    "windows": ("llm_windows.json", language.windows),
    "self-preference": ("self_preference.json", language.self_preference),
    "observers": ("llm_observers", language.observers),
    "ray": ("bench_ray.json", scale.ray),
    "clusters": ("bench_ray.json", scale.clusters),
    "tree, threshold carried": ("compare_tree.json", partial(models.tree, threshold="carried")),
    "tree, threshold fitted": ("compare_tree.json", partial(models.tree, threshold="fitted")),
}
"""By name: the result files (or folders) that it is made from, and its maker, which takes what each holds."""
