"""From a chat to token ids: a model's chat template, with every message fenced off from the template's own tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

Message = Mapping[str, str]
"""`role` ("system", "user", "assistant") and `content`."""
Tokens = list[int]
_CONTENT = "\ue000{}\ue001"
"""Stands for the content of message i while the template is rendered."""


class WindowError(ValueError):
    """A prompt and its reply are longer than the model's window."""


class Prompter:
    """Makes prompts for one model.

    What a message says is tokenised apart from the template, with special tokens off: a passage that spells "<|im_end|>"
    stays a passage. The last message is followed by what the template puts before a reply.

    Args:
        tokenizer: of `transformers`, with a chat template.
        window: most tokens of prompt and reply together; None: the tokenizer and the model do not say.
        keywords: further arguments of the template, such as {"enable_thinking": False}.

    Raises:
        ValueError: the tokenizer has no chat template, or one that does not render what a message says.
    """

    def __init__(self, tokenizer: Any, window: int | None = None, keywords: Mapping[str, Any] | None = None) -> None:
        if not tokenizer.chat_template:
            name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
            raise ValueError(
                f"the tokenizer of {name!r} has no chat template, so there is no telling where its turns begin and end: take a "
                "model that was tuned to chat, or give it one (tokenizer.chat_template = ..., or a chat_template.jinja in its "
                "folder)"
            )
        self.tokenizer, self.window, self._keywords = tokenizer, window, dict(keywords or {})
        self._takes_system = True
        self._frames: dict[tuple[str, ...], list[Tokens]] = {}
        self._frame(("system", "user"))
        self.end = self._end()
        """The token that ends a reply."""

    def __call__(self, chat: Sequence[Message], room: int = 0) -> Tokens:
        """Token ids of a chat, ready for a reply of `room` tokens.

        Raises:
            WindowError: the model's window is too short, with the numbers.
            ValueError: an empty chat, or one that the template refuses.
        """
        if not chat:
            raise ValueError("a chat needs at least one message, got none")
        frame, contents = self._laid_out(chat)
        ids = list(frame[0])
        for content, after in zip(contents, frame[1:], strict=True):
            ids += self.plain(content)
            ids += after
        if self.window is not None and len(ids) + room > self.window:
            raise WindowError(
                f"the prompt has {len(ids)} tokens and its reply may have {room}, but the model's window is {self.window}: "
                "show less (instructions='none', history=0, fewer memory_slots, a shorter chain), allow shorter replies "
                "(max_new_tokens), or take a model with a longer window"
            )
        return ids

    def conversation(self, chat: Sequence[Message]) -> tuple[Tokens, list[bool]]:
        """Token ids of a chat whose last message is a reply, and which of them are replies, each with its end.

        Raises:
            ValueError: the last message is none of the assistant's.
        """
        if not chat or chat[-1]["role"] != "assistant":
            raise ValueError(f"a conversation ends with a reply, got messages of {[message['role'] for message in chat]}")
        frame, contents = self._laid_out(chat)
        ids = list(frame[0])
        said = [False] * len(ids)
        for content, after, message in zip(
            contents, [*frame[1:-1], [self.end]], chat[len(chat) - len(contents) :], strict=True
        ):
            reply, tokens = message["role"] == "assistant", self.plain(content)
            ids += [*tokens, *after]
            said += [reply] * len(tokens) + [reply and k == 0 for k in range(len(after))]
        return ids, said

    def _laid_out(self, chat: Sequence[Message]) -> tuple[list[Tokens], list[str]]:
        """What the template puts before, between and after messages, and what they say."""
        frame = self._frame(tuple(message["role"] for message in chat))
        contents = [message["content"] for message in chat]
        if not self._takes_system and chat[0]["role"] == "system":
            contents = [f"{contents[0]}\n\n{contents[1]}", *contents[2:]]
        return frame, contents

    def plain(self, text: str) -> Tokens:
        """Token ids of a text in which nothing is a special token."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def _frame(self, roles: tuple[str, ...]) -> list[Tokens]:
        """What the template puts before, between and after contents."""
        if roles not in self._frames:
            self._frames[roles] = [
                list(self.tokenizer(part, add_special_tokens=False)["input_ids"]) if part else []
                for part in self._rendered(roles)
            ]
        return self._frames[roles]

    def _end(self) -> int:
        """What the template puts behind a reply, if that is a special token; else the tokenizer's end."""
        said = [{"role": "user", "content": _CONTENT.format(0)}, {"role": "assistant", "content": _CONTENT.format(1)}]
        text = self.tokenizer.apply_chat_template(said, tokenize=False, **self._keywords)
        after = self.tokenizer(text.partition(_CONTENT.format(1))[2], add_special_tokens=False)["input_ids"]
        if after and after[0] in self.tokenizer.all_special_ids:
            return int(after[0])
        if self.tokenizer.eos_token_id is None:
            raise ValueError("no token ends a reply: the chat template puts none behind it, and the tokenizer has no eos_token")
        return int(self.tokenizer.eos_token_id)

    def _rendered(self, roles: tuple[str, ...]) -> list[str]:
        system = roles[0] == "system" and len(roles) > 1
        told = roles[1:] if system and not self._takes_system else roles
        contents = [_CONTENT.format(i) for i in range(len(told))]
        chat = [{"role": role, "content": content} for role, content in zip(told, contents, strict=True)]
        try:
            text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **self._keywords)
        except TemplateError as error:
            if system and self._takes_system and "system" in str(error).lower():
                self._takes_system = False  # some families have no system role: what it says precedes the first message
                return self._rendered(roles)
            raise ValueError(f"the chat template refuses turns of {', '.join(told)}: {error}") from error
        parts = []
        for i, content in enumerate(contents):
            before, found, text = text.partition(content)
            if not found:
                raise ValueError(f"the chat template leaves out message {i + 1} of {', '.join(told)}: it must render each once")
            parts.append(before)
        return [*parts, text]
