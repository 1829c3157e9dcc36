"""The learned PRM: a network that scores the steps of a record, or of environments, as text, with one head a criterion.

    prm = LearnedPRM.from_pretrained("runs/prm")
    prm.score_records(records)                                # anybody's steps: all scores of a record in one pass
    env = gym.make_vec("ReasonGym-bAbI-qa2-v0", num_envs=256, prm=prm, utility="none")  # its scores make the reward;
                                                                            # prm="runs/prm" is the same, by name

It reads the question and each step as `rendering` words them, and no annotation. In environments a new step is embedded once
and attends to what was kept of the earlier ones; see `prefixes` for what is kept where. A folder holds `reasongym_prm.json`
and the weights; it needs torch (the extra `agents`). An episode with the same text so far has the same scores, so these are
looked up where they are known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from reasongym.errors import PRMError, unknown
from reasongym.prm.base import StepBatch
from reasongym.prm.evaluation import FITTING, meaning_of
from reasongym.prm.learned.calibration import fit_platt
from reasongym.prm.learned.prefixes import Log, key_of, storable
from reasongym.prm.learned.step_lm import StepLM
from reasongym.prm.learned.step_network import StepNetwork
from reasongym.prm.records import StepRecord
from reasongym.prm.rendering import UNASKED, prompt_text, step_text

CONFIG, WEIGHTS = "reasongym_prm.json", "model.safetensors"
FORMAT = 1
RECENT = 8
"""Calls for which a prefix is taken to be live after an environment last stood at it: several environments may take turns."""
BETA = MappingProxyType({"logic": 0.2, "coherence": 0.1, "goal": 0.3, "keeping": 0.3, "correct": 0.0})
"""Weights of criteria as rewards: those of `annotated`, and of the utility for `keeping`, which stands for it; `correct` says
of a step what the others say in parts."""
Backbone = StepNetwork | StepLM


class Known(NamedTuple):
    """What is kept of a prefix: its logits (k,), and the backbone's nodes of its steps, the prompt first."""

    logits: np.ndarray
    nodes: tuple[int, ...]


