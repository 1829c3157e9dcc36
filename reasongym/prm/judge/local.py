"""A causal language model of `transformers` as judge, in this process.

Questions about the same step share their beginning (system text and material). It is computed once per step; the
questions' tails form a trie (both label orders of a question differ in their last words only), each of whose edges is
computed once on top of the cached keys and values, for all steps of a batch together. So k criteria cost little more than one.

Axes: B steps in a batch, L tokens of the longest beginning (padded on the left), S tokens of an edge, V vocabulary.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reasongym.prm.judge.errors import CapabilityError, JudgeError, WindowError
from reasongym.prm.judge.ledger import Ledger
from reasongym.prm.judge.questions import LABELS, Question
from reasongym.prm.judge.verdicts import Reply

if TYPE_CHECKING:
    import torch

Tokens = tuple[int, ...]
_HERE = "\ue000content\ue000"
"""Stands for the user's message while the chat template is rendered."""
_SYSTEM = "\ue000system\ue000"
"""Stands for the system's text in the frame that is part of the identity: chat templates differ, and their keywords do."""
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
"""What may be a name on the hub; anything else can only be a folder."""
ADAPTERS = "adapter_config.json"
"""What makes a folder one of adapters."""
MOST_KNOWN = 4096
"""Texts whose tokens are remembered."""
_PLAIN = "{system}\n\n{content}\n"
"""For models without a chat template."""


