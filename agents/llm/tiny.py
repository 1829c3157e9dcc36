"""A language model small enough to be trained from scratch on two cores, in the format of any other: Llama's architecture,
a byte-level BPE, a chat template. `transformers` loads it by its folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""Prefix-preserving: a chat's text begins with the text of every beginning of it."""
PIECES = r"[0-9]+|\n?[^\n0-9]+|\n"
"""What BPE merges within: a number, or all of a line between numbers, so that phrases which always recur become one token."""
APART = r"[0-9]+| ?\b(?:{words})\b|\n?(?:(?! ?\b(?:{words})\b)[^\n0-9])+|\n"
"""The same, with certain words by themselves."""


@dataclass(frozen=True)
class Shape:
    """Of a tiny model; the default has about two million parameters with 1,024 tokens.

    Attributes:
        hidden, layers, heads: of the transformer.
        vocabulary: tokens, special ones included.
        window: most tokens of prompt and reply.
    """

    hidden: int = 192
    layers: int = 4
    heads: int = 6
    vocabulary: int = 1024
    window: int = 1024


def train_tokenizer(
    texts: Iterable[str], vocabulary: int = Shape.vocabulary, phrases: bool = False, apart: Collection[str] = ()
) -> PreTrainedTokenizerFast:
    """A byte-level BPE with a chat template; decode(encode(x)) == x for every string.

    Args:
        texts: to train on.
        vocabulary: tokens, at least 256 bytes and the special ones.
        phrases: whether tokens may span words of a line (shorter prompts), or words only.
        apart: words that are no part of a phrase: those of the texts that are read, so that a name in a question and the same
            name on the desk are the same token.

    Raises:
        ValueError: the vocabulary has no room for all bytes.
    """
    least = 256 + len(SPECIAL)
    if vocabulary < least:
        raise ValueError(f"a byte-level vocabulary needs {least} tokens for bytes and special tokens, got {vocabulary}")
    tokenizer = Tokenizer(models.BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not phrases)
    words = "|".join(sorted(map(re.escape, apart), key=len, reverse=True))
    pieces = APART.format(words=words) if words else PIECES
    split = pre_tokenizers.Split(Regex(pieces if phrases else r"[0-9]"), "isolated")
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Sequence([split, bytes_]), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=SPECIAL[0], eos_token=SPECIAL[-1], additional_special_tokens=list(SPECIAL[1:4]),
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    return fast


def tiny_model(tokenizer: Any, shape: Shape | None = None) -> LlamaForCausalLM:
    """A Llama with fresh weights for a tokenizer.

    They are drawn with a standard deviation of 1 / sqrt(hidden). Llama's own, 0.02, is made for models ten times as wide: here
    products of two small numbers begin so small that what depends on two words together (is the one who is asked for the one on
    the desk?) was not found in 2,500 updates on task 1.
    """
    shape = shape or Shape()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=shape.hidden, intermediate_size=8 * shape.hidden // 3,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.heads,
        max_position_embeddings=shape.window, tie_word_embeddings=True, bos_token_id=None, initializer_range=shape.hidden**-0.5,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.generation_config.update(do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return model
