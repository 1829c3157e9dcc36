"""Whatever is sent, the reply is a status and an error in JSON, and the session goes on as if nothing had been said."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs fastapi (extra server, and httpx)")
pytest.importorskip("uvicorn", reason="needs uvicorn (extra server, and httpx)")
pytest.importorskip("prometheus_client", reason="needs prometheus_client (extra server, and httpx)")
pytest.importorskip("httpx", reason="needs httpx (extra server, and httpx)")
pytest.importorskip("websockets", reason="needs websockets (extra server, and httpx)")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.serving import KEYWORDS, HTTPPlayer, Local, SocketPlayer, serving

DEEP = "[" * 100_000 + "]" * 100_000
SPOILT = {
    "nothing": "",
    "no JSON": "store 1",
    "cut short": '{"type": "step", "data": {"message": "ne',
    "deep": DEEP,
    "deep metadata": '{"type": "step", "data": {"message": "next", "metadata": {"a": %s}}}' % ("[" * 900 + "]" * 900),
    "no number": '{"type": "reset", "data": {"seed": NaN}}',
    "half a surrogate pair": '{"type": "step", "data": {"message": "\\ud800"}}',
    "digits": '{"type": "reset", "data": {"seed": %s}}' % ("9" * 10_000),
    "bytes that are no text": b'{"type": "\xff\xfe"}',
}
WRONG = {
    "a list": [],
    "null": None,
    "no type": {},
    "another type": {"type": "mcp", "data": {}},
    "a type that is no string": {"type": ["reset"]},
    "no data": {"type": "step"},
    "data as a list": {"type": "step", "data": []},
    "a number as reply": {"type": "step", "data": {"message": 1}},
    "null as reply": {"type": "step", "data": {"message": None}},
    "another field": {"type": "step", "data": {"message": "next", "session_id": "x"}},
    "another action": {"type": "step", "data": {"action": 3}},
    "a negative seed": {"type": "reset", "data": {"seed": -1}},
    "a big seed": {"type": "reset", "data": {"seed": 2**53}},
    "a seed of many digits": {"type": "reset", "data": {"seed": 10**200}},
    "a true seed": {"type": "reset", "data": {"seed": True}},
    "a seed in words": {"type": "reset", "data": {"seed": "1"}},
    "half a seed": {"type": "reset", "data": {"seed": 1.5}},
    "a long name": {"type": "reset", "data": {"episode_id": "x" * 300}},
    "another option": {"type": "reset", "data": {"options": {"reset_mask": [True]}}},
}


@pytest.fixture(scope="module")
def address():
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def playing(address):
    """A session over WebSocket, one over HTTP, and the local environment, all at the same step."""
    over_socket, over_http, local = SocketPlayer(address), HTTPPlayer(address), Local()
    assert over_socket.reset(seed=2) == over_http.reset(seed=2) == local.reset(seed=2)
    yield over_socket, over_http, local
    over_socket.close()


def go_on(playing):
    over_socket, over_http, local = playing
    expected = local.step("nothing that is a command")
    if expected["done"]:
        expected = local.reset(seed=2)
        over_socket.step({"message": "nothing that is a command"})
        over_http.step({"message": "nothing that is a command"})
        assert over_socket.reset(seed=2) == over_http.reset(seed=2) == expected
        return
    assert over_socket.step({"message": "nothing that is a command"}) == expected
    assert over_http.step({"message": "nothing that is a command"}) == expected


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_messages(playing, name):
    told = playing[0].say(SPOILT[name])
    assert (told["type"], told["data"]["code"]) == ("error", "INVALID_JSON")
    content = SPOILT[name] if isinstance(SPOILT[name], bytes) else SPOILT[name].encode()
    if content:
        answer = playing[1].client.post("/step", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["data"]["code"]) == (400, "INVALID_JSON")
        assert len(answer.content) < 1_000
    go_on(playing)


@pytest.mark.parametrize("name", WRONG)
def test_messages_of_another_shape(playing, name):
    told = playing[0].say(WRONG[name])
    assert told["type"] == "error"
    assert told["data"]["code"] in ("VALIDATION_ERROR", "UNKNOWN_TYPE")
    status, told = playing[1].ask("POST", "/step", WRONG[name])
    assert (status, told["data"]["code"]) == (422, "VALIDATION_ERROR")
    go_on(playing)


def test_a_problem_that_does_not_exist(address):
    player = SocketPlayer(address)
    player.reset(seed=0)
    told = player.say({"type": "reset", "data": {"options": {"problem": 200}}})
    assert told["data"]["code"] == "PROBLEM_NOT_FOUND"
    assert "there are 200 problems, counted from 0; got 200" in told["data"]["message"]
    local = Local()
    local.reset(seed=0)
    assert player.step({"message": "next"}) == local.step("next")
    assert player.reset(seed=7) == Local().reset(seed=7)
    for biggest in ({"seed": 2**53 - 1}, {"seed": 0, "options": {"env_index": 2**31 - 1, "episode": 2**31 - 1}}):
        assert player.reset(**biggest) == Local().reset(**biggest)


def test_steps_out_of_turn(address):
    player = SocketPlayer(address)
    assert player.say({"type": "step", "data": {"message": "next"}})["data"]["code"] == "NO_EPISODE"
    assert player.state()["episode_id"] is None
    reply = player.reset(seed=0)
    while not reply["done"]:
        reply = player.step({"message": "next" if "Desk (" in reply["observation"]["text"] else "answer garden"})
    assert player.say({"type": "step", "data": {"message": "next"}})["data"]["code"] == "EPISODE_OVER"
    assert player.state()["done"] is True


@pytest.mark.parametrize("named", ["", "x", "a" * 100, "a" * 5_000, "../../etc/passwd", "%00"])
def test_sessions_that_are_not_there(address, named):
    for method, path, body in (
        ("POST", "/step", {"action": {"message": "next"}}),
        ("GET", "/state", None),
        ("POST", "/close", None),
    ):
        status, told = HTTPPlayer(address, **{"X-Session-Id": named}).ask(method, path, body)
        assert (status, told["data"]["code"]) in ((404, "SESSION_NOT_FOUND"), (422, "VALIDATION_ERROR"))
    assert HTTPPlayer(address, **{"X-Session-Id": named}).ask("POST", "/reset", {})[0] in (404, 422)


def test_a_closed_session_is_gone(address):
    player = HTTPPlayer(address)
    player.reset(seed=0)
    headers = dict(player.client.headers)
    player.close()
    assert HTTPPlayer(address, **headers).ask("GET", "/state")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/step", 405), ("DELETE", "/reset", 405), ("GET", "/docs", 404)]
)
def test_wrong_paths(address, method, path, status):
    assert HTTPPlayer(address).ask(method, path)[0] == status


class Fragile:
    """A PRM that fails at the third unit."""

    criteria, needs_annotation, version, default_beta = ("third",), False, "fragile-1", {"third": 0.1}

    def score(self, steps):
        if (steps.units_read == 3).any():
            raise RuntimeError("a secret of the server's")
        return np.zeros((len(steps.kind), 1))


def test_a_reward_model_that_fails(caplog):
    with serving(keywords={**KEYWORDS, "prm": Fragile()}) as address:
        over_socket, over_http = SocketPlayer(address), HTTPPlayer(address)
        for _ in range(2):
            over_socket.reset(seed=0)
            over_http.reset(seed=0)
            codes = []
            for _ in range(5):
                told = over_socket.say({"type": "step", "data": {"message": "next"}})
                status, same = over_http.ask("POST", "/step", {"action": {"message": "next"}})
                codes.append(told["data"].get("code"))
                assert same == (told if codes[-1] else told["data"])
                assert status == {None: 200, "EXECUTION_ERROR": 500, "EPISODE_OVER": 409}[codes[-1]]
                assert "secret" not in json.dumps(told)
            assert "EXECUTION_ERROR" in codes
            assert codes[-1] == "EPISODE_OVER"
    assert "a secret of the server's" in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.fixed_dictionaries({}, optional={"type": st.sampled_from(["reset", "step", "state"]) | JSON, "data": JSON})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=MESSAGES | st.text(max_size=50).map(lambda words: {"type": "step", "data": {"message": words}}))
def test_any_message_gets_a_reply(address, message):
    player = getattr(test_any_message_gets_a_reply, "player", None) or SocketPlayer(address)
    test_any_message_gets_a_reply.player = player
    told = player.say(json.dumps(message))
    assert told["type"] in ("observation", "state", "error")
    assert told["type"] != "error" or told["data"]["code"] in (
        "VALIDATION_ERROR", "UNKNOWN_TYPE", "NO_EPISODE", "EPISODE_OVER", "INVALID_JSON"
    )  # fmt: skip
