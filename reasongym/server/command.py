"""`python -m reasongym serve`. The web framework is imported when a server is started."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reasongym.errors import ReasonGymError
from reasongym.server.settings import ServerSettings

if TYPE_CHECKING:
    import uvicorn

DEFAULT_ID = "ReasonGymText-bAbI-v0"
WAITING = 2048
"""Connections that the system keeps until they are accepted."""


class MissingServerError(ReasonGymError, ImportError):
    """What a server needs is not installed."""


def command(
    env_id: Annotated[str, typer.Argument(help="what is served; an id in words, or by number")] = DEFAULT_ID,
    host: Annotated[str, typer.Option(help="where it listens; only this machine reaches 127.0.0.1")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: a free one")] = 8000,
    token: Annotated[str, typer.Option(envvar="REASONGYM_TOKEN", help="what clients have to show")] = "",
    insecure: Annotated[bool, typer.Option("--insecure", help="let others reach it without a token")] = False,
    option: Annotated[list[str] | None, typer.Option(help="of the environment, e.g. memory_slots=4; may be repeated")] = None,
    episodes: Annotated[Path | None, typer.Option(help="append finished episodes here, one JSON object a line")] = None,
    max_sessions: Annotated[int, typer.Option(help="sessions at once")] = 256,
    idle: Annotated[float, typer.Option(help="seconds until a session that nobody uses is closed")] = 600.0,
    max_body: Annotated[int, typer.Option(help="bytes of a request")] = 262_144,
    patience: Annotated[float, typer.Option(help="seconds that a client may take to send a request")] = 20.0,
    threads: Annotated[int, typer.Option(help="threads for rewards that are not compiled; more than one needs PRMs that "
                                              "several threads may ask at once")] = 1,
) -> None:  # fmt: skip
    """Serve an environment over HTTP and WebSocket, to OpenEnv's clients and others."""
    settings = ServerSettings(
        host=host, port=port, token=token, insecure=insecure, max_sessions=max_sessions, idle_seconds=idle,
        max_body=max_body, patience_seconds=patience, threads=threads, episodes=episodes,
    )  # fmt: skip
    listening = listen(settings.host, settings.port)
    try:
        server = build(env_id, dict(map(_option, option or ())), settings)
        where = f"[{host}]" if ":" in host else host
        typer.echo(f"{env_id} at http://{where}:{listening.getsockname()[1]} (Ctrl+C ends it)")
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # uvicorn has shut down, and hands the signal on
    finally:
        listening.close()


def build(env_id: str, keywords: dict[str, Any], settings: ServerSettings) -> uvicorn.Server:
    """A server that is ready to run: `server.run(sockets=[listen(host, port)])`.

    Raises:
        MissingServerError: the extra is not installed.
        ValueError: what `gym.make` refuses, or a file of episodes that cannot be written.
    """
    try:
        import uvicorn

        from reasongym.server.app import create_app
        from reasongym.server.protocol import PatientProtocol
        from reasongym.server.sessions import environments
    except ModuleNotFoundError as missing:
        raise MissingServerError(
            f"a server needs {missing.name}, which is not installed; run: pip install 'reasongym[server]'"
        ) from missing
    try:
        app = create_app(environments(env_id, **keywords), settings, env_id)
    except OSError as error:
        raise ValueError(f"finished episodes cannot be written to {settings.episodes}: {error.strerror}") from error
    patient = type("Patient", (PatientProtocol,), {"patience_seconds": settings.patience_seconds})
    config = uvicorn.Config(
        app, http=patient, log_config=None, log_level="warning", access_log=False, server_header=False,
        ws_max_size=4 * settings.max_body + 65_536,  # up to here the application refuses, in JSON; beyond, the protocol does
        ws_per_message_deflate=False,  # messages are small, and a compressed one can hide a big one
        timeout_graceful_shutdown=max(1, round(settings.grace_seconds)), backlog=WAITING,
    )  # fmt: skip
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises ValueError where it cannot."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)  # asyncio sends small replies at once only if it is told the protocol
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(WAITING)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"cannot listen on {host}:{port}: {error}; choose another --host or --port") from None
    return listening


def _option(text: str) -> tuple[str, Any]:
    """A keyword of the environment: name=value, the value as JSON where it is JSON, else as it stands."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"--option is name=value, such as memory_slots=4, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, {"None": None, "True": True, "False": False}.get(value, value)
