"""Minari: played episodes as offline data sets, and back, bit for bit (Younis et al., 2024, Farama Foundation's Minari).

    from reasongym.adapters.minari import load, record
    record("expert", "ReasonGym-bAbI-qa2-v0", "reasongym/qa2-expert-v0", problems=1000)
    episodes = load("reasongym/qa2-expert-v0")
    for episode in episodes: ...                     # minari.EpisodeBuffer
    env = episodes.make(split="validation")          # the environment that they were played in, on other problems

A data set is an ordinary Minari one (HDF5), which `minari.load_dataset` and what builds on it read too. An episode holds:

| field | content |
| --- | --- |
| `observations` | T + 1 of them: arrays by key; of text ids a list of strings |
| `actions` | (T,) int64; of text ids a list of strings, the whole replies |
| `rewards`, `terminations`, `truncations` | (T,) float64, bool, bool |
| `infos["prm_scores"]`, `infos["reward_terms"]` | (T,) float64 by name, NaN = unscored |
| `infos["is_success"]` | (T,) bool, true at the end of an episode that was answered right |
| `seed`, `options` | the seed that `reset` was given (None: none), and `{"problem": index}` |

So `env.reset(seed=episode.seed, options=episode.options)` and the actions play the episode again. Needs the extra `minari`.

HDF5 holds no NUL, no half of a surrogate pair, and no "/" in a criterion's name. They are written as U+0010 and four
hexadecimal digits, as is U+0010 itself; `load` undoes it, other readers see it. All other strings are written as they are.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym

from reasongym.errors import unknown

try:
    import h5py  # noqa: F401
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage.datasets_root_dir import get_dataset_path
except ImportError as missing:
    raise ImportError("reasongym.adapters.minari needs minari and h5py; run: pip install 'reasongym[minari]'") from missing

from reasongym.adapters.minari_recorder import BLOCKS, MinariRecorder, Policy, keywords_of, player, recorded

__all__ = ["Episodes", "MinariRecorder", "load", "record", "save"]

FORMAT = 1
"""Of what is written beside Minari's own fields; `load` reads this one."""
ABOUT = ("algorithm_name", "author", "author_email", "code_permalink", "description")
"""What can be said about a data set, as Minari calls it."""

_UNWRITABLE = re.compile("[\x00\x10\ud800-\udfff]")
_WRITTEN = re.compile("\x10([0-9a-f]{4})")


class Episodes:
    """The episodes of a data set, in order, as often as they are asked for: what `load` returns.

    Attributes:
        dataset: Minari's own object.
        env_id, keywords: of the environment that they were played in.
        criteria: names of the scores.
        record: what else was written: `source`, `fingerprint` (of the data), `prm` (its version).
    """

    def __init__(self, dataset: minari.MinariDataset, record: Mapping[str, Any]) -> None:
        self.dataset, self.record = dataset, dict(record)
        self.env_id: str = record["env_id"]
        self.keywords: dict[str, Any] = record["keywords"]
        self.criteria = tuple(record["criteria"])

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[EpisodeBuffer]:
        rows = self.dataset.episode_indices.tolist()
        storage = self.dataset.storage
        for episode, about in zip(storage.get_episodes(rows), storage.get_episode_metadata(rows), strict=True):
            told, names = episode["infos"], {"prm_scores": self.criteria, "reward_terms": (*self.criteria, "memory")}
            yield EpisodeBuffer(
                seed=about.get("seed"),
                options={"problem": int(about["options"]["problem"])},
                observations=_strings(episode["observations"], _read),
                actions=_strings(episode["actions"], _read),
                rewards=episode["rewards"],
                terminations=episode["terminations"],
                truncations=episode["truncations"],
                infos={
                    "is_success": told["is_success"],
                    **{block: {name: told[block][_name(name)] for name in names[block]} for block in BLOCKS},
                },
            )

    def make(self, **keywords: Any) -> gym.Env:
        """The environment that the episodes were played in.

        Args:
            keywords: instead of, or beside, those that it was made with.

        Raises:
            ValueError: made with the same keywords it reads other data than then, so the episodes are not its own.
        """
        env = gym.make(self.env_id, **{**self.keywords, **keywords})
        found = env.unwrapped.source.fingerprint  # type: ignore[attr-defined]
        if not keywords and found != self.record["fingerprint"]:
            raise ValueError(
                f"{self.dataset.id!r} was played on data with the fingerprint {self.record['fingerprint']!r}, {self.env_id} "
                f"now reads {found!r}: the data have changed since. If that does not matter, call gym.make yourself"
            )
        return env


def record(
    policy: str | Policy | Any,
    env_id: str,
    dataset_id: str,
    problems: int | Iterable[int],
    *,
    seed: int = 0,
    about: Mapping[str, str] | None = None,
    **keywords: Any,
) -> Episodes:
    """Plays problems once each, and writes the episodes as a new data set.

    Args:
        policy: a function of (observation, info) that returns an action, a number or a reply; it may read the observation, the
            mask and, of text ids, the messages. Or "expert", or "random" (over legal actions). Or an agent with `act`
            (`agents.base.Agent`), which is shown one environment and gives no feedback to its memory.
        env_id: of an environment by number, or in words.
        dataset_id: "(namespace/)name-v0".
        problems: indices, or how many from the first on.
        seed: of every reset and of "random".
        about: `author`, `author_email`, `algorithm_name`, `description`, `code_permalink`.
        keywords: of the environment, as for `gym.make`.

    Raises:
        ValueError: the data set is there already, or its id is malformed; no problems.
        UnknownNameError: an unknown policy, keyword, or thing said about the data set.
        TypeError: a keyword that no file could hold, or an agent that reads its environments.
    """
    _check_new(dataset_id)
    _check_about(about)
    env = MinariRecorder(gym.make(env_id, **keywords))
    policy_of = player(policy, env, seed)
    for problem in range(problems) if isinstance(problems, int) else problems:
        observation, info = env.reset(seed=seed, options={"problem": int(problem)})
        act, ended = policy_of(), False
        while not ended:
            observation, _, terminated, truncated, info = env.step(act(observation, info))
            ended = terminated or truncated
    env.close()
    return save(env.episodes, env, dataset_id, about=about)