class LocalModel:
    """Answers questions with a model from a folder, or from the hub's cache.

    Args:
        model: folder or name, as `from_pretrained` takes it.
        ledger: where work is entered.
        dtype: "auto" is float32 on a CPU, and what the weights were saved in elsewhere; or a torch dtype's name.
        device: "auto" takes a GPU where there is one.
        batch_size: steps that are computed together.
        share_prefix: False computes every question from its first token, to compare with.
        template: further arguments of the chat template, such as {"enable_thinking": False}.

    Raises:
        ImportError: torch or transformers is not installed.
        CapabilityError: there is no such model, or it cannot be loaded.
        ValueError: a label is no single token of this vocabulary.
    """

    shares_prefix = True

    def __init__(
        self,
        model: str | os.PathLike,
        ledger: Ledger,
        *,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int = 16,
        share_prefix: bool = True,
        template: dict[str, Any] | None = None,
    ) -> None:
        try:
            import torch
            import transformers  # noqa: F401
        except ImportError as missing:
            raise ImportError("a local judge needs torch and transformers; run: pip install 'reasongym[llm]'") from missing
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size!r}")
        self._torch, self._ledger = torch, ledger
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        kind = ("float32" if self.device == "cpu" else "auto") if dtype == "auto" else dtype
        self.tokenizer, self.model = load_causal_lm(os.fspath(model), kind, self.device)
        self.dtype = str(self.model.dtype).removeprefix("torch.")
        self.batch_size, self.share_prefix = batch_size, share_prefix
        self._template, self._frames = dict(template or {}), {}  # type: tuple[dict[str, Any], dict[str, tuple[Tokens, Tokens]]]
        frame = hashlib.blake2b(self._rendered(_SYSTEM).encode(), digest_size=4).hexdigest()
        self.identity = f"{Path(model).name}@{fingerprint(Path(model), self.model)}/{self.dtype}/{frame}"
        self._asks: dict[str, Tokens] = {}
        self._splits: bool | None = None
        self._window = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        pad = self.tokenizer.pad_token_id
        self._pad = int(pad if pad is not None else self.tokenizer.eos_token_id or 0)
        self._labels = [torch.tensor(ids, device=self.device) for ids in self._label_ids()]

    def close(self) -> None:
        """Nothing to close."""

    def answer(
        self, questions: Sequence[Question], keep: Callable[[int, Reply], None], stop_early: bool = True
    ) -> dict[int, JudgeError]:
        """Hands every reply to `keep` as soon as its batch is done; returns the errors of those that got none.

        Args:
            questions: distinct.
            keep: takes a question's index and its reply.
            stop_early: whether to compute nothing once there is an error.
        """
        prompts: dict[int, Tokens] = {}
        failures: dict[int, JudgeError] = {}
        for i, question in enumerate(questions):
            ids = self._prompt(question)
            if self._window and len(ids) + question.max_tokens - question.by_label > self._window:
                failures[i] = WindowError(
                    f"the prompt about {question.criterion!r} has {len(ids)} tokens and may get {question.max_tokens} more, "
                    f"but the model's window is {self._window}; judge shorter steps, or see fewer of them (context_steps)"
                )
            else:
                prompts[i] = ids
        self._ledger.failed += len(failures)
        if failures and stop_early:
            return failures
        started = time.perf_counter()
        with self._torch.inference_mode():
            self._by_label({i: ids for i, ids in prompts.items() if questions[i].by_label}, questions, keep)
            self._in_words({i: ids for i, ids in prompts.items() if not questions[i].by_label}, questions, keep)
        self._ledger.seconds += time.perf_counter() - started
        return failures

    def _by_label(self, prompts: dict[int, Tokens], questions: Sequence[Question], keep: Callable[[int, Reply], None]) -> None:
        for prefixes, suffixes, members in self._batches(prompts, questions):
            found = self._branches(prefixes, suffixes)
            for j, probabilities in enumerate(found):
                for i, row in zip(members[j], probabilities, strict=True):
                    keep(i, Reply(dict(zip(LABELS, row, strict=True)), tokens_in=len(prompts[i]), tokens_out=1))
            self._ledger.calls += sum(map(len, members))
            self._ledger.tokens_out += sum(map(len, members))

    def _batches(
        self, prompts: dict[int, Tokens], questions: Sequence[Question]
    ) -> Iterator[tuple[list[Tokens], list[Tokens], list[list[int]]]]:
        """(B beginnings, their common tails, index of the question by tail and beginning), like lengths together."""
        by_step: dict[object, list[int]] = defaultdict(list)
        for i in prompts:
            by_step[(questions[i].system, questions[i].material) if self.share_prefix else i].append(i)
        alike: dict[tuple[Tokens, ...], list[tuple[Tokens, list[int]]]] = defaultdict(list)
        for group in by_step.values():
            length = min(common([prompts[i] for i in group]), min(len(prompts[i]) for i in group) - 1)
            tails = sorted((prompts[i][length:], i) for i in group)
            alike[tuple(tail for tail, _ in tails)].append((prompts[group[0]][:length], [i for _, i in tails]))
        for suffixes, steps in alike.items():
            steps.sort(key=lambda step: len(step[0]))
            for start in range(0, len(steps), self.batch_size):
                batch = steps[start : start + self.batch_size]
                members = [[step[1][j] for step in batch] for j in range(len(suffixes))]
                yield [step[0] for step in batch], list(suffixes), members

    def _branches(self, prefixes: list[Tokens], suffixes: list[Tokens]) -> list[list[tuple[float, ...]]]:
        """For each suffix and each prefix the probabilities of the labels."""
        found: dict[int, list[tuple[float, ...]]] = {}
        from transformers import DynamicCache

        cache, lengths = DynamicCache(), self._torch.tensor([len(ids) for ids in prefixes], device=self.device)
        longest = int(lengths.max())
        ids = self._torch.tensor([[self._pad] * (longest - len(row)) + list(row) for row in prefixes], device=self.device)
        seen = self._torch.arange(longest, device=self.device) >= longest - lengths[:, None]
        if longest and len(suffixes) > 1:
            self._forward(ids, seen, lengths - longest, cache)
            self._ledger.tokens_in += int(lengths.sum())
            self._walk(cache, seen, lengths, dict(enumerate(suffixes)), found)
        else:  # nothing to share
            for j, suffix in enumerate(suffixes):
                tail = self._torch.tensor(suffix, device=self.device).expand(len(prefixes), -1)
                logits = self._forward(self._torch.cat([ids, tail], 1), self._and(seen, len(suffix)), lengths - longest, None)
                self._ledger.tokens_in += int(lengths.sum()) + tail.numel()
                found[j] = self._probabilities(logits)
        return [found[j] for j in range(len(suffixes))]

    def _walk(self, cache: Any, seen: torch.Tensor, lengths: torch.Tensor, tails: dict[int, Tokens], found: dict) -> None:
        """Computes the trie of `tails` after what the cache holds, and leaves the cache as it was."""
        length = common(list(tails.values()))
        if length:
            edge = self._torch.tensor(next(iter(tails.values()))[:length], device=self.device).expand(len(lengths), -1)
            seen = self._and(seen, length)
            logits = self._forward(edge, seen, lengths, cache)
            self._ledger.tokens_in += edge.numel()
        children: dict[int, dict[int, Tokens]] = defaultdict(dict)
        for j, tail in tails.items():
            if len(tail) == length:
                found[j] = self._probabilities(logits)
            else:
                children[tail[length]][j] = tail[length:]
        for child in children.values():
            self._walk(cache, seen, lengths + length, child, found)
        cache.crop(-length)

    def _and(self, seen: torch.Tensor, more: int) -> torch.Tensor:
        return self._torch.cat([seen, seen.new_ones(len(seen), more)], 1)

    def _forward(self, ids: torch.Tensor, seen: torch.Tensor, first: torch.Tensor, cache: Any) -> torch.Tensor:
        """(B, V) logits after the last token of `ids` (B, S), whose first stands at position `first` (B,)."""
        positions = (first[:, None] + self._torch.arange(ids.shape[1], device=self.device)).clamp(min=0)
        out = self.model(
            input_ids=ids,
            attention_mask=seen.long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=1,
        )
        return out.logits[:, -1]

    def _probabilities(self, logits: torch.Tensor) -> list[tuple[float, ...]]:
        p = logits.float().softmax(-1)
        return [tuple(row) for row in self._torch.stack([p[:, ids].sum(-1) for ids in self._labels], 1).tolist()]

    def _in_words(self, prompts: dict[int, Tokens], questions: Sequence[Question], keep: Callable[[int, Reply], None]) -> None:
        order = sorted(prompts, key=lambda i: (questions[i].max_tokens, len(prompts[i])))
        config = copy.deepcopy(self.model.generation_config)
        config.update(do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None, pad_token_id=self._pad)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            longest, most = max(len(prompts[i]) for i in batch), max(questions[i].max_tokens for i in batch)
            ids = self._torch.tensor([[self._pad] * (longest - len(prompts[i])) + list(prompts[i]) for i in batch])
            seen = self._torch.tensor([[0] * (longest - len(prompts[i])) + [1] * len(prompts[i]) for i in batch])
            config.update(max_new_tokens=most, max_length=None)
            out = self.model.generate(ids.to(self.device), attention_mask=seen.to(self.device), generation_config=config)
            for i, row in zip(batch, out[:, longest:].tolist(), strict=True):
                keep(i, self._written(row, len(prompts[i]), questions[i].max_tokens))
            self._ledger.calls += len(batch)
            self._ledger.tokens_in += sum(len(prompts[i]) for i in batch)
            self._ledger.tokens_out += out[:, longest:].numel()

    def _written(self, ids: list[int], tokens_in: int, most: int) -> Reply:
        ends = self.model.generation_config.eos_token_id
        stops = set(ends if isinstance(ends, list) else [ends]) | {self.tokenizer.eos_token_id}
        length = next((n for n, token in enumerate(ids) if token in stops), None)
        length, finish = (min(len(ids), most), "length") if length is None or length >= most else (length, "stop")
        text = self.tokenizer.decode(ids[:length], skip_special_tokens=True)
        return Reply(text=text, finish=finish, tokens_in=tokens_in, tokens_out=length)

    def _prompt(self, question: Question) -> Tokens:
        """Token ids: the template's own with special tokens on, all else with special tokens off."""
        head, tail = self._frame(question.system)
        if not question.ask:
            return head + self._ids(question.content) + tail
        if self._splits is None:  # whether material and rubric can be tokenised apart: so where words never span a line's end
            self._splits = self._ids(question.content) == self._ids(question.material + "\n") + self._ids(question.ask)
        if not self._splits:
            return head + self._ids(question.content) + tail
        return head + self._known(question.material + "\n") + self._known(question.ask) + tail

    def _known(self, text: str) -> Tokens:
        """Token ids of a text that will be asked for again."""
        if text not in self._asks:
            if len(self._asks) >= MOST_KNOWN:
                self._asks.clear()
            self._asks[text] = self._ids(text)
        return self._asks[text]

    def _ids(self, text: str) -> Tokens:
        return tuple(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def _frame(self, system: str) -> tuple[Tokens, Tokens]:
        if system not in self._frames:
            parts = self._rendered(system).split(_HERE)
            if len(parts) != 2 or system not in parts[0]:
                raise JudgeError(
                    "the model's chat template does not render a system and a user message once each; give the model another "
                    "chat_template.jinja that does"
                )
            head, tail = (tuple(self.tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts)
            self._frames[system] = head, tail
        return self._frames[system]

    def _rendered(self, system: str) -> str:
        """The whole prompt with `_HERE` for the user's message."""
        if not self.tokenizer.chat_template:
            return _PLAIN.format(system=system, content=_HERE)
        messages = [{"role": "system", "content": system}, {"role": "user", "content": _HERE}]
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **self._template)

    def _label_ids(self) -> list[list[int]]:
        """For each label the tokens that spell it, whatever their case or the space before them."""
        spelled: dict[str, list[int]] = defaultdict(list)
        for i, text in enumerate(self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])):
            spelled[text.strip().casefold()].append(i)
        for label in LABELS:
            if not spelled[label]:
                raise ValueError(f"the label {label!r} is no single token of this model's vocabulary, so it has no probability")
        return [spelled[label] for label in LABELS]


