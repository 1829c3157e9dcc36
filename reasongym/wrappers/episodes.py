"""`EpisodeRecorder`: whole episodes in words, for people and pages; one JSON object an episode, one line of `episodes.jsonl`.

`record` writes every step of a training as columns of numbers; this writes a handful of episodes with all that a reader needs:

| key | content |
| --- | --- |
| `format` | 1 |
| `agent`, `environment`, `fingerprint`, `problem`, `name`, `task` | who played what; the fingerprint is the source's |
| `question`, `question_at`, `units`, `gold`, `support` | the problem; `support` lists unit indices, null where it is unknown |
| `listed` | whether answers are chosen from a list |
| `success`, `answer`, `return`, `length`, `out_of_steps`, `truncated`, `rates` | how it ended |
| `prm`, `observer`, `weights`, `memory_slots` | who scored, and beta by criterion (`memory`: the utility's weight) |
| `steps` | a list, below |
| `end` | `slots` and `chain` after the last step |

A step is what the agent was shown, what it did, and what that brought. Units count from 0, slots from 1, steps from 0:

| key | content |
| --- | --- |
| `desk` | unit on the desk, null when the text is over |
| `slots` | of each occupied slot `units`, `by` (for each unit, [step, verb] that wrote it), `salience`, `recalls`, and where it applies `words` (own words, with `words_by`) and `closed` (what the gate forbids) |
| `chain` | of each link `units`, `step` and `slot` it was recalled from, and `words` |
| `kind`, `slot`, `action`, `answer`, `invalid` | the action, in words too; of an ANSWER what it says, illegal or not; why it was illegal |
| `scores`, `reasons`, `terms`, `reward` | by criterion; null = unscored, no reason = nothing was said |
| `observed` | the observer's scores, where there is one |
| `thought`, `command`, `prompt` | of agents that act in words |
"""  # noqa: E501

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reasongym.engine.batch import Batch
from reasongym.engine.infos import RATES, InfoWriter
from reasongym.engine.layout import INVALID_REASONS
from reasongym.prm.base import ACTION_NAMES, ANSWER
from reasongym.render.scene import scene_of
from reasongym.wrappers.authors import Authors
from reasongym.wrappers.reasons import explained, plain, step_reasons

if TYPE_CHECKING:
    from reasongym.text.interface import Interface

FORMAT = 1
Json = dict[str, Any]