def save(
    episodes: Sequence[EpisodeBuffer], env: gym.Env, dataset_id: str, *, about: Mapping[str, str] | None = None
) -> Episodes:
    """Writes episodes, recorded or loaded, as a new data set, and returns it.

    Args:
        episodes: at least one.
        env: the recorder, or the environment of `gym.make`, that they were played in.
        dataset_id: "(namespace/)name-v0".
        about: as for `record`.

    Raises:
        ValueError: the data set is there already, its id is malformed, or there are no episodes.
        UnknownNameError: an unknown thing is said about the data set.
        TypeError: as for `MinariRecorder`.
    """
    _check_new(dataset_id)
    _check_about(about)
    if not episodes:
        raise ValueError("there are no episodes to write: play at least one to its end")
    env, spec = recorded(env)
    batch = env.unwrapped.batch  # type: ignore[attr-defined]
    written = {
        "format": FORMAT,
        "env_id": spec.id,
        "keywords": keywords_of(spec),
        "criteria": list(batch.settings.criteria),
        "source": batch.source.name,
        "fingerprint": batch.source.fingerprint,
        "prm": batch.settings.model.version,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about what is not said about the data set
            dataset = minari.create_dataset_from_buffers(
                dataset_id,
                [_writable(episode) for episode in episodes],
                env=env,
                observation_space=env.observation_space,
                action_space=env.action_space,
                data_format="hdf5",
                **(about or {}),
            )
        dataset.storage.update_metadata({"reasongym": written})
    except BaseException:
        shutil.rmtree(get_dataset_path(dataset_id), ignore_errors=True)  # no half of a data set
        raise
    return Episodes(dataset, written)


def load(dataset: str | minari.MinariDataset) -> Episodes:
    """The episodes of a data set that was written here.

    Args:
        dataset: its id, or Minari's object of it, such as a part that `minari.split_dataset` or `filter_episodes` made.

    Raises:
        UnknownNameError: no data set of this id on this machine.
        ValueError: it was not written here, or in another format.
    """
    if isinstance(dataset, str):
        if not (get_dataset_path(dataset) / "data").exists():
            raise unknown("data set", dataset, minari.list_local_datasets())
        dataset = minari.load_dataset(dataset)
    written = dataset.storage.metadata.get("reasongym")
    if written is None:
        raise ValueError(
            f"{dataset.id!r} was not written by reasongym.adapters.minari (or was combined of several that were): iterate over "
            "minari.load_dataset, or load its parts"
        )
    if written["format"] != FORMAT:
        raise ValueError(
            f"{dataset.id!r} is of format {written['format']}, but this version of reasongym reads format {FORMAT}: load it "
            "with the version that wrote it, or record it anew"
        )
    return Episodes(dataset, written)


def _check_new(dataset_id: str) -> None:
    try:
        parse_dataset_id(dataset_id)
    except (TypeError, ValueError):
        raise ValueError(f"the id of a data set is '(namespace/)name-v0', got {dataset_id!r}") from None
    if get_dataset_path(dataset_id).exists():
        raise ValueError(
            f"the data set {dataset_id!r} is there already, in {get_dataset_path(dataset_id)}: take another name or version, "
            f"or delete it first (minari delete {dataset_id})"
        )


def _check_about(about: Mapping[str, str] | None) -> None:
    for name in about or {}:
        if name not in ABOUT:
            raise unknown("thing to say about a data set", name, ABOUT)


def _writable(episode: EpisodeBuffer) -> EpisodeBuffer:
    """The episode with strings and names as HDF5 holds them."""
    infos = dict(episode.infos or {})
    for block in BLOCKS:
        infos[block] = {_name(name): column for name, column in infos[block].items()}
    return dataclasses.replace(
        episode,
        id=None,
        observations=_strings(episode.observations, _write),
        actions=_strings(episode.actions, _write),
        infos=infos,
    )


def _strings(values: Any, change: Callable[[str], str]) -> Any:
    """A list of strings, each changed; anything else as it is."""
    return [change(value) for value in values] if isinstance(values, list) else values


def _write(text: str) -> str:
    return _UNWRITABLE.sub(lambda found: f"\x10{ord(found[0]):04x}", text)


def _read(text: str) -> str:
    return _WRITTEN.sub(lambda found: chr(int(found[1], 16)), text)


def _name(name: str) -> str:
    """A criterion's name as HDF5 holds it, which takes "/" for a path, "." for the place itself, and "" for no name at all."""
    return f"\x10{name}" if name in ("", ".") else _write(name).replace("/", f"\x10{ord('/'):04x}")