def load_causal_lm(model: str, dtype: str, device: str, trainable: bool = False) -> tuple[Any, Any]:
    """Tokenizer and model of a folder, or of a name on the hub (the cache on this machine, else over the network).

    Args:
        model: folder or name. A folder of adapters, as `peft` writes it, names the model that they are put on.
        dtype: as `from_pretrained` takes it.
        device: where it goes.
        trainable: whether adapters may be trained further.

    Raises:
        CapabilityError: there is no such model, or it cannot be loaded.
        ImportError: `transformers` is not installed.
    """
    try:
        from safetensors import SafetensorError
    except ImportError as missing:
        raise ImportError("a language model needs torch and transformers; run: pip install 'reasongym[llm]'") from missing
    folder, wanted = Path(model), "a folder that save_pretrained wrote (config.json, tokenizer, weights)"
    adapters = (folder / ADAPTERS).is_file()
    if folder.is_dir() and not adapters and not (folder / "config.json").is_file():
        raise CapabilityError(f"the folder {model} holds no language model: config.json is missing; expected {wanted}")
    if not folder.is_dir() and not _HUB_NAME.fullmatch(model):
        raise CapabilityError(f"there is no folder {model!r} (here is {Path.cwd()}); expected {wanted}")
    try:
        found = _with_adapters(model, dtype, trainable) if adapters else _loaded(model, dtype)
        return found[0], found[1].to(device).eval()
    except (OSError, ValueError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}"
        if folder.is_dir():
            raise CapabilityError(f"the language model in {model} cannot be loaded; expected {wanted}; {reason}") from error
        raise CapabilityError(
            f"no language model {model!r}: there is no such folder (here is {Path.cwd()}), and as a name on the Hugging Face "
            f"hub it could not be loaded either (which needs a connection, unless it is in the cache); {reason}"
        ) from error


