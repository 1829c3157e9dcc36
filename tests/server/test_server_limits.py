"""Who is let in, how much, how long, and that nothing finished is lost."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs fastapi (extra server, and httpx)")
pytest.importorskip("uvicorn", reason="needs uvicorn (extra server, and httpx)")
pytest.importorskip("prometheus_client", reason="needs prometheus_client (extra server, and httpx)")
pytest.importorskip("httpx", reason="needs httpx (extra server, and httpx)")
pytest.importorskip("websockets", reason="needs websockets (extra server, and httpx)")

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus

from reasongym.server import command
from reasongym.server.guards import shows
from reasongym.server.settings import ServerSettings, is_loopback
from tests.server.serving import ID, KEYWORDS, PLAYERS, TIMEOUT, HTTPPlayer, Local, SocketPlayer, serving

ROOT = Path(__file__).parents[2]


def finish(player, seed=0):
    """Plays an episode as the expert would; returns the last reply."""
    local = Local()
    reply = local.reset(seed=seed)
    player.reset(seed=seed, episode_id=f"seed {seed}")
    while not reply["done"]:
        action = local.env.unwrapped.expert_action()
        reply = local.step(action)
        assert player.step({"message": action}) == reply
    return reply


def test_token():
    with serving(token="open-sesame") as address:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "open-sesame"}):
            player = HTTPPlayer(address, **headers)
            for path in ("/state", "/metrics", "/openapi.json", "/schema", "/nowhere"):
                status, told = player.ask("GET", path)
                assert (status, told["type"], told["data"]["code"]) == (401, "error", "UNAUTHORIZED")
            assert player.ask("GET", "/health") == (200, {"status": "healthy"})
            with pytest.raises(InvalidStatus) as refused:
                SocketPlayer(address, **headers)
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body)["data"]["code"] == "UNAUTHORIZED"
        for player in PLAYERS.values():
            finish(player(address, Authorization="Bearer open-sesame"))
        assert httpx.get(f"http://anybody:open-sesame@{address}/metrics").status_code == 200


@pytest.mark.parametrize(
    ("header", "right"),
    [("Bearer abc", True), ("bearer abc", True), ("Basic OmFiYw==", True), ("Basic eDphYmM=", True), ("Basic YWJj", False),
     ("Basic ???", False), ("Basic gICA", False), ("Bearer abcd", False), ("Bearer", False), ("", False),
     ("Bearer \xe4", False)],
)  # fmt: skip
def test_what_shows_the_token(header, right):
    assert shows(header, "abc") is right


def test_other_hosts_need_a_token():
    for host in ("0.0.0.0", "::", "", "192.168.0.1", "example.invalid"):
        assert not is_loopback(host)
        with pytest.raises(ValueError, match="there is no token"):
            ServerSettings(host=host)
        assert ServerSettings(host=host, token="abc").host == ServerSettings(host=host, insecure=True).host
    for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        assert ServerSettings(host=host).host == host


@pytest.mark.parametrize(
    ("keywords", "message"),
    [({"max_sessions": 0}, "max_sessions must lie in"), ({"port": 70_000}, "port must lie in"), ({"max_body": 10}, "in bytes"),
     ({"idle_seconds": 0}, "more than 0 seconds"), ({"token": "a b"}, "without spaces"), ({"token": "ä"}, "ASCII"),
     ({"idle_seconds": float("nan")}, "more than 0 seconds"), ({"threads": 0}, "threads must lie in")],
)  # fmt: skip
def test_settings_that_make_no_sense(keywords, message):
    with pytest.raises(ValueError, match=message):
        ServerSettings(**keywords)


def test_pages_of_other_sites_are_refused():
    with serving() as address:
        assert HTTPPlayer(address, Origin="http://evil.example").ask("POST", "/reset", {})[0] == 403
        assert HTTPPlayer(address, Origin=f"http://{address}").ask("POST", "/reset", {})[0] == 200
        with pytest.raises(InvalidStatus):
            SocketPlayer(address, Origin="http://evil.example")


def test_sessions_nobody_uses_are_closed():
    with serving(idle_seconds=0.4, max_sessions=2) as address:
        over_http, over_socket = HTTPPlayer(address), SocketPlayer(address)
        over_http.reset(seed=0)
        over_socket.reset(seed=0)
        for _ in range(8):  # used, it stays
            time.sleep(0.1)
            assert over_http.step({"message": "next"})["done"] is False
            over_socket.step({"message": "next"})
        assert json.loads(over_socket.socket.recv(TIMEOUT))["data"]["code"] == "SESSION_TIMEOUT"
        with pytest.raises(ConnectionClosed) as closed:
            over_socket.socket.recv(TIMEOUT)
        assert closed.value.rcvd.code == 1001
        time.sleep(0.4)
        assert over_http.ask("GET", "/state")[1]["data"]["code"] == "SESSION_NOT_FOUND"
        told = httpx.get(f"http://{address}/metrics").text
        assert "reasongym_sessions_timed_out_total 2.0" in told
        assert "reasongym_sessions_open 0.0" in told


@pytest.mark.parametrize("player", PLAYERS)
def test_a_closed_session_makes_room(player):
    with serving(max_sessions=1) as address:
        for _ in range(3):
            first = PLAYERS[player](address)
            first.reset(seed=0)
            status, told = HTTPPlayer(address).ask("POST", "/reset", {})
            assert (status, told["data"]["code"]) == (503, "CAPACITY_REACHED")
            first.close()
            for _ in range(100):  # a socket's end is noticed when it is
                if "reasongym_sessions_open 0.0" in httpx.get(f"http://{address}/metrics").text:
                    break
        assert HTTPPlayer(address).ask("POST", "/reset", {"options": {"problem": 10**9}})[0] == 404
        assert HTTPPlayer(address).ask("POST", "/reset", {})[0] == 200  # what was refused took no place


def test_bodies_that_are_too_big():
    with serving(max_body=2_000) as address:
        player = HTTPPlayer(address)
        player.reset(seed=0)
        for size, right in ((1_000, 200), (3_000, 413), (5_000_000, 413)):
            body = json.dumps({"action": {"message": "x" * size}}).encode()
            for content in (body, iter([body[:500], body[500:]])):
                try:
                    answer = player.client.post("/step", content=content, headers={"Content-Type": "application/json"})
                except httpx.WriteError:  # refused before all was sent
                    assert right == 413
                    continue
                assert answer.status_code == right
        over_socket = SocketPlayer(address)
        over_socket.reset(seed=0)
        assert over_socket.say({"type": "step", "data": {"message": "x" * 3_000}})["data"]["code"] == "BODY_TOO_LARGE"
        over_socket.step({"message": "next"})
        over_socket.socket.send(json.dumps({"type": "step", "data": {"message": "x" * 500_000}}))
        with pytest.raises(ConnectionClosed) as closed:
            over_socket.socket.recv(TIMEOUT)
        assert closed.value.rcvd.code == 1009
        assert player.step({"message": "next"})["done"] is False


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /reset HTTP/1.1\r\nHost: x\r\n", b"POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"],
    ids=["nothing", "half a head", "half a body"],
)
def test_clients_that_are_too_slow(sent):
    with serving(patience_seconds=0.3) as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), TIMEOUT) as slow:
            slow.sendall(sent)
            heard = b"".join(iter(lambda: slow.recv(65_536), b""))
        assert heard.startswith(b"HTTP/1.1 408 ")
        assert json.loads(heard.split(b"\r\n\r\n", 1)[1])["data"]["code"] == "REQUEST_TIMEOUT"
        player = SocketPlayer(address)  # a WebSocket is no slow request
        player.reset(seed=0)
        time.sleep(0.5)
        player.step({"message": "next"})


def test_a_client_that_takes_no_replies_loses_its_session():
    with serving(patience_seconds=0.3) as address:
        host, port = address.split(":")
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, int(port)))
        deaf.settimeout(0.5)
        key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        deaf.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + key)
        message = b'{"type": "reset", "data": {"seed": 1}}'
        frame = bytes([0x81, 0x80 | len(message), 0, 0, 0, 0]) + message
        with suppress(TimeoutError, ConnectionError):  # until both sides' buffers are full
            for _ in range(20_000):
                deaf.sendall(frame)
        player = SocketPlayer(address)
        player.reset(seed=0)
        end = time.monotonic() + TIMEOUT
        while "reasongym_sessions_open 1.0" not in httpx.get(f"http://{address}/metrics").text:
            assert time.monotonic() < end
            time.sleep(0.05)
        player.step({"message": "next"})
        assert "reasongym_sessions_total 2.0" in httpx.get(f"http://{address}/metrics").text
        deaf.close()


def test_what_is_no_http_is_refused_in_json():
    with serving() as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), TIMEOUT) as strange:
            strange.sendall(b"\x16\x03\x01 hello\r\n\r\n")
            heard = b"".join(iter(lambda: strange.recv(65_536), b""))
        assert json.loads(heard.split(b"\r\n\r\n", 1)[1])["data"]["code"] == "INVALID_HTTP"


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_finished_episodes_are_written_down(tmp_path):
    path = tmp_path / "episodes.jsonl"
    path.write_text('{"cut sh')  # a machine that lost power
    with serving(episodes=path) as address:
        for seed, player in enumerate(PLAYERS.values()):
            last = finish(player(address), seed)
            record = json.loads(path.read_text().splitlines()[-1])  # on disk before the last reply is sent
            ended = last["observation"]["metadata"]
            assert record["episode_id"] == f"seed {seed}"
            assert (record["seed"], record["env_id"], record["problem"]) == (seed, ID, ended["problem"])
            assert (record["episode_return"], record["gold"]) == (ended["episode_return"], ended["gold"])
            assert len(record["turns"]) == ended["episode_length"]
            assert sum(turn["reward"] for turn in record["turns"]) == pytest.approx(ended["episode_return"])
            assert record["turns"][-1]["reward_terms"] == ended["reward_terms"]
        HTTPPlayer(address).reset(seed=0)  # unfinished: not written
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of file sizes")
def test_a_full_disk_loses_no_episode(tmp_path):
    """The last reply waits until the episode is on disk, and a line that fitted in part is taken back."""
    import resource

    path = tmp_path / "episodes.jsonl"
    local = Local()
    with serving(episodes=path) as address:
        finish(SocketPlayer(address), 0)
        player = HTTPPlayer(address)
        player.reset(seed=1, episode_id="seed 1")
        reply, before = local.reset(seed=1), resource.getrlimit(resource.RLIMIT_FSIZE)
        actions = []
        while not reply["done"]:
            actions.append(local.env.unwrapped.expert_action())
            reply = local.step(actions[-1])
        for action in actions[:-1]:
            player.step({"message": action})
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
        try:
            for _ in range(2):
                status, told = player.ask("POST", "/step", {"action": {"message": actions[-1]}})
                assert (status, told["data"]["code"]) == (503, "EPISODE_NOT_WRITTEN")
                assert "gold" not in json.dumps(told)
            assert player.ask("POST", "/reset", {})[0] == 503
            assert len(records(path)) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert player.step({"message": actions[-1]}) == reply
        assert [record["episode_id"] for record in records(path)] == ["seed 0", "seed 1"]
        player.reset()


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_shutdown_loses_no_finished_episode(tmp_path, how):
    """Eight clients play on while the server is told to end, or killed: whatever they were told is over is in the file."""
    path, told, lock = tmp_path / "episodes.jsonl", [], threading.Lock()
    options = [item for name, value in KEYWORDS.items() for item in ("--option", f"{name}={value}")]
    arguments = ["serve", ID, "--port", "0", "--episodes", str(path), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        [sys.executable, "-m", "reasongym", *arguments], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        address = server.stdout.readline().split("http://")[1].split()[0]

        def play(number):
            player = list(PLAYERS.values())[number % 2](address)
            for episode in range(100_000):
                name = f"{number}/{episode}"
                reply = player.reset(seed=episode, episode_id=name)
                while not reply["done"]:
                    reading = "sentences read" in reply["observation"]["text"] and "Desk (" in reply["observation"]["text"]
                    reply = player.step({"message": "next" if reading else "answer garden"})
                with lock:
                    told.append(name)

        def until_it_ends(number):
            with suppress(AssertionError, ConnectionClosed, httpx.TransportError, OSError):
                play(number)

        threads = [threading.Thread(target=until_it_ends, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + TIMEOUT
        while len(told) < 40 and time.monotonic() < end:
            time.sleep(0.01)
        server.send_signal(getattr(signal, how))
        began = time.monotonic()
        server.wait(TIMEOUT)
        assert time.monotonic() - began < 15
        for thread in threads:
            thread.join(TIMEOUT)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    written = {record["episode_id"] for record in records(path)}
    assert len(told) >= 40
    assert set(told) <= written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--host", "0.0.0.0"], "there is no token"), (["ReasonGymText-bAbi-v0"], "bAbI"),
     (["CartPole-v1"], "only environments of"),
     (["--option", "memory_slots"], "name=value"), (["--option", "memory_slotz=4"], "did you mean 'memory_slots'"),
     (["--episodes", "/nowhere/at/all"], "cannot be written"), (["--option", "max_episode_steps=4"], "pass max_steps instead"),
     (["--host", "256.1.1.1", "--insecure"], "cannot listen"), (["--idle", "0"], "more than 0 seconds")],
)  # fmt: skip
def test_what_the_command_refuses(arguments, message, monkeypatch, capsys):
    from reasongym import cli

    monkeypatch.setattr(sys, "argv", ["reasongym", "serve", "--port", "0", *arguments])
    with pytest.raises(SystemExit) as refused:
        cli.main()
    assert message in str(refused.value)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(command.MissingServerError, match=r"pip install 'reasongym\[server\]'"):
        command.build(ID, {}, ServerSettings())
    assert importlib.util.find_spec("fastapi")
