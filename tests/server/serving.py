"""A server in a thread of this process, clients of it, and the local environment that they are compared with."""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import contextmanager

import gymnasium as gym
import numpy as np

from reasongym.server.command import build, listen
from reasongym.server.settings import ServerSettings

ID = "ReasonGymText-bAbI-qa2-v0"
KEYWORDS = {"memory_slots": 4, "num_problems": 200}
TIMEOUT = 30


@contextmanager
def serving(env_id=ID, keywords=KEYWORDS, **settings):
    """Runs a server; yields its address, "host:port"."""
    server = build(env_id, dict(keywords), ServerSettings(port=0, **settings))
    listening = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    end = time.monotonic() + TIMEOUT
    while not server.started:
        assert time.monotonic() < end, "the server did not start"
        time.sleep(0.005)
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "the server did not stop"


class HTTPPlayer:
    """A session over HTTP."""

    def __init__(self, address, **headers):
        import httpx

        self.client = httpx.Client(base_url=f"http://{address}", timeout=TIMEOUT, headers=headers)

    def ask(self, method, path, body=None):
        """(status, what was replied)"""
        answer = self.client.request(method, path, **({} if body is None else {"json": body}))
        return answer.status_code, answer.json()

    def reset(self, **data):
        answer = self.client.post("/reset", json=data)
        assert answer.status_code == 200, answer.text
        self.client.headers["X-Session-Id"] = answer.headers["X-Session-Id"]
        return answer.json()

    def step(self, action):
        status, told = self.ask("POST", "/step", {"action": action})
        assert status == 200, told
        return told

    def state(self):
        return self.ask("GET", "/state")[1]

    def close(self):
        status, told = self.ask("POST", "/close")
        assert (status, told) == (200, {"closed": True})
        self.client.close()


class SocketPlayer:
    """A session over WebSocket."""

    def __init__(self, address, **headers):
        from websockets.sync.client import connect

        told = {"additional_headers": headers, "proxy": None, "open_timeout": TIMEOUT}
        self.socket = connect(f"ws://{address}/ws", **told).__enter__()

    def say(self, message):
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
        return json.loads(self.socket.recv(TIMEOUT))

    def _observation(self, message):
        told = self.say(message)
        assert told["type"] == "observation", told
        return told["data"]

    def reset(self, **data):
        return self._observation({"type": "reset", "data": data})

    def step(self, action):
        return self._observation({"type": "step", "data": action})

    def state(self):
        told = self.say({"type": "state"})
        assert told["type"] == "state"
        return told["data"]

    def close(self):
        self.socket.send('{"type": "close"}')
        self.socket.close()


PLAYERS = {"HTTP": HTTPPlayer, "WebSocket": SocketPlayer}


class Local:
    """The environment of `gym.make`, and what a server has to reply."""

    def __init__(self, env_id=ID, keywords=KEYWORDS):
        self.env = gym.make(env_id, **keywords)

    def reset(self, seed=None, options=None):
        return told(*self.env.reset(seed=seed, options=options), None, False)

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return told(observation, info, reward, terminated or truncated)

    def commands(self, draw, marker):
        """A command: mostly the expert's, sometimes another, own words with a marker, or nonsense."""
        chance = draw.random()
        if chance < 0.15:
            return f"thinking of {marker}\nstore 1: {marker} is here"
        if chance < 0.3:
            return str(draw.choice(["next", "recall 1", "store 2", f"{marker}, what now?", "update 1", "answer garden"]))
        return self.env.unwrapped.expert_action()


def told(observation, info, reward, done):
    """The reply that an environment's own answer has to become; written without the server's code."""
    shown = ("action_mask", "thought", "command", "invalid_action", "reward_terms", "prm_scores")
    keys = [key for key in info if (done or key in shown) and key not in ("messages", "system")]
    body = {"metadata": {key: listed(info[key]) for key in keys}}
    if isinstance(observation, str):
        body |= {"text": observation, "messages": info["messages"]}
    else:
        body["arrays"] = {key: value.tolist() for key, value in observation.items()}
    return {"observation": body, "reward": reward, "done": done}


def listed(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: listed(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
