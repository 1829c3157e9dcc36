"""HTTP/1.1 by uvicorn, which waits for ever for a request that has begun: here one that does not arrive in time is refused."""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """Closes a connection whose request line and headers are not complete after `patience_seconds`; what cannot be understood
    is refused in JSON, as everything else."""

    patience_seconds = 20.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()
        super().data_received(data)
        if self.scope is not None and (self.cycle is None or not self.cycle.response_complete):
            self._stop_waiting()  # a request is being served, or the connection has become a WebSocket

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "INVALID_HTTP", msg)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.patience_seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._refuse(408, "REQUEST_TIMEOUT", f"the request was not complete after {self.patience_seconds:g} s")

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"type": "error", "data": {"message": message, "code": code}}).encode()
        phrase = {400: "Bad Request", 408: "Request Timeout"}[status]
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()
