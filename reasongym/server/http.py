"""The routes: `reset`, `step`, `state` and `close` of a session, and what a server tells about itself.

Bodies are OpenEnv's. Its own servers forget everything between two HTTP requests; here a session goes on: a reset without the
header `X-Session-Id` opens one and names it in the same header of its reply, later requests send it back.
"""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions made here.

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import JSONResponse

from reasongym.server import wire
from reasongym.server.metrics import CONTENT_TYPE
from reasongym.server.sessions import Sessions
from reasongym.server.wire import Closed, ErrorReply, RefusalError, ResetRequest, State, StepRequest

HEADER = "X-Session-Id"
REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorReply, "description": "no JSON, or nested too deeply"},
    401: {"model": ErrorReply, "description": "no token"},
    403: {"model": ErrorReply, "description": "from another site's page"},
    408: {"model": ErrorReply, "description": "the request took too long to arrive"},
    413: {"model": ErrorReply, "description": "the body is too big"},
    422: {"model": ErrorReply, "description": "not of the shape that is asked for"},
}
OF_SESSION: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorReply, "description": "no such session, or no such problem"},
    409: {"model": ErrorReply, "description": "no episode is running, or the session is busy"},
    500: {"model": ErrorReply, "description": "the environment failed"},
    503: {"model": ErrorReply, "description": "too many sessions, or the episode cannot be written down"},
}
SessionId = Annotated[str, Header(alias=HEADER, max_length=100, description="the session's id, which is a secret")]
MaybeSessionId = Annotated[
    str | None, Header(alias=HEADER, max_length=100, description="the session's id; without it a new one is opened")
]


def router(sessions: Sessions) -> APIRouter:
    """The routes of a server."""
    routes = APIRouter(responses=REFUSED)
    action = wire.TextAction if sessions.in_words else wire.NumberAction
    seen = wire.TextObservation if sessions.in_words else wire.ArrayObservation
    Step, Told = StepRequest[action], wire.Reply[seen]  # type: ignore[valid-type]

    @routes.post("/reset", responses={200: {"model": Told}, **OF_SESSION}, summary="Begin an episode")
    async def reset(request: ResetRequest | None = None, session_id: MaybeSessionId = None) -> JSONResponse:
        session = sessions.get(session_id) if session_id is not None else sessions.open()
        try:
            reply = await sessions.reset(session, request or ResetRequest())
        except RefusalError:
            if session_id is None:
                sessions.close(session)
            raise
        return JSONResponse(reply, headers={HEADER: session.id})

    @routes.post("/step", responses={200: {"model": Told}, **OF_SESSION}, summary="Take a step")
    async def step(request: Step, session_id: SessionId) -> JSONResponse:  # type: ignore[valid-type]
        return JSONResponse(await sessions.step(sessions.get(session_id), acted(request.action)))  # type: ignore[attr-defined]

    @routes.get("/state", responses={200: {"model": State}, **OF_SESSION}, summary="Where the session stands")
    async def state(session_id: SessionId) -> JSONResponse:
        return JSONResponse(sessions.get(session_id).state())

    @routes.post("/close", responses={200: {"model": Closed}, **OF_SESSION}, summary="Close the session")
    async def close(session_id: SessionId) -> JSONResponse:
        sessions.close(sessions.get(session_id))
        return JSONResponse(Closed().model_dump())

    @routes.get("/health", summary="Whether the server runs")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @routes.get("/metadata", summary="What is served")
    async def metadata() -> dict[str, str]:
        said = "question answering under bounded working memory, with a reward for each step"
        return {"name": sessions.env_id, "description": f"ReasonGym: {said}", "version": "1"}

    @routes.get("/schema", summary="Shapes of actions, observations and states")
    async def schema() -> dict[str, dict[str, Any]]:
        models = {"action": action, "observation": seen, "state": State}
        return {name: model.model_json_schema() for name, model in models.items()}

    @routes.get("/metrics", response_class=Response, summary="For Prometheus")
    async def metrics() -> Response:
        return Response(sessions.metrics.text(), headers={"content-type": CONTENT_TYPE})

    return routes


def acted(action: wire.TextAction | wire.NumberAction) -> str | int:
    """What the environment takes."""
    return action.message if isinstance(action, wire.TextAction) else action.action
