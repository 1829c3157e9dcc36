"""A memory whose slots mirror the environment's, for `memory_view="recalled"`: what the policy itself put there.

Under that view the environment shows which units a slot holds (`memory_positions`), but their words only after RECALL. An
agent has seen the words, though, on its desk. `SlotMemory` keeps the desk of the step before and a copy of every slot: a
position that the slot held before keeps its words, a position that is new to it is that desk's, and no position is no words.
So STORE overwrites and UPDATE drops the oldest here as there. The copies are token rows; the encoder reads them in the place
of `memory` with its present parameters, which makes them a slot memory of sentence vectors with an exact gradient and lets
training shuffle single steps. Only observations are read: never info, never the engine.

With it the recalled view is about as easy as the full one, since these copies lose nothing: it shows that the view hides
nothing that was not seen before. As a test of memory the view is for cores with a bounded state (GRU, LSTM).

Axes: B batch (environments), K slots, J units a slot, L tokens of a unit.
"""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.memory.base import State

KEYS = ("unit", "memory", "memory_positions")


class SlotMemory:
    """Fills in `memory` where the environment hides it; what is shown is left as it is.

    Its state is three tensors: `memory` (B, K, J * L) and `memory_positions` (B, K, J) as they were after the last step, and
    the desk (B, L) of the last step.

    Args:
        space: the observation space.

    Raises:
        ValueError: the space has no slots of units.
    """

    num_tensors = 3

    def __init__(self, space: spaces.Space) -> None:
        parts = space.spaces if isinstance(space, spaces.Dict) else {}
        missing = [key for key in KEYS if key not in parts]
        if missing:
            raise ValueError(
                f"core='slots' needs a Dict observation with {KEYS}, missing: {missing}; got {type(space).__name__}"
            )
        self.parts = {key: (parts[key].shape or (), np.dtype(parts[key].dtype)) for key in KEYS}
        unit, memory, positions = (shape for shape, _ in self.parts.values())
        if len(unit) != 1 or len(positions) != 2 or memory != (positions[0], positions[1] * unit[0]):
            raise ValueError(
                "core='slots' needs unit (L,), memory_positions (K, J) and memory (K, J * L) as ReasonGym shows them, got "
                f"{unit}, {positions} and {memory}"
            )

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Nothing held, nothing on the desk before."""

        def zeros(key: str) -> Tensor:
            shape, dtype = self.parts[key]
            return torch.as_tensor(np.zeros((batch_size, *shape), dtype), device=device)

        return zeros("memory"), zeros("memory_positions"), zeros("unit")

    def remember(self, observation: dict[str, Tensor], state: State, reset: Tensor) -> tuple[dict[str, Tensor], State]:
        """One step of B environments.

        Args:
            observation: as the environment gives it.
            state: what the last step returned.
            reset: (B,) bool, where episodes begin.

        Returns:
            the observation with `memory` filled in, and the state.
        """
        memory, before, desk = (s.masked_fill(reset.view(-1, *[1] * (s.dim() - 1)), 0) for s in state)
        positions, (J, L) = observation["memory_positions"], (before.shape[2], desk.shape[1])
        same = (positions[:, :, :, None] == before[:, :, None]) & (positions > 0)[..., None]  # (B, K, J now, J before)
        source = same.int().argmax(3)[..., None].expand(-1, -1, -1, L)
        kept = memory.unflatten(2, (J, L)).gather(2, source)
        units = torch.where(same.any(3)[..., None], kept, desk[:, None, None]) * (positions > 0)[..., None]
        shown = observation["memory"].unflatten(2, (J, L))
        filled = torch.where((shown != 0).any(3, keepdim=True), shown, units).flatten(2)
        # clones: an environment may write its next observation into the same arrays
        return {**observation, "memory": filled}, (filled, positions.clone(), observation["unit"].clone())
