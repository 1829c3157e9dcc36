"""Who plays what: a session is one environment of its own and the episode in it."""

from __future__ import annotations

import asyncio
import copy
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import gymnasium as gym

from reasongym.envs import ReasonGymEnv
from reasongym.server import wire
from reasongym.server.episodes import EpisodeLog
from reasongym.server.metrics import Metrics
from reasongym.server.settings import ServerSettings
from reasongym.server.wire import RefusalError, ResetRequest
from reasongym.text.env import ReasonGymTextEnv

LOGGER = logging.getLogger("reasongym.server")
MOST_KEPT = 8_192
"""Characters of a reply that the file of episodes keeps: its last ones."""
TOLD_OF_STEP = ("command", "invalid_action", "reward_terms", "prm_scores")

Environment = ReasonGymEnv | ReasonGymTextEnv


def environments(env_id: str, **keywords: Any) -> Callable[[], Environment]:
    """A function that makes environments of an id, which share what never changes: problems, and PRMs.

    Args:
        env_id: any id whose environment is one of this package.
        keywords: as for `gym.make`.

    Raises:
        ValueError: `max_episode_steps` is given (`max_steps` ends an episode), or the environment is no ReasonGym.
    """
    if keywords.get("max_episode_steps") is not None:
        raise ValueError("max_episode_steps truncates from outside, which a server does not do: pass max_steps instead")
    first = gym.make(env_id, **keywords).unwrapped
    if not isinstance(first, Environment):
        raise ValueError(f"{env_id} is a {type(first).__name__}; only environments of this package are served")
    return lambda: copy.deepcopy(first)


class Session:
    """One environment, played by one client.

    Attributes:
        id: a secret: whoever knows it plays.
        busy: whether a request of it is being served.
        used: when the last one was, in seconds of `time.monotonic`.
        unsent: the reply to a last step whose episode is not on disk yet.
    """

    def __init__(self, env: Environment, env_id: str) -> None:
        self.id, self.env, self.env_id = secrets.token_urlsafe(24), env, env_id
        self.busy, self.used = False, time.monotonic()
        self.unsent: dict[str, Any] | None = None
        self._episode_id: str | None = None
        self._seed: int | None = None
        self._steps, self._done = 0, True
        self._turns: list[dict[str, Any]] = []
        self._options: dict[str, Any] = {}
        self._began = ""

    def reset(self, request: ResetRequest) -> dict[str, Any]:
        """Begins an episode.

        Raises:
            RefusalError: there is no such problem.
        """
        asked, most = request.options.problem if request.options else None, self.env.num_problems
        if asked is not None and most is not None and asked >= most:
            raise RefusalError(404, "PROBLEM_NOT_FOUND", f"there are {most} problems, counted from 0; got {asked}")
        self._done, self._episode_id, self._steps, self._turns = True, None, 0, []
        self._options = request.options.model_dump(exclude_none=True) if request.options else {}
        seed = request.seed
        if seed is None and self._seed is None:  # copies of one environment would all begin with the same
            seed = secrets.randbelow(2**31)
        observation, info = self.env.reset(seed=seed, options=self._options or None)
        self._seed = seed if seed is not None else self._seed
        self._episode_id, self._done = request.episode_id or secrets.token_hex(8), False
        self._began = now()
        return wire.reply(observation, info, None, False)

    def step(self, action: str | int) -> dict[str, Any]:
        """Takes a step.

        Raises:
            RefusalError: no episode is running, or there is no such action.
        """
        if self._done:
            begun = self._episode_id is not None
            said = "the episode is over: begin another with reset" if begun else "no episode has begun: reset first"
            raise RefusalError(409, "EPISODE_OVER" if begun else "NO_EPISODE", said)
        actions = self.env.batch.num_actions
        if isinstance(action, int) and action >= actions:
            raise RefusalError(422, "VALIDATION_ERROR", f"there are {actions} actions, counted from 0; got {action}")
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)  # type: ignore[arg-type]
        except Exception:
            self._done = True  # the episode is lost
            raise
        self._steps += 1
        self._done = terminated or truncated
        reply = wire.reply(observation, info, float(reward), self._done)
        metadata = reply["observation"]["metadata"]
        turn = {"action": action[-MOST_KEPT:] if isinstance(action, str) else action, "reward": reply["reward"]}
        self._turns.append(turn | {key: metadata[key] for key in TOLD_OF_STEP if key in metadata})
        return reply

    def state(self) -> dict[str, Any]:
        """Where the session stands."""
        state = wire.State(
            episode_id=self._episode_id, step_count=self._steps, seed=self._seed, done=self._done, env_id=self.env_id
        )
        return state.model_dump()

    def record(self, reply: dict[str, Any]) -> dict[str, Any]:
        """The episode that ended with this reply, as it is written down."""
        last = reply["observation"]["metadata"]
        outcome = {key: value for key, value in last.items() if key not in wire.SHOWN}
        head = {"env_id": self.env_id, "episode_id": self._episode_id, "seed": self._seed, "options": self._options}
        return {**head, "began": self._began, "ended": now(), **outcome, "turns": self._turns}