class EpisodeRecorder:
    """Records the episodes of a batch from now on; `episodes` fills as they end.

    Args:
        batch: of any environment of this package: `env.unwrapped.batch`, `vector.batch`, an SB3 `venv.batch`.
        agent: whose episodes they are.
        environment: what is played, in words or by id.
        interface: of a text environment (`env.unwrapped.interface`): commands and thoughts are recorded too.
        prompts: also what a text environment showed; long.
        once: only the first episode of each environment.
    """

    def __init__(
        self,
        batch: Batch,
        *,
        agent: str,
        environment: str = "",
        interface: Interface | None = None,
        prompts: bool = False,
        once: bool = False,
    ) -> None:
        self._batch, self._agent, self._environment, self._once = batch, agent, environment, once
        self._interface, self._prompts = interface, prompts
        self._infos = InfoWriter(batch, tells_gold=False)
        self._open: list[Json | None] = [None] * batch.n
        self._finished = np.zeros(batch.n, bool)
        self._authors = [Authors(batch, row) for row in range(batch.n)]
        self._ends: dict[int, Json] = {}
        self.episodes: list[Json] = []
        batch.watcher = self

    def close(self) -> list[Json]:
        """Ends the recording; episodes that are still being played are kept as truncated. Returns all."""
        for row in range(self._batch.n):
            self._give_up(row)
        self._batch.watcher = None
        return self.episodes

    def before(self) -> None:
        """The batch is about to be stepped: writes down what it shows."""
        state = self._batch.memory.state
        for row in range(self._batch.n):
            if state["ended"][row] or (self._once and self._finished[row]):
                continue
            if state["steps"][row] == 0:
                self._give_up(row)
                self._open[row] = self._begun(row)
            episode = self._open[row]
            if episode is not None:  # else: it was under way when the recording began
                step = {"desk": _desk(self._batch, row), **self._authors[row].memory()}
                if self._prompts and self._interface is not None:
                    step["prompt"] = self._interface.messages(row)[-1]["content"]
                episode["steps"].append(step)

    def after(self) -> None:
        """The batch has been stepped: writes down what that brought."""
        out = self._batch.result.outcome
        rows = [r for r in range(self._batch.n) if self._open[r] is not None and not out["is_reset"][r]]
        said = self._explanations()
        for row in rows:
            episode = self._open[row]
            assert episode is not None
            step = episode["steps"][-1]
            step |= self._result(row, said.get(row, {}))
            self._authors[row].note(len(episode["steps"]) - 1)
            self._ends[row] = self._authors[row].memory()
            if out["terminated"][row]:
                self._end(row, episode)

    def _begun(self, row: int) -> Json:
        batch, settings = self._batch, self._batch.settings
        index = int(batch.memory.state["problem"][row])
        problem = batch.source.problem(index)
        self._authors[row] = Authors(batch, row)
        return {
            "format": FORMAT,
            "agent": self._agent,
            "environment": self._environment or batch.source.name,
            "fingerprint": batch.source.fingerprint,
            "problem": index,
            "name": problem.name,
            "task": problem.task,
            "question": problem.question,
            "question_at": settings.question_at,
            "listed": len(batch.table.source.choices) > 0,
            "units": list(problem.story.units[: problem.num_units]),
            "gold": list(problem.answers),
            "support": None if problem.support is None else list(problem.support),
            "prm": settings.model.version,
            "observer": None if settings.observer_model is None else settings.observer_model.version,
            "weights": {**settings.weights, "memory": settings.utility_weight},
            "memory_slots": batch.shapes.slots,
            "steps": [],
        }

    def _end(self, row: int, episode: Json) -> None:
        told = self._infos.ended(np.array([row]))[0]
        self._close(row, episode)
        episode["success"] = bool(told["is_success"]) if "is_success" in told else None
        episode["answer"], episode["out_of_steps"] = told.get("answer"), bool(told["out_of_steps"])
        episode["rates"] = plain({name: told[name] for name in RATES if name in told})

    def _give_up(self, row: int) -> None:
        """An episode that was cut from outside."""
        episode = self._open[row]
        if episode is None:
            return
        episode["steps"] = [step for step in episode["steps"] if "reward" in step]
        self._close(row, episode)
        episode |= {"success": None, "answer": None, "out_of_steps": False, "truncated": True, "rates": {}}

    def _close(self, row: int, episode: Json) -> None:
        self._open[row], self._finished[row] = None, True
        episode["end"] = self._ends.pop(row, None) or {"slots": [], "chain": []}
        episode["return"] = round(sum(step["reward"] for step in episode["steps"]), 4)
        episode["length"] = len(episode["steps"])
        self.episodes.append(episode)

    def _result(self, row: int, said: Mapping[str, str]) -> Json:
        """What the last step of environment `row` did and brought; `said` are the reasons that the PRMs gave."""
        batch, out = self._batch, self._batch.result.outcome[row]
        kind, settings = int(out["kind"]), batch.settings
        names = settings.criteria
        scores = dict(zip(names, batch.result.scores[row].tolist(), strict=True))
        terms = dict(zip((*names, "memory"), batch.result.terms[row].tolist(), strict=True))
        invalid = self._fault(row) or INVALID_REASONS[out["invalid"]]
        support = int(batch.table.tables.problems[out["row"]]["num_support"])
        known = None if support < 0 else support
        reasons = {**step_reasons(settings.model, kind, invalid, scores, terms, known, settings.utility), **said}
        step: Json = {
            "kind": ACTION_NAMES[kind],
            "slot": int(out["slot"]) + 1 if out["slot"] >= 0 else None,
            "action": self._action(row, kind),
            "scores": plain(scores),
            "reasons": {name: reason for name, reason in reasons.items() if reason},
            "terms": plain(terms),
            "reward": round(float(batch.result.reward[row]), 6),
        }
        if kind == ANSWER:
            step["answer"] = batch.table.answer_text(out) or None
        if invalid:
            step["invalid"] = invalid
        if settings.observer_model is not None:
            shown, scored = batch.observation.scores[row].tolist(), batch.observation.scored[row].tolist()
            values = {
                n: s if ok else float("nan") for n, s, ok in zip(settings.observer_model.criteria, shown, scored, strict=True)
            }
            step["observed"] = plain(values)
        if self._interface is not None:
            step["thought"], step["command"] = self._interface.turns[row].thought, self._interface.turns[row].command
        return step

    def _action(self, row: int, kind: int) -> str:
        if self._interface is not None:
            return self._interface.turns[row].command or "(no command)"
        words = scene_of(self._batch, row).action or ACTION_NAMES[kind]
        return words.replace("answer (none)", "abstain") if kind == ANSWER else words

    def _fault(self, row: int) -> str:
        return "" if self._interface is None else self._interface.fault(row) or ""

    def _explanations(self) -> dict[int, dict[str, str]]:
        """By environment, the reasons that PRM and observer gave themselves."""
        scorer, settings = self._batch.scorer, self._batch.settings
        if scorer is None or scorer.last is None:
            return {}
        steps, rows = scorer.last
        out: dict[int, dict[str, str]] = {}
        for model, prefix in ((settings.observer_model, "observer: "), (settings.model, "")):
            if model is not None:
                for row, said in zip(rows.tolist(), explained(model, steps) or [], strict=False):
                    out.setdefault(row, {}).update({prefix + name: reason for name, reason in said.items()})
        return out


def _desk(batch: Batch, row: int) -> int | None:
    state = batch.memory.state[row]
    return int(state["cursor"]) if state["cursor"] < state["num_units"] else None


def write_episodes(path: str | os.PathLike, episodes: Iterable[Json]) -> None:
    """Writes `episodes.jsonl`, which appears in one piece."""
    unready = Path(path).with_suffix(".tmp")
    unready.write_text("".join(json.dumps(episode, ensure_ascii=False) + "\n" for episode in episodes), encoding="utf-8")
    os.replace(unready, path)
