"""What a memory cell of a policy is.

Axes: T time, B batch (environments), D input, H output. A *core* turns a sequence of feature vectors into a sequence of
outputs that may depend on everything since the episode began. `reset[t, b]` says that step t of sequence b is the first
of an episode: the state is fresh before it is read, so episodes never see each other although they share a sequence.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

State = tuple[Tensor, ...]
"""What a core carries from step to step: tensors whose first axis is the batch. Empty for a core without memory."""


class Core(Protocol):
    """A memory cell. One call on a sequence must equal T calls on its steps; a reset must equal a fresh state.

    Attributes:
        recurrent: False when `forward` treats every step by itself, so that training may shuffle single steps.
        output_size: H.
    """

    recurrent: bool
    output_size: int

    def initial_state(self, batch_size: int) -> State:
        """The state of `batch_size` episodes that begin."""
        ...

    def forward(self, x: Tensor, state: State, reset: Tensor, final_state: bool = True) -> tuple[Tensor, State]:
        """Read a sequence.

        Args:
            x: (T, B, D) float.
            state: the state before step 0, B rows.
            reset: (T, B) bool.
            final_state: False where the caller drops the returned state (training), which may then be anything.

        Returns:
            y (T, B, H) and the state after step T - 1.
        """
        ...
