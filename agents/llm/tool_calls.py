"""Tool calls for a tiny model: a chat template that renders them, how TRL reads them back, and the expert's episodes in them.

A turn is `<|assistant|><|call|>{"name": "store", "arguments": {"slot": 1}}<|end|>`, what a tool returned `<|tool|>...<|end|>`.
Schemas of tools are not rendered: a model that is trained on the calls from scratch has nothing to learn from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from reasongym.adapters.trl import TextTools, call_of
from reasongym.seeding import rng

CALL, TOOL = "<|call|>", "<|tool|>"
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}"
    "{% for call in m['tool_calls'] or [] %}<|call|>{{ call['function'] | tojson }}{% endfor %}<|end|>{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""Prefix-preserving, as TRL wants it: a chat's text begins with the text of every beginning of it."""
RESPONSE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|assistant|>",
    "fields": {
        "tool_calls": {
            "open": CALL,
            "close_pattern": r"(?=<\|call\|>|<\|end\|>)|$",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|end\|>|$", "content": "text"},
    },
}
"""How `transformers` reads a reply (a response template)."""
Chat = list[dict[str, Any]]


def with_tools(tokenizer: Any) -> Any:
    """A tokenizer of `train_tokenizer`, from now on with tool calls; returns it."""
    tokenizer.add_tokens([CALL, TOOL], special_tokens=True)
    tokenizer.chat_template, tokenizer.response_template = TEMPLATE, RESPONSE
    return tokenizer


def called(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The message of a call."""
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}],
    }


def expert_chats(
    factory: Callable[[], TextTools], problems: Iterable[int], *, rules: str = "", stray: float = 0.0, seed: int = 0
) -> Iterator[Chat]:
    """The expert's episodes as chats with tool calls, which end with a reply that calls nothing.

    Args:
        factory: makes an environment.
        problems: indices of the split.
        rules: the system message; "" = none.
        stray: share of the turns the expert would read on in that store the sentence in a free slot instead. They are learned
            with the rest (`labelled`).
        seed: of straying.
    """
    environment, draw = factory(), rng(seed, 9)
    text: Any = environment.env.unwrapped
    for problem in problems:
        chat: Chat = [{"role": "system", "content": rules}] if rules else []
        chat.append({"role": "user", "content": environment.reset(problem=problem)})
        while not environment.over:
            command = text.expert_action()
            free = int(text.batch.memory.state["occupied"][0]) + 1
            if command == "next" and draw.random() < stray and free <= text.batch.shapes.slots:
                command = f"store {free}"
            name, arguments = call_of(command)
            chat += [
                called(name, arguments),
                {"role": "tool", "name": name, "content": getattr(environment, name)(**arguments)},
            ]
        yield [*chat, {"role": "assistant", "content": ""}]


def texts_of(chat: Chat) -> list[str]:
    """All that a chat's template puts between special tokens, to train a tokenizer on."""
    calls = [json.dumps(call["function"]) for message in chat for call in message.get("tool_calls", ())]
    return [*(message["content"] for message in chat), *calls]


def labelled(chat: Chat, tokenizer: Any) -> dict[str, list[int]]:
    """`input_ids` of a chat, and `labels` that are -100 but for what the assistant says."""
    found = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    ids, said = found["input_ids"], found["assistant_masks"]
    return {"input_ids": ids, "labels": [token if own else -100 for token, own in zip(ids, said, strict=True)]}
