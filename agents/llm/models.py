"""The two ways to a language model: weights in this process, and a server. Both turn chats into replies."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from agents.llm.chat import Message, Prompter
from agents.llm.constraint import Node
from agents.llm.sampling import Reply, Sampling, compute_mixed, generate
from reasongym.errors import unknown
from reasongym.prm.judge.clients import ServerClient
from reasongym.prm.judge.errors import JudgeError
from reasongym.prm.judge.ledger import Ledger
from reasongym.prm.judge.local import load_causal_lm
from reasongym.prm.judge.questions import Question

Chat = Sequence[Message]


class Said(NamedTuple):
    """A reply in words, with what it cost; `fault` says why there is none."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    fault: str = ""


class LocalModel:
    """A causal language model of `transformers`.

    Args:
        model: folder, or name on the hub; a folder of adapters, as `peft` writes it, too.
        device: "auto" takes a GPU where there is one.
        dtype: "auto" is float32 on a CPU, and what the weights were saved in elsewhere; "mixed" is weights in float32, and
            products in bfloat16 (fast on a CPU with AMX, on a GPU); or a torch dtype's name.
        batch_size: prompts that are computed together.
        template: further arguments of the chat template, such as {"enable_thinking": False}.
        seed: of sampling.

    Raises:
        CapabilityError: there is no such model, or it cannot be loaded.
        ValueError: it has no chat template, or an argument is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 64,
        template: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
        if template is not None and not isinstance(template, Mapping):
            raise ValueError(f"template must be a mapping of arguments of the chat template, got {template!r}")
        if dtype not in ("auto", "mixed") and not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise unknown("dtype", dtype, ("auto", "mixed", "float32", "bfloat16", "float16"))
        self.name, self.dtype, self.template = os.fspath(model), dtype, template
        where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        kind = {"auto": "float32" if where == "cpu" else "auto", "mixed": "float32"}.get(dtype, dtype)
        self.tokenizer, self.model = load_causal_lm(self.name, kind, where, trainable=True)
        if dtype == "mixed":
            compute_mixed(self.model)
        window = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.prompter = Prompter(self.tokenizer, window, template)
        self.batch_size = batch_size
        named = self.model.generation_config.eos_token_id
        self.ends = sorted({self.prompter.end, *(named if isinstance(named, list) else [] if named is None else [named])})
        pad = self.tokenizer.pad_token_id
        self.pad = int(self.prompter.end if pad is None else pad)
        self.generator = torch.Generator(self.model.device).manual_seed(seed)

    def encode(self, command: str) -> list[int]:
        """Token ids of a reply, its end included."""
        return [*self.prompter.plain(command), self.prompter.end]

    def decode(self, tokens: Sequence[int]) -> str:
        """What token ids say."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True)

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, tries: Sequence[Node] | None = None, value_head: Any = None
    ) -> list[Reply]:
        """A reply to each of some prompts, in token ids; prompts of like length are computed together."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        out: list[Reply] = [Reply()] * len(prompts)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            found = generate(
                self.model,
                [prompts[i] for i in rows],
                sampling,
                pad=self.pad,
                ends=self.ends,
                tries=None if tries is None else [tries[i] for i in rows],
                value_head=value_head,
                generator=self.generator,
            )
            for i, reply in zip(rows, found, strict=True):
                out[i] = reply
        return out

    def reply(self, chats: Sequence[Chat], sampling: Sampling, tries: Sequence[Node] | None = None) -> list[Said]:
        """A reply to each of some chats, in words.

        Raises:
            WindowError: a prompt is too long, with the numbers.
        """
        prompts = [self.prompter(chat, sampling.max_new_tokens) for chat in chats]
        found = self.sample(prompts, sampling, tries)
        return [
            Said(self.decode(reply.tokens), len(prompt), len(reply.tokens))
            for prompt, reply in zip(prompts, found, strict=True)
        ]

    def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True)
class Turns(Question):
    """A chat as a server's client takes it."""

    chat: tuple[tuple[str, str], ...] = ()
    heat: float = 0.0

    @classmethod
    def of(cls, chat: Chat, sampling: Sampling) -> Turns:
        """What is asked by a chat."""
        told = tuple((message["role"], message["content"]) for message in chat)
        material = "\n".join(content for _, content in told)
        return cls("completion", "the next command", "", material, "", sampling.max_new_tokens, told, sampling.temperature)

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": role, "content": content} for role, content in self.chat]

    @property
    def temperature(self) -> float:
        return self.heat


class ServedModel:
    """A model behind an OpenAI-compatible server.

    Args:
        model: the server's name for it.
        url: the API's root, usually ending in "/v1".
        strict: whether a failure of the server raises; otherwise the reply is empty, and says why.
        backend: keywords of `reasongym.prm.judge.clients.ServerClient`: concurrency, timeout, max_retries, price, max_cost,
            api_key, request.
    """

    def __init__(self, model: str, url: str, *, strict: bool = True, **backend: Any) -> None:
        self.name, self.ledger, self._strict = model, Ledger(), strict
        self._client = ServerClient(url, model, self.ledger, **backend)

    def reply(self, chats: Sequence[Chat], sampling: Sampling, tries: Sequence[Node] | None = None) -> list[Said]:
        """A reply to each of some chats.

        Raises:
            JudgeError: what the server did instead of answering, if `strict`.
            ValueError: commands to choose from were given; a server cannot be told of them.
        """
        if tries is not None:
            raise ValueError("a server cannot be held to legal commands: that needs the weights in this process")
        replies: list[Said] = [Said("")] * len(chats)

        def keep(i: int, reply: Any) -> None:
            replies[i] = Said(reply.text, reply.tokens_in, reply.tokens_out)

        failures: dict[int, JudgeError] = self._client.answer(
            [Turns.of(chat, sampling) for chat in chats], keep, stop_early=self._strict
        )
        if failures and self._strict:
            raise failures[min(failures)]
        for i, error in failures.items():
            replies[i] = Said("", fault=str(error))
        return replies

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()
