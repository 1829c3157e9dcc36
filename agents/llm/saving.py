"""What a trainer of language models keeps in a folder, so that a killed run goes on as if it had not been killed.

The model lies there as `transformers` loads it (of a model with adapters: the adapters, as `peft` loads them). `agent.json` is
removed first and written last: a folder whose writing was cut short is told from a whole one.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from agents import checkpoint

if TYPE_CHECKING:
    from agents.llm_ppo import LLMPPO

AGENT, VALUE, TRAINER, ENVIRONMENTS = "agent.json", "value_head.pt", "trainer.pt", "environments.pt"
COUNTS = ("num_timesteps", "rollouts")


def write(trainer: LLMPPO, folder: Path) -> None:
    """Writes all that a trainer is between two calls of `learn`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / AGENT).unlink(missing_ok=True)
    trainer.model.save_pretrained(folder)
    trainer.backend.tokenizer.save_pretrained(folder)
    torch.save(trainer.value_head.state_dict(), folder / VALUE)
    state = {
        "optimizer": trainer.optimizer.state_dict(),
        "sampling": trainer.backend.generator.get_state(),
        "order": trainer._draw.get_state(),
        "torch": torch.get_rng_state(),
        "ended": trainer._ended[-200:],
        "rows": trainer.rows,
        **{name: getattr(trainer, name) for name in COUNTS},
    }
    torch.save(state, folder / TRAINER)
    if trainer.env is not None:
        torch.save(trainer.env.get_state(), folder / ENVIRONMENTS)
    record = {"settings": asdict(trainer.settings), "agent": {**trainer.player.arguments, "model": None}}
    part = folder / f"{AGENT}.part"
    part.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(part, folder / AGENT)


def record_of(folder: Path) -> dict[str, Any]:
    """How the trainer in a folder was made: `settings`, and the `agent`'s keywords.

    Raises:
        ValueError: there is none, or its writing was cut short.
    """
    if not (folder / AGENT).is_file():
        raise ValueError(f"{folder} was not written by LLMPPO.save, or not to its end: it holds no {AGENT}")
    try:
        return json.loads((folder / AGENT).read_text())
    except ValueError as error:
        raise ValueError(f"{folder / AGENT} is damaged: {error}") from error


def restore(trainer: LLMPPO, folder: Path) -> None:
    """Puts what `write` wrote into a trainer with the same model.

    Environments of other shapes or another number begin anew, with a warning.

    Raises:
        ValueError: a file is missing or damaged.
    """
    device = trainer.model.device
    trainer.value_head.load_state_dict(checkpoint.read(folder / VALUE, device))
    kept = checkpoint.read(folder / TRAINER, device)
    trainer.optimizer.load_state_dict(kept["optimizer"])
    trainer.backend.generator.set_state(kept["sampling"].cpu())
    trainer._draw.set_state(kept["order"].cpu())
    torch.set_rng_state(kept["torch"].cpu())
    trainer._ended, trainer.rows = kept["ended"], kept["rows"]
    for name in COUNTS:
        setattr(trainer, name, kept[name])
    if trainer.env is not None:
        try:
            trainer.env.set_state(checkpoint.read(folder / ENVIRONMENTS, device, weights_only=False))
        except ValueError as error:  # not those it was trained in, or it was saved without any
            warnings.warn(f"training goes on in episodes that begin anew: {error}", stacklevel=3)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A fresh folder to write into, which takes the place of `folder` when it is whole: a kill leaves the one before.

    What is in `folder` is lost then; `settled` finds the one before where the kill fell between both.
    """
    part, old = folder.with_name(f"{folder.name}.part"), folder.with_name(f"{folder.name}.old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def settled(folder: Path) -> bool:
    """Whether there is a whole folder that `replacing` wrote; one that was on its way out is put back."""
    old = folder.with_name(f"{folder.name}.old")
    if not folder.exists() and old.exists():
        old.rename(folder)
    return folder.is_dir()
