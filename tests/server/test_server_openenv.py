"""OpenEnv's own clients play against the server."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs fastapi (extra server)")
pytest.importorskip("uvicorn", reason="needs uvicorn (extra server)")
pytest.importorskip("prometheus_client", reason="needs prometheus_client (extra server)")
pytest.importorskip("websockets", reason="needs websockets (extra server)")
pytest.importorskip("openenv.core", reason="needs openenv-core, whose client plays here")

from openenv import core
from openenv.core.client_types import StepResult
from openenv.core.env_server.types import Action, Observation, State

from tests.server.serving import ID, Local, serving


def test_the_generic_client():
    with serving() as address, core.GenericEnvClient(base_url=f"http://{address}").sync() as env:
        for episode in range(2):
            local = Local()
            expected = local.reset(seed=11 + episode)
            result = env.reset(seed=11 + episode, episode_id=f"e{episode}")
            assert (result.observation, result.reward, result.done) == (expected["observation"], None, False)
            steps = 0
            while not result.done:
                command = local.env.unwrapped.expert_action()
                expected, result, steps = local.step(command), env.step({"message": command}), steps + 1
                assert (result.observation, result.reward, result.done) == tuple(expected.values())
                assert env.state() == {
                    "episode_id": f"e{episode}", "step_count": steps, "seed": 11 + episode, "done": result.done, "env_id": ID
                }  # fmt: skip
            assert result.observation["metadata"]["is_success"] is True
        with pytest.raises(RuntimeError, match="EPISODE_OVER"):
            env.step({"message": "next"})


class ReasonGymAction(Action):
    message: str


class ReasonGymObservation(Observation):
    text: str
    messages: list[dict[str, str]]


class ReasonGymClient(core.EnvClient[ReasonGymAction, ReasonGymObservation, State]):
    def _step_payload(self, action):
        return action.model_dump()

    def _parse_result(self, payload):
        told = ReasonGymObservation(**payload["observation"], reward=payload["reward"], done=payload["done"])
        return StepResult(observation=told, reward=told.reward, done=told.done)

    def _parse_state(self, payload):
        return State(**payload)


def test_a_typed_client_that_shows_the_token_in_its_url():
    with serving(token="open-sesame") as address:
        with ReasonGymClient(base_url=f"http://me:open-sesame@{address}").sync() as env:
            local = Local()
            assert env.reset(seed=4).observation.text == local.reset(seed=4)["observation"]["text"]
            result = env.step(ReasonGymAction(message="store 1"))
            expected = local.step("store 1")
            assert result.observation.metadata == expected["observation"]["metadata"]
            assert (result.reward, env.state().step_count) == (expected["reward"], 1)
        with pytest.raises(ConnectionError, match="401"):
            ReasonGymClient(base_url=f"http://{address}").sync().connect()