def _loaded(model: str, dtype: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    causal: Any = AutoModelForCausalLM
    return AutoTokenizer.from_pretrained(model), causal.from_pretrained(model, dtype=dtype)


def _with_adapters(model: str, dtype: str, trainable: bool) -> tuple[Any, Any]:
    """Of a folder of adapters; the tokenizer is the folder's own where it has one."""
    try:
        from peft import PeftModel
    except ImportError as missing:
        raise ImportError(f"{model} holds adapters: loading them needs peft; run: pip install peft") from missing
    from transformers import AutoTokenizer

    base = json.loads((Path(model) / ADAPTERS).read_text())["base_model_name_or_path"]
    if Path(base).resolve() == Path(model).resolve():
        raise CapabilityError(f"{model} holds adapters and the model that they are put on: save them in a folder of their own")
    beside = Path(model) / Path(base).name  # a run that was moved
    try:
        tokenizer, whole = _loaded(str(beside) if not Path(base).is_dir() and beside.is_dir() else base, dtype)
    except (OSError, ValueError) as error:
        raise CapabilityError(
            f"{model} holds adapters of {base!r}, and that cannot be loaded (here is {Path.cwd()}); "
            f"{type(error).__name__}: {error}"
        ) from error
    if (Path(model) / "tokenizer_config.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(model)
    return tokenizer, PeftModel.from_pretrained(whole, model, is_trainable=trainable)


def common(rows: Sequence[Tokens]) -> int:
    """Length of the longest common beginning."""
    least, most = min(rows), max(rows)
    return next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), min(len(least), len(most)))


def fingerprint(folder: Path, model: Any) -> str:
    """12 hexadecimal digits that change with the model.

    Over all files of a folder; of a name on the hub the commit that was loaded, or the weights where it is not known.
    """
    import torch

    digest = hashlib.blake2b(digest_size=6)
    if folder.is_dir():
        for path in sorted(path for path in folder.glob("*") if path.is_file()):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 24):
                    digest.update(block)
        return digest.hexdigest()
    commit = getattr(model.config, "_commit_hash", None)
    digest.update(f"{folder}@{commit}".encode())
    for name, weights in model.state_dict().items() if commit is None else ():
        digest.update(name.encode() + weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
