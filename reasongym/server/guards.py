"""What is refused before a request is read: no token, another site's page, a body that is too big, too slow, or no JSON.

Written against ASGI itself: a body is counted while it arrives, and nothing of one that is too big is kept.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json

from reasongym.server.settings import ServerSettings
from reasongym.server.wire import RefusalError, broken

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/health",)
"""What is told without a token."""
DRAINED = 1_048_576
"""Bytes of a refused body that are read away, so that its sender comes to read the refusal."""


class Guards:
    """Lets requests through to an app, or refuses them.

    Args:
        app: what is guarded.
        settings: token, bounds.
        refused: told of each refusal's code.
    """

    def __init__(self, app: App, settings: ServerSettings, refused: Callable[[str], None]) -> None:
        self.app, self.settings, self.refused = app, settings, refused

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            self._check(scope["path"], headers)
            if scope["type"] == "http":
                body = await self._body(headers, receive)
                receive = _replayed(body, receive)
        except RefusalError as refusal:
            self.refused(refusal.code)
            await refuse(refusal, scope["type"], send)
            return
        await self.app(scope, receive, send)

    def _check(self, path: str, headers: dict[str, str]) -> None:
        """Raises RefusalError for requests from another site's page, and for those without the token."""
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            raise RefusalError(403, "FORBIDDEN_ORIGIN", "pages of other sites may not speak to this server")
        if self.settings.token and path not in OPEN_PATHS and not shows(headers.get("authorization", ""), self.settings.token):
            said = "this server wants its token: 'Authorization: Bearer TOKEN', or as the password in the URL (Basic)"
            raise RefusalError(401, "UNAUTHORIZED", said, {"www-authenticate": "Bearer"})

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """The whole body; raises RefusalError where it is too big, too slow or no JSON."""
        length = headers.get("content-length", "")
        arriving = Arriving(self.settings.max_body, announced=int(length[:20]) if length.isdigit() else 0)
        try:
            await asyncio.wait_for(arriving.read(receive), self.settings.patience_seconds)
        except asyncio.TimeoutError:
            said = f"the request was not complete after {self.settings.patience_seconds:g} s"
            if not arriving.too_big:
                raise RefusalError(408, "REQUEST_TIMEOUT", said, {"connection": "close"}) from None
        if arriving.too_big:
            said = f"a body may have {self.settings.max_body} bytes"
            raise RefusalError(413, "BODY_TOO_LARGE", said, {"connection": "close"})
        body = b"".join(arriving.parts)
        if body:
            check_json(body)
        return body


class Arriving:
    """A body while it is read; of one that is too big nothing is kept."""

    def __init__(self, most: int, announced: int) -> None:
        self.most, self.size, self.parts = most, 0, []  # type: int, int, list[bytes]
        self.too_big = announced > most

    async def read(self, receive: Receive) -> None:
        """Reads it to its end, or until it is hopeless."""
        ended = False
        while not ended and self.size <= self.most + DRAINED:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RefusalError(400, "DISCONNECTED", "the body ended early")
            self.size += len(message.get("body", b""))
            self.too_big = self.too_big or self.size > self.most
            if self.too_big:
                self.parts.clear()
            else:
                self.parts.append(message.get("body", b""))
            ended = not message.get("more_body", False)


def check_json(text: bytes | str) -> None:
    """Raises RefusalError for what is no JSON, is nested too deeply, or holds half a surrogate pair."""
    try:
        from_json(text, allow_inf_nan=False, cache_strings=False)
    except ValueError as error:
        raise broken(error) from None


def shows(authorization: str, token: str) -> bool:
    """Whether a header shows the token: as `Bearer TOKEN`, or as the password of `Basic`, which `ws://:TOKEN@host` sends."""
    scheme, _, shown = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown.strip().encode(), token.encode())


async def refuse(refusal: RefusalError, kind: str, send: Send) -> None:
    """Sends a refusal as the reply to an HTTP request, or to a WebSocket's handshake."""
    start, body = ("http.response.start", "http.response.body")
    if kind == "websocket":
        start, body = "websocket.http.response.start", "websocket.http.response.body"
    content = json.dumps(refusal.body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(content)), **refusal.headers}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": start, "status": refusal.status, "headers": encoded})
    await send({"type": body, "body": content})


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out the body that was read, and then goes on as before."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
