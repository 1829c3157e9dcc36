"""Replies of a causal language model to many prompts at once, with the probabilities that they were drawn with.

Axes: B prompts, P tokens of the longest prompt (padded on the left), C tokens of a reply, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from agents.llm.constraint import Node

Tokens = Sequence[int]


@dataclass
class Reply:
    """What a model said.

    Attributes:
        tokens: with the end token, where it ended by itself.
        log_probs: of each token, as it was drawn: after masks and temperature; 0 where there was no choice.
        allowed: by token what was to choose from; None: the whole vocabulary.
        ended: whether it ended by itself; otherwise it was cut off.
        value: what a value head said of the prompt, if there is one.
    """

    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    allowed: list[tuple[int, ...]] | None = None
    ended: bool = False
    value: float = 0.0


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn.

    Attributes:
        temperature: of the softmax; 0: the likeliest token.
        top_p: of the likeliest tokens so many as have this much probability together.
        max_new_tokens: of a reply.
        lean: (token, what is added to its logit) where a reply begins.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 64
    lean: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        whole = isinstance(self.max_new_tokens, int) and self.max_new_tokens >= 1
        if not (0 <= self.temperature < math.inf and 0 < self.top_p <= 1 and whole):
            raise ValueError(
                "temperature must not be negative, top_p in (0, 1] and max_new_tokens a whole number of at least 1, got "
                f"{self.temperature!r}, {self.top_p!r}, {self.max_new_tokens!r}"
            )


def padded(prompts: Sequence[Tokens], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """(B, P) token ids and (B, P) int64, 1 where they are not padding."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in prompts])
    seen = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts])
    return ids.to(device), seen.to(device)


def positions(seen: Tensor) -> Tensor:
    """(B, L) position of every token, padding not counted."""
    return (seen.cumsum(1) - 1).clamp(min=0)


def compute_mixed(model: Any) -> None:
    """From now on a model's products are computed in bfloat16, wherever it is asked through `mixed`."""
    model.products_in_bfloat16 = True
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")  # torch's fused attention is several times slower there in bfloat16


def training_dtype(device: str = "auto") -> str:
    """The `dtype` that training all weights is fastest with: "mixed" where bfloat16 is multiplied in hardware, else "auto"."""
    on_gpu = device != "cpu" and torch.cuda.is_available()
    can = torch.cpu.get_capabilities()
    return "mixed" if on_gpu or can.get("amx_bf16") or can.get("avx512_bf16") else "auto"


def mixed(model: Any) -> torch.autocast:
    """The context that a model is computed in: bfloat16 products after `compute_mixed`, else as it is."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=getattr(model, "products_in_bfloat16", False))


@contextmanager
def hidden_states(model: Any) -> Iterator[list[Tensor]]:
    """Collects what the output layer is given, call by call: (B, tokens that logits are computed for, H)."""
    found: list[Tensor] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    try:
        yield found
    finally:
        hook.remove()


def allowed_logits(logits: Tensor, allowed: Sequence[tuple[int, ...] | None]) -> Tensor:
    """(B, V) logits with all but the allowed tokens of each row at minus infinity; None allows all."""
    rows = [i for i, tokens in enumerate(allowed) if tokens is not None for _ in tokens]
    ids = [token for tokens in allowed if tokens is not None for token in tokens]
    out = torch.full_like(logits, -torch.inf)
    out[rows, ids] = logits[rows, ids]
    free = [i for i, tokens in enumerate(allowed) if tokens is None]
    out[free] = logits[free]
    return out


def most_probable(log_probs: Tensor, top_p: float) -> Tensor:
    """(B, V) log-probabilities of the likeliest tokens that have `top_p` together, normalised; minus infinity elsewhere."""
    ordered, order = log_probs.sort(-1, descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    kept = ordered.masked_fill(before >= top_p, -torch.inf)
    return torch.full_like(log_probs, -torch.inf).scatter(-1, order, kept).log_softmax(-1)


@torch.inference_mode()
def generate(
    model: Any,
    prompts: Sequence[Tokens],
    sampling: Sampling,
    *,
    pad: int,
    ends: Sequence[int],
    tries: Sequence[Node] | None = None,
    value_head: Any = None,
    generator: torch.Generator | None = None,
) -> list[Reply]:
    """A reply to each of B prompts.

    Args:
        model: a causal language model of `transformers`, in evaluation mode.
        prompts: token ids.
        sampling: how tokens are drawn.
        pad: any token id; what stands for padding is not attended to.
        ends: token ids that end a reply.
        tries: for each prompt the replies to choose from; None: any.
        value_head: (B, H) hidden states of the prompts' last tokens to (B,) values.
        generator: of random numbers, on the model's device.
    """
    device = model.device
    replies = [Reply(allowed=None if tries is None else []) for _ in prompts]
    nodes: list[Node | None] = list(tries) if tries is not None else [None] * len(prompts)
    running = [not _finish_if_forced(reply, node) for reply, node in zip(replies, nodes, strict=True)]
    if not any(running) and value_head is None:
        return replies
    ids, seen = padded(prompts, pad, device)
    cache, stops = None, set(ends)
    for step in range(sampling.max_new_tokens):
        with hidden_states(model) as hidden, mixed(model):
            where = positions(seen)[:, -ids.shape[1] :]
            out = model(
                input_ids=ids, attention_mask=seen, position_ids=where, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
        cache = out.past_key_values
        if step == 0 and value_head is not None:
            for reply, value in zip(replies, value_head(hidden[0][:, -1]).tolist(), strict=True):
                reply.value = value
        if not any(running):
            break
        logits = out.logits[:, -1].float()
        for token, more in sampling.lean if step == 0 else ():
            logits[:, token] += more
        allowed = [node.allowed if node is not None and going else None for node, going in zip(nodes, running, strict=True)]
        drawn, log_probs = draw(allowed_logits(logits, allowed) if tries is not None else logits, sampling, generator)
        chosen, likely = drawn.tolist(), log_probs.tolist()
        for i, reply in enumerate(replies):
            if not running[i]:
                continue
            token, node = chosen[i], nodes[i]
            reply.tokens.append(token)
            reply.log_probs.append(likely[i])
            if node is None:
                running[i], reply.ended = token not in stops, token in stops
            else:
                assert reply.allowed is not None
                reply.allowed.append(node.allowed)
                nodes[i] = after = node.next[token]
                running[i] = not _finish_if_forced(reply, after)
        if not any(running):
            break
        ids = drawn.masked_fill(~torch.tensor(running, device=device), pad)[:, None]
        seen = torch.cat([seen, seen.new_ones(len(replies), 1)], 1)
    return replies


def draw(logits: Tensor, sampling: Sampling, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """(B,) tokens and the log-probabilities that they were drawn with, of (B, V) logits."""
    if sampling.temperature == 0:
        drawn = logits.argmax(-1)
        return drawn, torch.zeros(len(logits), device=logits.device)
    log_probs = (logits / sampling.temperature).log_softmax(-1)
    if sampling.top_p < 1:
        log_probs = most_probable(log_probs, sampling.top_p)
    drawn = torch.multinomial(log_probs.exp(), 1, generator=generator)
    return drawn[:, 0], log_probs.gather(1, drawn)[:, 0]


def _finish_if_forced(reply: Reply, node: Node | None) -> bool:
    """Adds the rest of a reply that has no choice left, without asking the model; whether it is over."""
    if node is None or node.tail is None:
        return False
    assert reply.allowed is not None
    reply.tokens += node.tail
    reply.log_probs += [0.0] * len(node.tail)
    reply.allowed += [(token,) for token in node.tail]
    reply.ended = True
    return True