class Sessions:
    """All sessions of a server, and the rules that they keep.

    Args:
        make: makes an environment.
        settings: the bounds.
        metrics: what is counted.
        env_id: what the environments are called.
    """

    def __init__(self, make: Callable[[], Environment], settings: ServerSettings, metrics: Metrics, env_id: str) -> None:
        self._make, self.settings, self.metrics, self.env_id = make, settings, metrics, env_id
        self._open: dict[str, Session] = {}
        self.log = EpisodeLog(settings.episodes) if settings.episodes else None
        env = make()
        self.in_words = isinstance(env, ReasonGymTextEnv)
        # Compiled steps take less than handing them to a thread does; anything else would keep all clients waiting.
        self._pool = None if env.batch.settings.compiled else ThreadPoolExecutor(settings.threads, "reasongym-step")

    def open(self) -> Session:
        """A new session; raises RefusalError where there are too many."""
        if len(self._open) >= self.settings.max_sessions:
            most = f"all {self.settings.max_sessions} sessions are taken: try again later, or start the server with more"
            raise RefusalError(503, "CAPACITY_REACHED", most, {"retry-after": "5"})
        session = Session(self._make(), self.env_id)
        self._open[session.id] = session
        self.metrics.sessions.inc()
        self.metrics.open_sessions.set(len(self._open))
        return session

    def get(self, session_id: str) -> Session:
        """The session of an id; raises RefusalError where there is none."""
        session = self._open.get(session_id)
        if session is None:
            raise RefusalError(
                404, "SESSION_NOT_FOUND", "no such session: it was closed, timed out, or never was; reset opens one"
            )
        session.used = time.monotonic()
        return session

    def close(self, session: Session) -> None:
        """Ends a session; an unfinished episode is given up."""
        if self._open.pop(session.id, None) is not None:
            self.metrics.open_sessions.set(len(self._open))

    async def reset(self, session: Session, request: ResetRequest) -> dict[str, Any]:
        """Begins an episode in a session."""
        with self._turn_of(session):
            if session.unsent is not None:
                await self._written()
                session.unsent = None
            reply = await self._run(session.reset, request)
            self.metrics.resets.inc()
            return reply

    async def step(self, session: Session, action: str | int) -> dict[str, Any]:
        """Takes a step in a session. The last reply of an episode is given when the episode is on disk, and not before: where
        that fails the step is refused, and the same step asked for again tries again."""
        with self._turn_of(session):
            if session.unsent is None:
                began = time.perf_counter()
                reply = await self._run(session.step, action)
                self.metrics.seconds.observe(time.perf_counter() - began)
                self._count(reply)
                if not reply["done"] or self.log is None:
                    return reply
                self.log.add(session.record(reply))
                session.unsent = reply
            await self._written()
            reply, session.unsent = session.unsent, None
            return reply

    async def keep_time(self) -> None:
        """Closes sessions that nobody uses, for ever."""
        while True:
            await asyncio.sleep(min(self.settings.idle_seconds / 4, 5.0))
            oldest = time.monotonic() - self.settings.idle_seconds
            for session in [session for session in self._open.values() if session.used < oldest and not session.busy]:
                self.metrics.timed_out.inc()
                self.close(session)

    def shut_down(self) -> None:
        """Writes what is not on disk yet."""
        if self._pool is not None:
            self._pool.shutdown()
        self._open.clear()
        if self.log is not None:
            try:
                self.log.close()
            except OSError:
                LOGGER.exception("%d finished episodes could not be written to %s", self.log.waiting, self.log.path)

    @contextmanager
    def _turn_of(self, session: Session) -> Iterator[None]:
        """Serves one request of a session at a time.

        Raises:
            RefusalError: another one is being served, or the environment failed.
        """
        if session.busy:
            raise RefusalError(409, "SESSION_BUSY", "another request of this session is being served: wait for its reply")
        session.busy = True
        try:
            yield
        except RefusalError:
            raise
        except Exception as error:
            LOGGER.exception("the environment failed")
            raise RefusalError(500, "EXECUTION_ERROR", "the environment failed, its episode is lost: begin another") from error
        finally:
            session.busy, session.used = False, time.monotonic()

    async def _run(self, call: Callable[[Any], dict[str, Any]], argument: Any) -> dict[str, Any]:
        if self._pool is None:
            return call(argument)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, argument)

    async def _written(self) -> None:
        assert self.log is not None
        try:
            await self.log.flush()
        except OSError as error:
            LOGGER.error("%s cannot be written: %s", self.log.path, error)
            said = "the episode is over, but it cannot be written down: send the step again for its reply"
            raise RefusalError(503, "EPISODE_NOT_WRITTEN", said, {"retry-after": "5"}) from None
        finally:
            self.metrics.waiting.set(self.log.waiting)

    def _count(self, reply: dict[str, Any]) -> None:
        metadata = reply["observation"]["metadata"]
        self.metrics.steps.inc()
        if "invalid_action" in metadata:
            self.metrics.invalid.inc()
        if reply["done"]:
            self.metrics.episodes.labels({True: "yes", False: "no"}.get(metadata.get("is_success"), "unknown")).inc()


def now() -> str:
    """The time, as ISO 8601 has it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
