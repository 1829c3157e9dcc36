"""What is played over the line is what `gym.make` plays, in every session, however many there are."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import suppress
from itertools import count

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs fastapi (extra server, and httpx)")
pytest.importorskip("uvicorn", reason="needs uvicorn (extra server, and httpx)")
pytest.importorskip("prometheus_client", reason="needs prometheus_client (extra server, and httpx)")
pytest.importorskip("httpx", reason="needs httpx (extra server, and httpx)")
pytest.importorskip("websockets", reason="needs websockets (extra server, and httpx)")

import httpx
from reference import ListedSource, other_labels
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from reasongym.server.command import build
from reasongym.server.sessions import Session
from reasongym.server.settings import ServerSettings
from reasongym.server.wire import ResetOptions, ResetRequest
from reasongym.tasks import babi
from reasongym.text.env import ReasonGymTextEnv
from tests.server.serving import ID, KEYWORDS, PLAYERS, TIMEOUT, HTTPPlayer, Local, SocketPlayer, serving

BY_NUMBER = ID.replace("Text", "")
SHOWN = {"action_mask", "thought", "command", "invalid_action", "reward_terms", "prm_scores"}


@pytest.fixture(scope="module")
def address():
    with serving() as found:
        yield found


@pytest.mark.parametrize("player", PLAYERS)
def test_lockstep_with_the_local_environment(address, player):
    remote, local, draw = PLAYERS[player](address), Local(), np.random.default_rng(0)
    for episode in range(3):
        given = {"seed": 5} if episode == 0 else {} if episode == 1 else {"options": {"problem": 17}}
        reply = local.reset(**given)
        assert remote.reset(**given, episode_id=f"e{episode}") == reply
        steps = 0
        while not reply["done"]:
            assert set(reply["observation"]["metadata"]) <= SHOWN
            command = local.commands(draw, "football")
            reply, steps = local.step(command), steps + 1
            assert remote.step({"message": command}) == reply
            state = {"episode_id": f"e{episode}", "step_count": steps, "seed": 5, "done": reply["done"], "env_id": ID}
            assert remote.state() == state
        assert {"is_success", "gold", "answer", "episode_return"} <= set(reply["observation"]["metadata"])
    remote.close()


@pytest.mark.parametrize("player", PLAYERS)
def test_ids_by_number(player):
    with serving(BY_NUMBER) as address:
        remote, local, draw = PLAYERS[player](address), Local(BY_NUMBER), np.random.default_rng(1)
        reply = local.reset(seed=3)
        assert remote.reset(seed=3) == reply
        while not reply["done"]:
            action = int(draw.choice(np.flatnonzero(reply["observation"]["metadata"]["action_mask"])))
            reply = local.step(action)
            assert remote.step({"action": action}) == reply
        remote.reset(seed=3)
        if player == "HTTP":
            assert remote.ask("POST", "/step", {"action": {"action": 10_000}})[0] == 422
        assert remote.state()["done"] is False


def test_sessions_without_a_seed_play_different_problems(address):
    players = [SocketPlayer(address) for _ in range(8)]
    assert len({player.reset()["observation"]["text"] for player in players}) > 4
    for player in players:
        player.close()


async def play_socket(address, number, barrier):
    """One session over WebSocket in lockstep; returns everything that was said to it."""
    local, draw, heard = Local(), np.random.default_rng(number), []
    async with connect(f"ws://{address}/ws", proxy=None, open_timeout=TIMEOUT) as socket:

        async def ask(kind, data):
            await socket.send(json.dumps({"type": kind, "data": data}))
            heard.append(await socket.recv())
            return json.loads(heard[-1])["data"]

        await barrier()
        expected = local.reset(seed=number)
        assert await ask("reset", {"seed": number}) == expected
        for step in count():
            command = local.commands(draw, f"marker{number}x") if step else f"store 1: marker{number}x"
            expected = local.step(command)
            assert await ask("step", {"message": command}) == expected
            if expected["done"]:
                break
    return heard


async def play_http(address, number, barrier):
    """The same over HTTP."""
    local, draw, heard = Local(), np.random.default_rng(number), []
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=TIMEOUT) as client:
        await barrier()
        expected = local.reset(seed=number)
        answer = await client.post("/reset", json={"seed": number})
        client.headers["X-Session-Id"] = answer.headers["X-Session-Id"]
        assert answer.json() == expected
        for step in count():
            command = local.commands(draw, f"marker{number}x") if step else f"store 1: marker{number}x"
            expected = local.step(command)
            answer = await client.post("/step", json={"action": {"message": command}})
            assert answer.json() == expected
            heard.append(answer.text)
            if expected["done"]:
                break
    return heard


def test_64_sessions_at_once_have_nothing_to_do_with_one_another(address):
    async def all_at_once():
        everybody, waiting = asyncio.Event(), []

        async def barrier():
            waiting.append(1)
            if len(waiting) == 64:
                everybody.set()
            await everybody.wait()

        plays = [(play_socket if i % 2 else play_http)(address, i, barrier) for i in range(64)]
        return await asyncio.gather(*plays)

    for number, heard in enumerate(asyncio.run(all_at_once())):
        words = " ".join(heard)
        assert f"marker{number}x" in words
        assert not [other for other in range(64) if other != number and f"marker{other}x" in words]


def test_a_thousand_at_once():
    """Those that find a place play on; the others are told that there is none, and find one when it is free."""

    async def storm(address):
        patient = {"open_timeout": 300, "close_timeout": 300}  # the server is a thread of this process
        sockets = await asyncio.gather(*(connect(f"ws://{address}/ws", proxy=None, **patient) for _ in range(1000)))
        for socket in sockets:
            with suppress(ConnectionClosed):  # those that found no place may have been told so, and hung up on, already
                await socket.send('{"type": "reset", "data": {"seed": 1}}')
        said = [json.loads(await socket.recv()) for socket in sockets]
        played = [socket for socket, told in zip(sockets, said, strict=True) if told["type"] == "observation"]
        refused = [told["data"]["code"] for told in said if told["type"] == "error"]
        for socket in played:
            await socket.send('{"type": "step", "data": {"message": "next"}}')
        steps = [json.loads(await socket.recv())["data"] for socket in played]
        await asyncio.gather(*(socket.close() for socket in sockets))
        return said, refused, steps

    with serving(max_sessions=200) as address:
        said, refused, steps = asyncio.run(storm(address))
        assert refused == ["CAPACITY_REACHED"] * 800
        local = Local()
        assert [told["data"] for told in said if told["type"] == "observation"] == [local.reset(seed=1)] * 200
        assert steps == [local.step("next")] * 200
        player = HTTPPlayer(address)
        for _ in range(100):
            status, told = player.ask("POST", "/reset", {"seed": 1})
            if status == 200:
                break
            assert (status, told["data"]["code"]) == (503, "CAPACITY_REACHED")
        assert status == 200


def test_log_handlers_of_the_process_are_left_alone():
    """uvicorn's own configuration of logging closes them all, some with the stream that they write to."""
    closed = []

    class Handler(logging.StreamHandler):
        def close(self):
            closed.append(self)
            super().close()

    handler = Handler()
    with serving() as address:
        HTTPPlayer(address).reset(seed=0)
    assert not closed
    handler.close()


