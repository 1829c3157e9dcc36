"""The application: routes, WebSocket and guards around one server's sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from reasongym.server import wire
from reasongym.server.guards import Guards
from reasongym.server.http import router
from reasongym.server.metrics import Metrics
from reasongym.server.sessions import Environment, Sessions
from reasongym.server.settings import ServerSettings
from reasongym.server.websocket import play
from reasongym.server.wire import RefusalError

ABOUT = (
    "Question answering under bounded working memory, with a reward for each step. `/ws` speaks OpenEnv's WebSocket protocol."
)


def create_app(make: Callable[[], Environment], settings: ServerSettings, env_id: str) -> FastAPI:
    """The application, for any ASGI server; `app.state.sessions` are its sessions.

    Args:
        make: makes an environment for each session; `sessions.environments` gives one that shares problems and PRMs.
        settings: bounds, token, file of episodes; `host` and `port` are the business of whoever runs the application.
        env_id: what the environments are called.
    """
    metrics = Metrics()
    sessions = Sessions(make, settings, metrics, env_id)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        clock = asyncio.create_task(sessions.keep_time())
        yield
        clock.cancel()
        sessions.shut_down()

    app = FastAPI(title="ReasonGym", version="1", description=ABOUT, lifespan=life, docs_url=None, redoc_url=None)
    app.state.sessions = sessions
    app.include_router(router(sessions))

    @app.websocket("/ws")
    async def websocket(socket: WebSocket) -> None:
        await play(socket, sessions)

    def refused(refusal: RefusalError) -> JSONResponse:
        metrics.refusals.labels(refusal.code).inc()
        return JSONResponse(refusal.body, refusal.status, refusal.headers)

    @app.exception_handler(RefusalError)
    async def on_refusal(request: Request, refusal: RefusalError) -> JSONResponse:
        return refused(refusal)

    @app.exception_handler(RequestValidationError)
    async def on_wrong_shape(request: Request, error: RequestValidationError) -> JSONResponse:
        return refused(wire.invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def on_wrong_path(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "BAD_REQUEST")
        said = {"NOT_FOUND": "there is no such path; /openapi.json names all"}.get(code, str(error.detail)[:200])
        return refused(RefusalError(error.status_code, code, said, error.headers))

    @app.exception_handler(Exception)
    async def on_fault(request: Request, error: Exception) -> JSONResponse:
        return refused(RefusalError(500, "INTERNAL_ERROR", "the server failed; its log says why"))

    app.add_middleware(Guards, settings=settings, refused=lambda code: metrics.refusals.labels(code).inc())
    return app
