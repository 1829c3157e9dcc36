"""Milliseconds a step over the line, at 1 session and at 64, over WebSocket and over HTTP.

    python examples/bench_server.py
    python examples/bench_server.py --json examples/results/bench_server.json

The server runs in a process of its own; all clients share another one, so on a small machine they compete with it. Each
session plays the expert's commands of its own problems (recorded before the clock starts) as fast as it is answered; a step is
from sending to having parsed the reply. Beside it: the same commands in `gym.make`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import fastapi  # noqa: F401  the server that is started needs it, and the two below
import gymnasium as gym
import httpx
import numpy as np
import prometheus_client  # noqa: F401
import uvicorn  # noqa: F401
from websockets.asyncio.client import connect

import reasongym  # noqa: F401

ID = "ReasonGymText-bAbI-qa2-v0"
KEYWORDS = {"memory_slots": 4, "num_problems": 1000}
Ask = Callable[[str, Any], Awaitable[dict[str, Any]]]


def recorded(sessions: int, episodes: int) -> tuple[list[list[list[str]]], np.ndarray]:
    """The expert's commands by session and episode (session i has seed i), and the milliseconds that their steps take here."""
    env, commands, taken = gym.make(ID, **KEYWORDS), [], []
    for seed in range(sessions):
        commands.append([])
        for episode in range(episodes):
            env.reset(seed=seed if episode == 0 else None)
            commands[-1].append([])
            ended = False
            while not ended:
                commands[-1][-1].append(env.unwrapped.expert_action())  # type: ignore[attr-defined]
                began = time.perf_counter()
                _, _, ended, _, _ = env.step(commands[-1][-1][-1])
                taken.append(time.perf_counter() - began)
    return commands, 1000 * np.array(taken)


async def play(ask: Ask, seed: int, episodes: list[list[str]], taken: list[float]) -> None:
    """Plays one session; every episode has to end where the recorded one did."""
    for episode, commands in enumerate(episodes):
        await ask("reset", {"seed": seed} if episode == 0 else {})
        for i, command in enumerate(commands):
            began = time.perf_counter()
            reply = await ask("step", {"message": command})
            taken.append(time.perf_counter() - began)
            if reply["done"] != (i == len(commands) - 1):
                raise RuntimeError(f"session {seed}, episode {episode}, step {i}: not the episode that was recorded")


async def over_socket(address: str, seed: int, episodes: list[list[str]], taken: list[float]) -> None:
    """A session over WebSocket."""
    async with connect(f"ws://{address}/ws", proxy=None) as socket:

        async def ask(kind: str, data: Any) -> dict[str, Any]:
            await socket.send(json.dumps({"type": kind, "data": data}))
            return json.loads(await socket.recv())["data"]

        await play(ask, seed, episodes, taken)


async def over_http(address: str, seed: int, episodes: list[list[str]], taken: list[float]) -> None:
    """A session over HTTP."""
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client:

        async def ask(kind: str, data: Any) -> dict[str, Any]:
            answer = await client.post(f"/{kind}", json={"action": data} if kind == "step" else data)
            client.headers.setdefault("X-Session-Id", answer.headers.get("X-Session-Id", ""))
            return answer.json()

        await play(ask, seed, episodes, taken)


async def all_at_once(one: Any, address: str, commands: list[list[list[str]]]) -> tuple[np.ndarray, float]:
    """(milliseconds of all steps, seconds from the first to the last) of sessions that play at the same time."""
    taken: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(one(address, seed, episodes, taken) for seed, episodes in enumerate(commands)))
    return 1000 * np.array(taken), time.perf_counter() - began


class Server:
    """A server in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        options = [part for name, value in KEYWORDS.items() for part in ("--option", f"{name}={value}")]
        command = [sys.executable, "-m", "reasongym", "serve", ID, "--port", "0", *options, *arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "http://" not in line:
            raise RuntimeError(f"the server did not start: {line}")
        self.address = line.split("http://")[1].split()[0]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)


def row(name: str, taken: np.ndarray, seconds: float) -> dict[str, Any]:
    """A row of the table, printed: milliseconds, and steps a second of all sessions together."""
    found = {"p50": float(np.percentile(taken, 50)), "p95": float(np.percentile(taken, 95)), "steps": len(taken)}
    found["steps_per_second"] = len(taken) / seconds
    print(f"  {name:28s} {found['p50']:8.2f} {found['p95']:8.2f} {found['steps_per_second']:10,.0f} {len(taken):8,d}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small and quick, to see that it runs")
    parser.add_argument("--episodes", type=int, default=5, help="episodes a session")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    episodes, many = (1, 4) if options.smoke else (options.episodes, 64)
    commands, here = recorded(many, episodes)
    single, _ = recorded(1, episodes if options.smoke else 16 * episodes)
    print(f"  {'case':28s} {'p50 ms':>8s} {'p95 ms':>8s} {'steps/s':>10s} {'steps':>8s}")
    results = {"gym.make": row("gym.make, in this process", here, here.sum() / 1000)}
    with Server() as server:
        asyncio.run(all_at_once(over_socket, server.address, single[:1]))  # warm up
        for kind, one in (("WebSocket", over_socket), ("HTTP", over_http)):
            for name, played in (("1 session", single), (f"{many} sessions", commands)):
                case = f"{kind}, {name}"
                results[case] = row(case, *asyncio.run(all_at_once(one, server.address, played)))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