def test_replies_before_the_end_do_not_depend_on_the_gold_answer():
    """Two servers whose problems differ in gold answer and support alone: all that they say of an episode, its scores left out,
    is the same until it is over."""
    problems = [babi.load((1,), num_problems=20).problem(i) for i in range(20)]
    source = babi.load((1,), num_problems=20)
    both = [
        ListedSource(source, problems),
        ListedSource(source, [other_labels(problem, source.choices) for problem in problems]),
    ]
    for index in range(20):
        sessions = [Session(ReasonGymTextEnv(dataset=found), "x") for found in both]
        request = ResetRequest(seed=0, episode_id="same", options=ResetOptions(problem=index))
        replies = [session.reset(request) for session in sessions]
        for command in ("store 1", "store 2", "recall 1", *["next"] * 20, "recall 1", "recall 2", "recall 9", "nonsense"):
            for reply in replies:
                for unequal in ("reward_terms", "prm_scores"):  # the rewards: from annotation, as everywhere
                    reply["observation"]["metadata"].pop(unequal, None)
                reply["reward"] = None
            assert replies[0] == replies[1]
            assert "gold" not in json.dumps(replies[0]["observation"]["metadata"])
            assert sessions[0].state() == sessions[1].state()
            replies = [session.step(command) for session in sessions]
        ended = [session.step("answer garden")["observation"]["metadata"]["gold"] for session in sessions]
        assert ended[0] == problems[index].answers[0]
        assert ended[0] != ended[1]


def test_rewards_that_are_not_compiled_are_computed_in_threads():
    keywords = {**KEYWORDS, "prm": "lexical", "observer": "lexical"}
    with serving(keywords=keywords, threads=4) as address:
        faults = []

        def play(number):
            try:
                remote, local = SocketPlayer(address), Local(keywords=keywords)
                reply = local.reset(seed=number)
                assert remote.reset(seed=number) == reply
                while not reply["done"]:
                    command = local.env.unwrapped.expert_action()
                    reply = local.step(command)
                    assert remote.step({"message": command}) == reply
                remote.close()
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=play, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        assert not faults


def test_sessions_share_problems_and_nothing_else():
    app = build(ID, dict(KEYWORDS), ServerSettings()).config.app
    a, b = app.state.sessions.open(), app.state.sessions.open()
    assert a.env.source is b.env.source
    assert a.env.batch.memory.state is not b.env.batch.memory.state
    assert len({app.state.sessions.open().id for _ in range(50)}) == 50
    assert all(len(session) >= 32 for session in app.state.sessions._open)
