"""What a benchmark plays: a suite, as it stands in `examples/settings/NAME.json`, fixed before the first run.

    {"protocol": 1, "about": "...", "budget": {"seconds": 180}, "seeds": [1, 2, 3],
     "settings": {"qa1": {"env": "ReasonGym-bAbI-qa1-v0", "keywords": {"source": "{data}/babi/en-10k.tar.gz"}}},
     "rows": {"ppo": {"agent": "ppo"}, "mine": {"agent": "my_pkg:MyAgent", "options": {"size": 64}}}}

The file is JSON, not Python, so that what was fixed can be put into the results as it stands, and compared. Every part is a
frozen dataclass here, which says what it may hold. `{data}` stands for the folder of the published files, in any text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from agents.baselines import baseline
from agents.baselines.heuristics import RULES
from agents.memory import CORES
from reasongym.errors import unknown

PROTOCOL = 1
"""How runs are played and written down; raised whenever results would no longer be comparable."""
FOLDER = Path(__file__).resolve().parents[2] / "examples" / "settings"
NAME = re.compile(r"[A-Za-z0-9_.+]+(-[A-Za-z0-9_.+]+)*")
"""Names of rows and settings: they are parts of folder names, joined by "--"."""


@dataclass(frozen=True)
class Setting:
    """Problems to be answered under a memory.

    Attributes:
        env: a registered id.
        keywords: of its environments: source, difficulty, memory_slots, memory_view, ...; not `split`.
        threshold: the success whose steps are counted.
        seconds: of learning, instead of the suite's budget: for every row alike.
        about: in words.
    """

    env: str
    keywords: Mapping[str, Any] = field(default_factory=dict)
    threshold: float = 0.9
    seconds: float | None = None
    about: str = ""

    def __post_init__(self) -> None:
        if "split" in self.keywords:
            raise ValueError("a setting trains on the split 'train' and is tested on that of `evaluation`: leave `split` out")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must lie in (0, 1], got {self.threshold!r}")
        given = self.seconds
        if given is not None and (isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf):
            raise ValueError(f"the seconds of a setting must be a positive number, got {given!r} for {self.env}")


@dataclass(frozen=True)
class Row:
    """An agent with its options.

    Attributes:
        agent: a name of `agents.baselines.BASELINES`, or an import path `pkg.module:Class`.
        options: arguments of its class.
        keywords: of environments, before the setting's and the baseline's own.
        reward_model: how a learned PRM is trained that makes its rewards (`agents.benchmark.reward_models.Plan`), or
            `{"folder": ...}` of one; None: as the keywords say.
        settings: names of the settings that it can play; None: all.
        seeds: its own; None: the suite's.
        tuning_trials: how many configurations were tried for it before this one was fixed.
        about: in words.
    """

    agent: str
    options: Mapping[str, Any] = field(default_factory=dict)
    keywords: Mapping[str, Any] = field(default_factory=dict)
    reward_model: Mapping[str, Any] | None = None
    settings: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    tuning_trials: int = 0
    about: str = ""

    @property
    def trained(self) -> bool:
        """Whether it spends the budget; rules do not."""
        return self.agent not in RULES


@dataclass(frozen=True)
class Budget:
    """What a run may spend on learning.

    Attributes:
        seconds: CPU seconds, the same for all rows; evaluation is not counted.
        timesteps: frames, at most.
    """

    seconds: float
    timesteps: int = 1_000_000_000

    def __post_init__(self) -> None:
        if not self.seconds > 0 or self.timesteps < 1:
            raise ValueError(f"a budget must be positive, got seconds={self.seconds!r}, timesteps={self.timesteps!r}")


@dataclass(frozen=True)
class Evaluation:
    """How a run is measured.

    Attributes:
        split: held-out problems.
        problems: of the final evaluation, each once, at most.
        points: of the curve, evenly over the CPU seconds.
        curve_problems: held-out problems of each, at most.
        episodes: held-out episodes that are kept to be looked at.
        horizon: frames over which the area under the curve by frames is taken; a curve that ends before stays where it is.
    """

    split: str = "validation"
    problems: int = 2_000
    points: int = 10
    curve_problems: int = 200
    episodes: int = 4
    horizon: int = 500_000

    def __post_init__(self) -> None:
        if min(self.problems, self.curve_problems, self.horizon) < 1 or min(self.points, self.episodes) < 0:
            raise ValueError(f"evaluation needs problems, and no negative counts, got {self}")


@dataclass(frozen=True)
class Run:
    """A run of a suite; `config` is everything that its result depends on, but for the code."""

    suite: str
    row: str
    setting: str
    seed: int
    config: Mapping[str, Any]

    @property
    def id(self) -> str:
        return f"{self.row}--{self.setting}--{self.seed}"


@dataclass(frozen=True)
class Suite:
    """See the module.

    Attributes:
        compare: pairs of rows (ours, theirs) whose probability of improvement is reported.
        num_envs: training environments of a run.
        source: the file's content.
    """

    name: str
    settings: Mapping[str, Setting]
    rows: Mapping[str, Row]
    budget: Budget
    seeds: tuple[int, ...]
    evaluation: Evaluation = Evaluation()
    compare: tuple[tuple[str, str], ...] = ()
    num_envs: int = 256
    about: str = ""
    source: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for kind, names in (("setting", self.settings), ("row", self.rows)):
            if not names:
                raise ValueError(f"suite {self.name!r} has no {kind}s")
            for name in names:
                if not NAME.fullmatch(name):
                    raise ValueError(f"the name of a {kind} is letters, digits, '_', '.', '+' and single '-', got {name!r}")
        for name, row in self.rows.items():
            baseline(row.agent)
            if (core := row.options.get("core", "none")) not in CORES and ":" not in row.agent:
                raise unknown(f"core of row {name!r}", core, CORES)
            for setting in row.settings or ():
                if setting not in self.settings:
                    raise unknown(f"setting of row {name!r}", setting, self.settings)
        for name in (name for pair in self.compare for name in pair):
            if name not in self.rows:
                raise unknown("row to compare", name, self.rows)
        if not self.seeds:
            raise ValueError(f"suite {self.name!r} has no seeds")

    def plays(self, row: str, setting: str) -> bool:
        """Whether a row plays a setting."""
        chosen = self.rows[row].settings
        return chosen is None or setting in chosen

    def seconds(self, setting: str) -> float:
        """CPU seconds that every row learns for in a setting."""
        return self.settings[setting].seconds or self.budget.seconds

    def runs(self, device: str = "cpu") -> Iterator[Run]:
        """All runs, seed by seed, so that a suite that was played in part has all rows in it."""
        each = {name: row.seeds or self.seeds for name, row in self.rows.items()}
        for place in range(max(map(len, each.values()))):
            for setting in self.settings:
                for name, seeds in each.items():
                    if place < len(seeds) and self.plays(name, setting):
                        yield Run(self.name, name, setting, seeds[place], self.config(name, setting, device))

    def config(self, row: str, setting: str, device: str) -> dict[str, Any]:
        """What runs of a row on a setting depend on, as JSON keeps it."""
        there, who = self.settings[setting], self.rows[row]
        keywords = {**there.keywords, **baseline(who.agent).keywords, **who.keywords}
        config = {
            "env": there.env,
            "keywords": keywords,
            "threshold": there.threshold,
            "agent": who.agent,
            "options": dict(who.options),
            "reward_model": None if who.reward_model is None else dict(who.reward_model),
            "trained": who.trained,
            "tuning_trials": who.tuning_trials,
            "budget": {**asdict(self.budget), "seconds": self.seconds(setting)},
            "evaluation": asdict(self.evaluation),
            "num_envs": self.num_envs,
            "device": device,
        }
        return json.loads(json.dumps(config))

    def with_agent(self, path: str) -> Suite:
        """A suite with a row more: somebody's agent, by import path or name."""
        name = path.replace(":", ".")
        if name in self.rows:
            raise ValueError(f"suite {self.name!r} has a row {name!r} already")
        source = {**self.source, "rows": {**self.source.get("rows", {}), name: {"agent": path}}}
        return replace(self, rows={**self.rows, name: Row(path)}, source=source)


