"""Memory cores on the copy task, one thread: `python examples/copy_task.py [--core NAME] [--json FILE] [--smoke]`.

A core sees some random vectors of bits one a step, then a mark, then nothing, and has to say the vectors in their order
(Graves et al. 2014, arXiv 1410.5401). Told is the share of bits right on fresh sequences of each length; chance is 50%.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.memory import CORES
from agents.provenance import result_file

BITS = 8
"""Of a vector; two more inputs say that the vectors begin and that they are over."""
SIZES: dict[str, dict[str, Any]] = {
    "dnc": {"memory_size": 16, "word_size": 16, "num_reads": 1},
    "rmc": {"num_slots": 8, "num_heads": 4, "head_size": 16},
}
"""Sizes of a core that differ from its own."""


class Copier(nn.Module):
    """A core and a linear layer.

    Args:
        core: a name of `CORES`.
        size: H.
    """

    def __init__(self, core: str, size: int) -> None:
        super().__init__()
        self.core: Any = CORES[core](BITS + 2, size, **SIZES.get(core, {}))
        self.output = nn.Linear(self.core.output_size, BITS)

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, BITS + 2) -> logits (T, B, BITS)."""
        B = x.shape[1]
        y, _ = self.core(x, self.core.initial_state(B), torch.zeros(x.shape[:2], dtype=torch.bool), False)
        return self.output(y)


def task(length: int, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs (2 length + 1, B, BITS + 2), and the bits to be said in the last `length` steps (length, B, BITS)."""
    bits = torch.randint(2, (length, batch_size, BITS), generator=generator).float()
    x = torch.zeros(2 * length + 1, batch_size, BITS + 2)
    x[:length, :, :BITS], x[:length, :, BITS], x[length, :, BITS + 1] = bits, 1, 1
    return x, bits


def share_right(model: Copier, length: int, generator: torch.Generator, batch_size: int = 256) -> float:
    """Share of bits right on fresh sequences."""
    x, bits = task(length, batch_size, generator)
    with torch.no_grad():
        return ((model(x)[-length:] > 0) == (bits > 0.5)).float().mean().item()


def train(core: str, iterations: int, longest: int, seed: int = 0, size: int = 64, batch_size: int = 32) -> Copier:
    """A model trained on sequences of 1 to `longest` vectors, as many lengths as there are, in turn."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Copier(core, size)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, iterations)
    for iteration in range(iterations):
        length = 1 + iteration % longest
        x, bits = task(length, batch_size, generator)
        loss = F.binary_cross_entropy_with_logits(model(x)[-length:], bits)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        falling.step()
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", choices=sorted(CORES), nargs="+", default=["gru", "lstm", "dnc", "rmc"])
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--longest", type=int, default=8, help="vectors of a sequence, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--smoke", action="store_true", help="small and quick, to see that it runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    iterations = 5 if options.smoke else options.iterations
    results: dict[str, dict[str, Any]] = {}
    for core in options.core:
        start = time.process_time()
        model = train(core, iterations, options.longest, options.seed)
        seconds = time.process_time() - start
        generator = torch.Generator().manual_seed(options.seed + 1_000_000)
        right = {length: round(share_right(model, length, generator), 4) for length in range(1, options.longest + 1)}
        results[core] = {"bits right by length": right, "CPU seconds": round(seconds, 1)}
        shown = "  ".join(f"{length}: {share:.1%}" for length, share in right.items())
        print(f"{core:6s} bits right by length  {shown}   {seconds:.0f} CPU s", flush=True)
    if options.json:
        arguments = {"iterations": iterations, "longest": options.longest, "seed": options.seed, "bits": BITS, "sizes": SIZES}
        options.json.write_text(json.dumps({"results": results, **arguments, "torch": torch.__version__}, indent=1) + "\n")


if __name__ == "__main__":
    main()
