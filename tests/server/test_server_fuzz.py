"""schemathesis, on the server's own OpenAPI schema: no request makes it fail, and every reply is one that the schema names."""

from __future__ import annotations

import pytest

pytest.importorskip("schemathesis", reason="needs schemathesis")
pytest.importorskip("fastapi", reason="needs fastapi (extra server)")
pytest.importorskip("uvicorn", reason="needs uvicorn (extra server)")
pytest.importorskip("prometheus_client", reason="needs prometheus_client (extra server)")

import schemathesis
from hypothesis import HealthCheck, Phase, settings

from reasongym.server.command import build
from reasongym.server.settings import ServerSettings
from tests.server.serving import ID, KEYWORDS

APP = build(ID, KEYWORDS, ServerSettings(max_sessions=50)).config.app
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)


@SCHEMA.parametrize()
@settings(
    max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    derandomize=True,
)  # fmt: skip
def test_any_request(case):
    case.call_and_validate()


@SCHEMA.parametrize()
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], derandomize=True)
def test_any_request_of_an_open_session(case):
    sessions = APP.state.sessions
    session = next(iter(sessions._open.values()), None) or sessions.open()
    if case.path in ("/step", "/state", "/close", "/reset"):
        case.headers = {**(case.headers or {}), "X-Session-Id": session.id}
    case.call_and_validate()
