"""A frozen `sentence-transformers` model that embeds token rows: the transformer is run on what is new, the rest was kept.

Rows carry the model's own ids plus one, as environments made with its tokenizer give them. What a row's tokens say is embedded
and nothing else: a model's prompts are not put before them. The model's files are `reasongym.prm.sentence_model`'s business.

Axes: R rows, L tokens, E width of an embedding.
"""

from __future__ import annotations

from functools import lru_cache
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch

from agents.embedding_store import MOST, EmbeddingStore, keys_of
from reasongym.prm.sentence_model import SentenceModel, batches
from reasongym.tasks.cache import folder as cache_folder
from reasongym.tasks.tokens import load_tokenizer


class FrozenEncoder:
    """A pretrained model, and the embeddings that it has made. Its parameters are nobody's to train or to save.

    Args:
        name: a folder, or an installed package that carries one (`sentence_model.find`).
        most: rows kept, in memory and in the cache's folder each.

    Attributes:
        digest: of the model's files; the cache is kept by it.
        vocabulary: token id i stands for `vocabulary[i - 1]`.
        rows_made: how many rows went through the transformer.

    Raises:
        DataError: there is no such model.
        ImportError: the package `transformers` or `tokenizers` is missing.
    """

    def __init__(self, name: str | PathLike[str], most: int = MOST) -> None:
        self.name, self.model = fspath(name), SentenceModel(name)
        self.recipe, self.digest, self.width = self.model.recipe, self.model.digest, self.model.recipe.width
        tokenizer = load_tokenizer(self.recipe.tokenizer)
        self.vocabulary = tokenizer.vocabulary
        self.before, self.after = tokenizer.specials()
        place = cache_folder()
        self.store = EmbeddingStore(self.width, place and place / f"embeddings-{self.digest}.sqlite", most)
        self.rows_made = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenEncoder:
        """Itself: it is frozen, so copies of a network share it, and with it the file of embeddings that it has open."""
        return self

    def embed(self, rows: np.ndarray, device: torch.device | str = "cpu") -> np.ndarray:
        """(R, L) token ids from 1, 0 padded on the right -> (R, E) float16; zeros for a row without tokens.

        Args:
            device: where the transformer runs, if it has to.
        """
        keys = keys_of(rows)
        vectors, missing = self.store.get(keys)
        todo = {keys[i]: i for i in missing.tolist() if keys[i]}
        new = list(todo.values())
        lengths = [int(np.flatnonzero(rows[i])[-1]) + 1 for i in new]
        for places in batches(lengths):
            part = [new[place] for place in places]
            made = self._run(rows[part, : lengths[places[0]]], device)
            self.store.put([keys[i] for i in part], made)
            vectors[part] = made
        for i in missing.tolist():  # rows that stand there twice
            if keys[i]:
                vectors[i] = vectors[todo[keys[i]]]
        return vectors

    def _run(self, rows: np.ndarray, device: torch.device | str) -> np.ndarray:
        """(R, L) rows without padding -> (R, E) float16, by the transformer."""
        ids = rows[:, : self.recipe.most_tokens - len(self.before) - len(self.after)].astype(np.int64) - 1
        before, after = (np.tile(np.array(tokens, np.int64), (len(ids), 1)) for tokens in (self.before, self.after))
        self.rows_made += len(ids)
        return self.model.run(np.concatenate([before, ids, after], 1), device).astype(np.float16)


@lru_cache(maxsize=2)
def load_encoder(name: str) -> FrozenEncoder:
    """The model of a name, and with it what it has embedded, once a process."""
    return FrozenEncoder(name)
