"""What goes over the line: requests, replies and refusals, in the shape of OpenEnv's messages.

A reply of `reset` and `step` is `{"observation": {..., "metadata": {...}}, "reward": ..., "done": ...}`. OpenEnv's clients hand
on these three, so what Gymnasium calls info lies in the observation's `metadata`: what an agent may know while it plays, and
once the episode is over everything, the gold answer included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

SHOWN = ("action_mask", "thought", "command", "invalid_action", "reward_terms", "prm_scores")
"""Keys of infos that are told during an episode. `gold_choice`, which the training split tells trainers, is none of them."""
LAST_ONLY = ("messages", "system")
"""Keys of infos that are no metadata at any time: they are in the observation."""
BIGGEST = 2**53 - 1
"""The biggest whole number that every reader of JSON keeps as it is."""


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 3.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, Field(ge=0, le=BIGGEST), BeforeValidator(_whole)]
Index = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(_whole)]


class RefusalError(Exception):
    """A request that is not served.

    Args:
        status: of the HTTP reply.
        code: for programs.
        message: for people: what is wrong, and what to do.
        headers: of the HTTP reply.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return {"type": "error", "data": {"message": self.message, "code": self.code}}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextAction(_Request):
    """A reply in words, whose last line that parses is the command."""

    message: str = Field(description="the agent's reply, such as 'store 1' or 'answer kitchen'")
    metadata: dict[str, Any] = Field(default_factory=dict, description="not read")


class NumberAction(_Request):
    """An action by number."""

    action: Whole = Field(description="of Discrete(1 + 3K + C)")
    metadata: dict[str, Any] = Field(default_factory=dict, description="not read")


class ResetOptions(_Request):
    """As Gymnasium's `reset(options=...)`."""

    problem: Whole | None = Field(default=None, description="plays this problem")
    env_index: Index | None = Field(default=None, description="environment of a vector with the same seed")
    episode: Index | None = Field(default=None, description="number of the episode in the order of problems")


class ResetRequest(_Request):
    """Begins an episode; an unfinished one is given up."""

    seed: Whole | None = Field(default=None, description="fixes the order of problems")
    episode_id: str | None = Field(default=None, max_length=255, description="a name for the episode; default: a random one")
    options: ResetOptions | None = None


ActionT = TypeVar("ActionT", bound=_Request)


class StepRequest(_Request, Generic[ActionT]):
    """One step."""

    action: ActionT
    timeout_s: float | None = Field(default=None, gt=0, description="not read")
    request_id: str | None = Field(default=None, max_length=255, description="not read")


class TextObservation(BaseModel):
    """What is shown, in words."""

    text: str = Field(description="the situation: question, desk, memory, chain, legal commands")
    messages: list[dict[str, str]] = Field(description="the same as a chat: system, repeated turns, the situation")
    metadata: dict[str, Any] = Field(description="what Gymnasium calls info")


class ArrayObservation(BaseModel):
    """What is shown, in numbers."""

    arrays: dict[str, Any] = Field(description="the observation by number, nested lists by key")
    metadata: dict[str, Any] = Field(description="what Gymnasium calls info")


ObservationT = TypeVar("ObservationT", bound=BaseModel)


class Reply(BaseModel, Generic[ObservationT]):
    """Of `reset` and `step`."""

    observation: ObservationT
    reward: float | None = Field(description="of the step; null after a reset")
    done: bool = Field(description="whether the episode is over")


class State(BaseModel):
    """Where a session stands."""

    episode_id: str | None
    step_count: int
    seed: int | None
    done: bool
    env_id: str


class Closed(BaseModel):
    """A session was closed."""

    closed: Literal[True] = True


class ErrorData(BaseModel):
    """What is wrong."""

    message: str
    code: str


class ErrorReply(BaseModel):
    """A request that was not served."""

    type: Literal["error"] = "error"
    data: ErrorData


def plain(value: Any) -> Any:
    """A value as JSON has it: arrays become lists, numbers that are none (unscored, undefined) null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def reply(observation: Any, info: Mapping[str, Any], reward: float | None, done: bool, **more: Any) -> dict[str, Any]:
    """The reply to a reset or a step.

    Args:
        observation: of the environment, a string or a dictionary of arrays.
        info: of the environment; during an episode only `SHOWN` of it is told.
        reward: of the step, None after a reset.
        done: whether the episode is over.
        more: further metadata.
    """
    told: Iterable[str] = (key for key in info if key not in LAST_ONLY) if done else (key for key in SHOWN if key in info)
    metadata = {**{key: plain(info[key]) for key in told}, **more}
    shown = (
        {"text": observation, "messages": info["messages"]} if isinstance(observation, str) else {"arrays": plain(observation)}
    )
    return {"observation": {**shown, "metadata": metadata}, "reward": plain(reward), "done": done}


def invalid(error: ValidationError | Iterable[Any]) -> RefusalError:
    """The refusal of a request whose JSON does not have the right shape: places and reasons, nothing of what was sent."""
    errors = error.errors(include_input=False, include_url=False) if isinstance(error, ValidationError) else list(error)
    if any(entry["type"] == "json_invalid" for entry in errors):
        return broken(errors[0].get("ctx", {}).get("error", "not JSON"))
    places = [".".join(str(part)[:40] for part in entry["loc"] if part != "body") for entry in errors[:5]]
    said = [f"{place or 'the message'}: {entry['msg'][:200]}" for place, entry in zip(places, errors, strict=False)]
    return RefusalError(422, "VALIDATION_ERROR", "; ".join(said) + (f"; and {len(errors) - 5} more" if len(errors) > 5 else ""))


def broken(why: object) -> RefusalError:
    """The refusal of a body that is no JSON, or nested too deeply."""
    return RefusalError(400, "INVALID_JSON", f"the body is not valid JSON: {str(why)[:200]}")
