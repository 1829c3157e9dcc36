"""Tiny `transformers` models from scratch, with a tokenizer of whole words, saved where they can be loaded from."""

from __future__ import annotations

import pytest

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def tiny_model(folder, words, kind, window=4096):
    """The folder of a "bert", "roberta", "llama" or "gpt2" that has positions for so many tokens."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", *words])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    common = {"vocab_size": len(vocabulary), "pad_token_id": 0}
    if kind == "gpt2":
        config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=window, **common)
        transformers.GPT2Model(config).save_pretrained(folder)
    elif kind == "llama":
        config = transformers.LlamaConfig(num_key_value_heads=2, max_position_embeddings=window, **common, **SIZES)
        transformers.LlamaModel(config).save_pretrained(folder)
    else:
        name = {"bert": "Bert", "roberta": "Roberta"}[kind]
        config = getattr(transformers, f"{name}Config")(max_position_embeddings=window + (kind == "roberta"), **common, **SIZES)
        getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
    return str(folder)