class LearnedPRM:
    """A `ProcessRewardModel` without annotation, and a `RecordScorer`.

    Args:
        backbone: the network.
        criteria: k names, in the order of its heads.
        platt: (k, 2) scale and shift of the logits.
        default_beta: weight by criterion.
        log_bytes: of an environment's carry: most text of an episode, prompt included.
        meta: anything to be kept with it, JSON values: what it was trained on.
        label_meaning: of the labels that it was trained on, a key of `evaluation.FITTING`; None: by the criteria, "value" for
            those of completions. It says how the scores of a solution become one number.

    Attributes:
        asked, fresh: steps scored in environments so far, and those of them that the network had to compute; the rest was
            known.
        prompts, restored: what it computed besides: prompts of episodes, and steps that had been scored before, of an episode
            that came from elsewhere (another process, a saved state) or was forgotten for want of room. `fresh + prompts +
            restored` is every text that it has read.
    """

    needs_annotation = False
    cacheable = False

    def __init__(
        self, backbone: Backbone, criteria: Sequence[str], *, platt: np.ndarray | None = None,
        default_beta: Mapping[str, float] = BETA, log_bytes: int = 32_768, meta: Mapping[str, Any] | None = None,
        label_meaning: str | None = None,
    ) -> None:  # fmt: skip
        if log_bytes < 256 or log_bytes % 8:
            raise ValueError(f"log_bytes must be a multiple of 8 of at least 256, got {log_bytes}")
        self.backbone, self.criteria = backbone, tuple(criteria)
        self.label_meaning = meaning_of(self.criteria) if label_meaning is None else label_meaning
        if self.label_meaning not in FITTING:
            raise unknown("label meaning", label_meaning, FITTING)
        self.platt = np.tile([1.0, 0.0], (len(self.criteria), 1)) if platt is None else np.asarray(platt, np.float64)
        if self.platt.shape != (len(self.criteria), 2) or not np.isfinite(self.platt).all():
            raise ValueError(f"platt must be {len(self.criteria)} finite (scale, shift) pairs, got {platt!r}")
        self.default_beta = {name: float(default_beta.get(name, 1.0)) for name in self.criteria}
        self.carry_size, self.meta = log_bytes // 8, dict(meta or {})
        self.asked = self.fresh = self.prompts = self.restored = 0
        self._known: dict[bytes, Known] = {}
        self._used: dict[bytes, int] = {}  # the call in which a prefix was last the newest of an environment
        self._calls = self._room = 0
        self._version: str | None = None

    def __repr__(self) -> str:
        return f"LearnedPRM({self.backbone.describe()}, criteria={self.criteria!r}, version={self.version!r})"

    @property
    def version(self) -> str:
        """A hash of weights, words and calibration."""
        if self._version is None:
            digest = hashlib.blake2b(digest_size=8)
            for name, value in sorted(self.backbone.state_dict().items()):
                digest.update(name.encode() + value.detach().cpu().float().numpy().tobytes())
            digest.update(json.dumps(self.backbone.config(), sort_keys=True).encode() + self.platt.tobytes())
            self._version = f"learned-{FORMAT}-{digest.hexdigest()}"
        return self._version

    @property
    def windowed(self) -> int:
        """How many times a prompt or step was longer than the network's window, and read by its first and last words."""
        return self.backbone.windowed

    def changed(self) -> None:
        """To be called when the weights were changed: forgets what was computed with the old ones."""
        self._version, self._room = None, 0
        self._known.clear()
        self._used.clear()
        self.backbone.clear()

    def logits(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """(T, k) float32 logits of each record, before calibration; later steps do not enter earlier ones."""
        return self.backbone.full([(record.prompt, *record.steps) for record in records])

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """One (T, k) float32 array a record, in [-1, 1].

        Raises:
            ValueError: a record without steps, or with more than the network's `max_steps`.
        """
        return [self._scores(found) for found in self.logits(records)]

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, k) float32 scores of one step each of n environments."""
        if steps.carry is None or steps.carry.shape[1] != self.carry_size:
            raise PRMError(f"{type(self).__name__} keeps {self.carry_size} numbers of an episode in StepBatch.carry; got none")
        logs, parents, texts, keys = [], [], [], []
        for i in range(len(steps)):
            log = Log(steps.carry[i])
            if not len(log):
                log.add(storable(prompt_text(steps, i)))
            before = log.key
            asked = not log.starts_with(UNASKED) or _asked_before(log)
            text = storable(step_text(steps, i, asked=asked))
            logs.append(log)
            parents.append(before)
            texts.append(text)
            keys.append(key_of(before, text))
        self._calls += 1
        self._used.update((key, self._calls) for key in (*parents, *keys) if key in self._known)
        missing = {key: i for i, key in enumerate(keys) if key not in self._known}
        if missing:
            self._make_room(2 * len(steps))
            self._restore([logs[i] for i in missing.values()])
            rows = list(missing.values())
            self._grow([parents[i] for i in rows], [texts[i] for i in rows], first=False)
        for log, text in zip(logs, texts, strict=True):
            log.add(text)
        self._used.update((key, self._calls) for key in keys)
        self.asked += len(steps)
        self.fresh += len(missing)
        return self._scores(np.stack([self._known[key].logits for key in keys]))

    def calibrate(self, records: Sequence[StepRecord], *, balanced: Sequence[str] = ()) -> None:
        """Fits Platt's scale and shift of each criterion to labels that it was not trained on.

        Args:
            records: with this PRM's criteria.
            balanced: criteria of which errors and sound steps weigh alike (see `calibration`).
        """
        self._same_criteria(records)
        found, labels = np.concatenate(self.logits(records)), np.concatenate([record.labels for record in records])
        for c in range(len(self.criteria)):
            self.platt[c] = fit_platt(found[:, c], labels[:, c], balanced=self.criteria[c] in balanced)
        self._version = None

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `reasongym_prm.json` and the weights."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous().clone() for name, value in self.backbone.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        self.backbone.save_parts(folder)
        config = {
            "format": FORMAT, "kind": self.backbone.kind, "criteria": self.criteria, "platt": self.platt.tolist(),
            "default_beta": self.default_beta, "log_bytes": 8 * self.carry_size, "version": self.version,
            "backbone": self.backbone.config(), "meta": self.meta, "label_meaning": self.label_meaning,
        }  # fmt: skip
        (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, device: str = "cpu", bf16: bool = False, **changes: Any) -> LearnedPRM:
        """A saved PRM.

        Args:
            folder: of `save_pretrained`.
            device: "cpu", "cuda", ...
            bf16: weights and activations in bfloat16 (then scores agree to about 1e-2, not 1e-5).
            changes: `log_bytes` or `default_beta` instead of what was saved.

        Raises:
            FileNotFoundError: not such a folder.
            ValueError: written by another version of the format, or the weights are not those that the config tells of.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        if not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"{folder} holds no learned PRM: {CONFIG} is missing; save_pretrained() writes one")
        config = json.loads((folder / CONFIG).read_text())
        if config["format"] != FORMAT:
            raise ValueError(f"{folder / CONFIG} has format {config['format']}, this version reads {FORMAT}: train it again")
        kinds: dict[str, Any] = {kind.kind: kind for kind in (StepNetwork, StepLM)}
        backbone = kinds[config["kind"]].from_config(config["backbone"], len(config["criteria"]), folder)
        backbone.load_state_dict(load_file(folder / WEIGHTS))
        own = {name: config[name] for name in ("default_beta", "log_bytes", "meta")}
        own |= {"label_meaning": config.get("label_meaning")} | changes  # folders of before say nothing: by the criteria
        prm = cls(backbone, config["criteria"], platt=np.array(config["platt"]), **own)
        if prm.version != config["version"]:
            raise ValueError(f"the weights in {folder} are not those that {CONFIG} tells of: copy the whole folder again")
        backbone.to(device, torch.bfloat16 if bf16 else torch.float32)
        prm._version = config["version"] + ("-bf16" if bf16 else "")
        return prm

    def _scores(self, logits: np.ndarray) -> np.ndarray:
        x = np.clip(logits * self.platt[:, 0] + self.platt[:, 1], -60, 60)
        return np.tanh(x / 2).astype(np.float32)  # 2 sigmoid(x) - 1

    def _same_criteria(self, records: Sequence[StepRecord]) -> None:
        for record in records:
            if tuple(record.criteria) != self.criteria:
                raise ValueError(f"labels must be of the criteria {self.criteria}, got {tuple(record.criteria)}")

    def _grow(self, parents: list[bytes], texts: list[str], *, first: bool) -> None:
        """Computes prefixes that are one text longer than known ones (`first`: prompts)."""
        paths = [() if first else self._known[parent].nodes for parent in parents]
        logits, nodes = self.backbone.extend(paths, texts)
        for parent, text, path, row, node in zip(parents, texts, paths, logits, nodes, strict=True):
            self._known[key_of(parent, text)] = Known(row, (*path, node))

    def _restore(self, logs: list[Log]) -> None:
        """Makes every log's prefix known, from its texts: prompts, or all of an episode that came from elsewhere."""
        unknown = {log.key: log.texts for log in logs if log.key not in self._known}
        before = {key: bytes(16) for key in unknown}
        for t in range(max(map(len, unknown.values()), default=0)):
            todo: dict[bytes, tuple[bytes, str]] = {}
            for key, texts in unknown.items():
                if t < len(texts):
                    parent, before[key] = before[key], key_of(before[key], texts[t])
                    if before[key] not in self._known:
                        todo[before[key]] = (parent, texts[t])
            if todo:
                self.prompts += len(todo) if t == 0 else 0
                self.restored += len(todo) if t else 0
                self._grow([pair[0] for pair in todo.values()], [pair[1] for pair in todo.values()], first=t == 0)

    def _make_room(self, more: int) -> None:
        """Forgets prefixes of episodes that are over, or were not played for long, so that `more` new ones fit; those that an
        environment stood at in the last `RECENT` calls are kept, whatever their number."""
        most = self.backbone.most_nodes
        if len(self._known) + more <= max(most, self._room):
            return
        kept: set[int] = set()
        live = 0
        for key in sorted(self._used, key=self._used.__getitem__, reverse=True):
            if self._used[key] <= self._calls - RECENT and len(kept) >= most // 2:
                break
            kept.update(self._known[key].nodes)
            live = len(kept) if self._used[key] > self._calls - RECENT else live
        nodes = sorted(kept)
        self.backbone.keep(nodes)
        place = {node: i for i, node in enumerate(nodes)}
        self._known = {
            key: Known(known.logits, tuple(map(place.__getitem__, known.nodes)))
            for key, known in self._known.items()
            if known.nodes[-1] in place
        }
        self._used = {key: call for key, call in self._used.items() if key in self._known}
        self._room = 2 * (live + more)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}, "_used": {}, "_room": 0}

    def __deepcopy__(self, memo: dict[int, Any]) -> LearnedPRM:
        """Itself: it holds nothing of an episode, so copies of an environment may share it."""
        return self


def _asked_before(log: Log) -> bool:
    """Whether a step of an episode that began without its question has shown it."""
    return any(text.startswith("question: ") for text in log.texts[1:])
