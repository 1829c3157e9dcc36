"""A language model as an agent: M(X) = f(X, WM_t).

    from agents.base import evaluate
    from agents.llm import LLMAgent
    agent = LLMAgent(model="Qwen/Qwen3-0.6B", constrained=True)
    evaluate(agent, "ReasonGym-bAbI-qa1-v0", problems=100).accuracy

It plays in words whatever is played: each turn the model is shown the situation, which holds the question, the desk, the
working memory slot by slot and the chain, and nothing of what was read before. So a prompt does not grow with the text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.budget import Progress
from agents.llm.constraint import LegalCommands
from agents.llm.models import Chat, LocalModel, Said, ServedModel
from agents.llm.sampling import Sampling
from reasongym.errors import unknown
from reasongym.text.env import connect
from reasongym.text.interface import Interface

LOCAL = {"dtype": "auto", "batch_size": 64, "template": None}
"""Keywords of models in this process alone, and their defaults."""
SERVER = ("concurrency", "timeout", "max_retries", "price", "max_cost", "api_key", "request")
"""Keywords of models behind a url."""
PLAY = (
    "model", "url", "seed", "device", "constrained", "temperature", "top_p", "max_new_tokens", "history", "instructions",
    "reasons", "on_failure", "lean", "backend",
)  # fmt: skip
"""Keywords of either."""


class LLMAgent:
    """Plays in words with a causal language model; an `agents.base.Agent`.

    Args:
        env: environments by number whose problems it plays in words (`make_vec_env`); None: those that it is evaluated in.
        model: folder or name of a `transformers` model; with `url`, the server's name for it.
        url: the root of an OpenAI-compatible API; None: the model is loaded into this process.
        seed: of sampling, in this process.
        device, dtype, batch_size, template: see `LocalModel`; the last three are refused with `url`.
        constrained: whether a reply must be a legal command and nothing else: no thoughts, no own words. Local models only.
        lean: log-odds that are added where a reply begins like one of these, such as {"store 1": -2.0}: commands that were
            learned from at another rate than they are wanted at (`agents.llm.lean` finds how much). Local models only.
        temperature, top_p, max_new_tokens: how replies are sampled; `deterministic=True` takes the likeliest tokens (of a
            server, at temperature 0).
        history, instructions, reasons: of the text environments (`ReasonGymTextEnv`).
        on_failure: "raise", or "no-op": an empty reply where a server fails, which is counted.
        backend: the model itself, where it is there already.
        server: keywords of `ServerClient`: concurrency, timeout, max_retries, price, max_cost, api_key, request.

    Raises:
        CapabilityError, ValueError: no such model, or one without a chat template.
        TypeError: keywords of the other kind of model, or of none (the nearest are named).

    Attributes:
        interface: of the environments it plays in; None before there are any.
        ledger: replies, tokens in and out, replies without a legal command, failures.
        said: what it said last, one an environment.
    """

    supervision, reads_rewards, reads_text = "nothing in the suite (a language model as it is)", False, True

    def __init__(
        self,
        env: Any = None,
        *,
        model: str,
        url: str | None = None,
        seed: int = 0,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 64,
        template: Mapping[str, Any] | None = None,
        constrained: bool = False,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_new_tokens: int = 64,
        history: int = 0,
        instructions: str = "full",
        reasons: bool = False,
        on_failure: str = "raise",
        lean: Mapping[str, float] | None = None,
        backend: LocalModel | ServedModel | None = None,
        **server: Any,
    ) -> None:
        if on_failure not in ("raise", "no-op"):
            raise ValueError(f"on_failure must be 'raise' or 'no-op', got {on_failure!r}")
        for name in server:
            if name not in SERVER:
                raise unknown("keyword of LLMAgent", name, (*LOCAL, *SERVER, *PLAY))
        if url is None and server:
            raise TypeError(f"{', '.join(sorted(server))}: for models behind a url only")
        if url is not None:
            given = {"dtype": dtype, "batch_size": batch_size, "template": template}
            if here := [name for name, value in given.items() if value != LOCAL[name]]:
                raise TypeError(
                    f"{', '.join(here)}: for models in this process only; what a server is to be told goes into request=, "
                    "such as {'extra_body': {'chat_template_kwargs': {'enable_thinking': False}}}"
                )
            if top_p < 1:
                server = {**server, "request": {"top_p": top_p, **(server.get("request") or {})}}
        if url is not None and constrained:
            raise ValueError("constrained=True needs the weights in this process: a server cannot be held to legal commands")
        if url is not None and lean:
            raise ValueError("lean= needs the model in this process: a server does not say what its tokens are")
        if isinstance(backend, LocalModel):
            dtype, batch_size, template = backend.dtype, backend.batch_size, backend.template
        self.arguments = {
            "model": model, "url": url, "seed": seed, "dtype": dtype, "batch_size": batch_size, "template": template,
            "constrained": constrained, "temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens,
            "history": history, "instructions": instructions, "reasons": reasons, "on_failure": on_failure, "lean": lean,
            **server,
        }  # fmt: skip
        self.backend: LocalModel | ServedModel
        if backend is not None:
            self.backend = backend
        elif url is None:
            self.backend = LocalModel(model, device=device, dtype=dtype, batch_size=batch_size, template=template, seed=seed)
        else:
            self.backend = ServedModel(model, url, strict=on_failure == "raise", **server)
        first: tuple[tuple[int, float], ...] = ()
        if lean and isinstance(self.backend, LocalModel):
            first = tuple((self.backend.encode(text)[0], more) for text, more in lean.items())
        self.sampling = Sampling(temperature, top_p, max_new_tokens, first)
        self.constrained, self._view = constrained, (history, instructions, reasons)
        self.ledger = dict.fromkeys(("replies", "tokens_in", "tokens_out", "no_command", "failed"), 0)
        self.interface: Interface | None = None
        self.legal: LegalCommands | None = None
        self.said: list[Said] = []
        self._live: np.ndarray | None = None
        self.observation_space = self.action_space = None
        if env is not None:
            self.attach(env)

    def attach(self, env: Any) -> None:
        """Plays in these environments by number, in words, from their next reset on.

        Raises:
            ValueError: they are none.
        """
        if getattr(env, "batch", None) is None:
            raise ValueError(f"env must be environments by number, as make_vec_env makes them, got {type(env).__name__}")
        self.interface = connect(env.batch, *self._view)
        self.legal = LegalCommands(self.interface, self.backend.encode) if isinstance(self.backend, LocalModel) else None
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def attend(self, live: np.ndarray | None) -> None:
        """Asks nothing in environments but these from now on, and reads on there; (N,) bool, None: asks in all of them."""
        self._live = live

    def reply(self, chats: Sequence[Chat], rows: Sequence[int] | None = None, deterministic: bool = False) -> list[Said]:
        """What the model says to each of some chats, such as `info["messages"]` of a vector of text environments.

        Args:
            chats: lists of messages; one environment's `info["messages"]` is one chat: pass it in a list.
            rows: which of the attached environments they are about; needed where replies are constrained.
            deterministic: the likeliest tokens instead of a sample.

        Raises:
            ValueError: one chat instead of a list of them, or constrained replies without environments.
        """
        if any(isinstance(chat, Mapping) for chat in chats):
            raise ValueError(
                "reply takes a list of chats, got one chat: agent.reply([info['messages']])[0].text is the reply to it"
            )
        tries, most = None, self.sampling.max_new_tokens
        if self.constrained:
            if self.legal is None or rows is None:
                raise ValueError("constrained replies need environments: attach(env) first, and say which rows are asked")
            tries, most = self.legal(rows), max(most, self.legal.most_tokens)
        heat = 0.0 if deterministic else self.sampling.temperature
        said = self.backend.reply(chats, replace(self.sampling, temperature=heat, max_new_tokens=most), tries)
        self.ledger["replies"] += len(said)
        self.ledger["failed"] += sum(bool(one.fault) for one in said)
        self.ledger["tokens_in"] += sum(one.tokens_in for one in said)
        self.ledger["tokens_out"] += sum(one.tokens_out for one in said)
        return said

    def act(
        self, observation: Any, state: Any = None, episode_start: np.ndarray | None = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """Actions for the N attached environments; what it is shown is their text, not `observation`.

        Raises:
            ValueError: nothing is attached, or another number of environments.
        """
        if self.interface is None or self.interface.batch.n != len(next(iter(observation.values()))):
            raise ValueError("an LLMAgent acts in environments that it reads: attach(env) first, with these environments")
        n = self.interface.batch.n
        starts = np.full(n, state is None) if episode_start is None else episode_start
        self.interface.begin(np.flatnonzero(starts))
        self.interface.observe()
        asked = list(range(n)) if self._live is None else np.flatnonzero(self._live).tolist()
        self.said = [Said("")] * n
        for i, said in zip(asked, self.reply([self.interface.messages(i) for i in asked], asked, deterministic), strict=True):
            self.said[i] = said
        live = np.isin(np.arange(n), asked)
        actions = self.interface.read([one.text for one in self.said], live)
        self.ledger["no_command"] += sum(not self.interface.turns[i].command for i in asked)
        return actions, ()

    def learn(self, total_timesteps: int, *, seconds: float | None = None, progress: Progress | None = None) -> LLMAgent:
        """Nothing: the model plays as it is (`agents.llm_ppo` trains one)."""
        return self

    def save(self, path: Any) -> None:
        """Writes what it was made with into a file, but for an `api_key`; the model stays where it is."""
        kept = {name: value for name, value in self.arguments.items() if name != "api_key"}
        Path(path).write_text(json.dumps(kept, indent=1) + "\n")

    @classmethod
    def load(cls, path: Any, env: Any = None, device: str = "auto") -> LLMAgent:
        """The agent that `save` wrote."""
        return cls(env, device=device, **json.loads(Path(path).read_text()))
