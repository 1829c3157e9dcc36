"""What a server is told when it starts: where it listens, whom it lets in, and the bounds that it keeps."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The settings of a server.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        token: what clients have to show; "" = nothing.
        insecure: whether a host that others can reach is allowed without a token.
        max_sessions: sessions at once; each has an environment of its own.
        idle_seconds: a session that was not used for so long is closed.
        max_body: bytes of a request's body, and of a WebSocket message.
        patience_seconds: time that a client may take to send one request, and to take one reply.
        grace_seconds: time that a shutdown waits for requests in flight.
        threads: threads that environments are stepped in whose rewards are not compiled (judges, learned PRMs).
        episodes: finished episodes are appended to this file, one JSON object a line; None = nowhere.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    insecure: bool = False
    max_sessions: int = 256
    idle_seconds: float = 600.0
    max_body: int = 262_144
    patience_seconds: float = 20.0
    grace_seconds: float = 10.0
    threads: int = 1
    episodes: Path | None = None

    def __post_init__(self) -> None:
        for name, least, most in (("port", 0, 65_535), ("max_sessions", 1, 100_000), ("threads", 1, 256)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must lie in [{least}, {most}], got {getattr(self, name)}")
        if not 1024 <= self.max_body <= 2**30:
            raise ValueError(f"max_body is in bytes and must lie in [1024, 2**30], got {self.max_body}")
        for name in ("idle_seconds", "patience_seconds", "grace_seconds"):
            if not 0 < getattr(self, name) <= 10**7:
                raise ValueError(f"{name} must be more than 0 seconds and at most 10,000,000, got {getattr(self, name)}")
        if self.token and (not self.token.isascii() or not self.token.isprintable() or " " in self.token):
            raise ValueError("the token must be printable ASCII without spaces: it travels in a header")
        if not self.token and not self.insecure and not is_loopback(self.host):
            raise ValueError(
                f"others can reach {self.host!r}, and there is no token: set one (--token, or better REASONGYM_TOKEN in the "
                "environment), listen on 127.0.0.1, or allow it with --insecure"
            )


def is_loopback(host: str) -> bool:
    """Whether a host is reached from this machine alone: every address that its name stands for is a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)} if host else set()
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ipaddress.ip_address(address.split("%")[0]).is_loopback for address in found)
