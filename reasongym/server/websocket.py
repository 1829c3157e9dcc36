"""`/ws`: a connection is a session, as OpenEnv's clients have it.

Messages are `{"type": "reset", "data": {...}}`, `{"type": "step", "data": {action}}`, `{"type": "state"}`, `{"type": "close"}`;
replies are of type `observation`, `state` and `error`. An error leaves the session as it was.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import WebSocket
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.websockets import WebSocketDisconnect, WebSocketState

from reasongym.server import wire
from reasongym.server.guards import check_json
from reasongym.server.http import acted
from reasongym.server.sessions import Session, Sessions
from reasongym.server.wire import RefusalError, ResetRequest

TRY_AGAIN, GOING_AWAY, TOO_SLOW = 1013, 1001, 1008
"""Codes that connections are closed with."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Reset(_Message):
    type: Literal["reset"]
    data: ResetRequest = Field(default_factory=ResetRequest)


class _TextStep(_Message):
    type: Literal["step"]
    data: wire.TextAction


class _NumberStep(_Message):
    type: Literal["step"]
    data: wire.NumberAction


class _State(_Message):
    type: Literal["state"]


class _Close(_Message):
    type: Literal["close"]


IN_WORDS: TypeAdapter[Any] = TypeAdapter(Annotated[_Reset | _TextStep | _State | _Close, Field(discriminator="type")])
BY_NUMBER: TypeAdapter[Any] = TypeAdapter(Annotated[_Reset | _NumberStep | _State | _Close, Field(discriminator="type")])


async def play(socket: WebSocket, sessions: Sessions) -> None:
    """Serves one connection until it is closed, or nothing was said for too long."""
    await socket.accept()
    try:
        session = sessions.open()
    except RefusalError as refusal:
        await _refuse(socket, sessions, refusal)
        await socket.close(TRY_AGAIN)
        return
    try:
        await _converse(socket, sessions, session)
    except (WebSocketDisconnect, RuntimeError):  # starlette raises RuntimeError for a socket that is closed already
        pass
    finally:
        sessions.close(session)


async def _converse(socket: WebSocket, sessions: Sessions, session: Session) -> None:
    while True:
        try:
            text = await asyncio.wait_for(_listen(socket), sessions.settings.idle_seconds)
        except asyncio.TimeoutError:
            sessions.metrics.timed_out.inc()
            said = f"nothing was said for {sessions.settings.idle_seconds:g} s: the session is closed"
            await _refuse(socket, sessions, RefusalError(408, "SESSION_TIMEOUT", said))
            await socket.close(GOING_AWAY)
            return
        except WebSocketDisconnect:
            return
        try:
            reply = await _answer(text, sessions, session)
        except RefusalError as refusal:
            await _refuse(socket, sessions, refusal)
            continue
        if reply is None:
            await socket.close()
            return
        await _say(socket, sessions, reply)


async def _answer(text: str | bytes, sessions: Sessions, session: Session) -> dict[str, Any] | None:
    """The reply to a message; None where it closes the session."""
    message = parsed(text, sessions)
    if message.type == "reset":
        return {"type": "observation", "data": await sessions.reset(session, message.data)}
    if message.type == "step":
        return {"type": "observation", "data": await sessions.step(session, acted(message.data))}
    if message.type == "state":
        return {"type": "state", "data": session.state()}
    return None


def parsed(text: str | bytes, sessions: Sessions) -> Any:
    """A message; raises RefusalError for one that is none."""
    size = len(text) if isinstance(text, bytes) else len(text.encode())
    if size > sessions.settings.max_body:
        raise RefusalError(413, "BODY_TOO_LARGE", f"a message may have {sessions.settings.max_body} bytes, this one has {size}")
    check_json(text)
    try:
        return (IN_WORDS if sessions.in_words else BY_NUMBER).validate_json(text)
    except ValidationError as error:
        if error.errors()[0]["type"].startswith("union_tag"):
            said = "a message has a type: reset, step, state or close"
            raise RefusalError(422, "UNKNOWN_TYPE", said) from None
        raise wire.invalid(error) from None


async def _listen(socket: WebSocket) -> str | bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    text = message.get("text")
    return text if text is not None else message["bytes"]


async def _say(socket: WebSocket, sessions: Sessions, reply: dict[str, Any]) -> None:
    """Sends a reply; raises WebSocketDisconnect where the client does not take it."""
    try:
        await asyncio.wait_for(socket.send_json(reply), sessions.settings.patience_seconds)
    except asyncio.TimeoutError:
        raise WebSocketDisconnect(TOO_SLOW) from None


async def _refuse(socket: WebSocket, sessions: Sessions, refusal: RefusalError) -> None:
    sessions.metrics.refusals.labels(refusal.code).inc()
    if socket.client_state is WebSocketState.CONNECTED:
        await _say(socket, sessions, refusal.body)