def known_suites() -> dict[str, Path]:
    """The committed suites by name: the files of `examples/settings` that name a protocol."""
    found = sorted(FOLDER.glob("*.json"))
    return {path.stem: path for path in found if "protocol" in json.loads(path.read_text())}


def load_suite(name: str) -> Suite:
    """A committed suite by name, or any by its file.

    Raises:
        UnknownNameError: no such suite, file, agent, setting or field.
        ValueError: another version of the protocol, or a value out of range.
    """
    path = Path(name)
    if path.suffix != ".json":
        known = known_suites()
        if name not in known:
            raise unknown("suite", name, known)
        path = known[name]
    elif not path.is_file():
        raise unknown("suite", name, known_suites())
    source = json.loads(path.read_text())
    if source.get("protocol") != PROTOCOL:
        raise ValueError(f"{path} is of protocol {source.get('protocol')!r}, this version plays protocol {PROTOCOL}")
    return suite_of(path.stem, source)


def suite_of(name: str, source: Mapping[str, Any]) -> Suite:
    """The suite that a file's content stands for; raises as `load_suite`."""
    parts = {key: value for key, value in source.items() if key != "protocol"}
    _known("suite", parts, [f.name for f in fields(Suite) if f.name not in ("name", "source")])
    for needed in ("settings", "rows", "budget", "seeds"):
        if needed not in parts:
            raise ValueError(f"suite {name!r} has no {needed!r}")
    return Suite(
        name=name,
        settings={key: _made(Setting, f"setting {key!r}", value) for key, value in parts.pop("settings").items()},
        rows={key: _made(Row, f"row {key!r}", value) for key, value in parts.pop("rows").items()},
        budget=_made(Budget, "budget", parts.pop("budget")),
        seeds=tuple(parts.pop("seeds")),
        evaluation=_made(Evaluation, "evaluation", parts.pop("evaluation", {})),
        compare=tuple((ours, theirs) for ours, theirs in parts.pop("compare", ())),
        source=source,
        **parts,
    )


def _made(kind: Any, what: str, values: Mapping[str, Any]) -> Any:
    _known(what, values, [f.name for f in fields(kind)])
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def _known(what: str, values: Mapping[str, Any], names: Sequence[str]) -> None:
    for key in values:
        if key not in names:
            raise unknown(f"field of {what}", key, names)
