"""Gates: which slots may be stored over, updated and recalled now.

`WM_{t+1} = gate(WM_t, a_t, PRM scores, RL feedback)`: the scores and the feedback move a slot's salience, and the gate reads
the salience. `"open"` and `"salience"` are compiled; any object with `masks(view)` can be passed as `gate=` and is called once
per vector step.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from reasongym.errors import unknown
from reasongym.jit import operation
from reasongym.types import MemoryView

OPEN, SALIENCE, OUTSIDE = range(3)
GATES = {"open": OPEN, "salience": SALIENCE}
"""OUTSIDE is an object of the user's."""

PROTECTED_FLOOR, PROTECTED_RANGE = 0.6, 0.35
FORGOTTEN_CEILING = 0.15


@runtime_checkable
class Gate(Protocol):
    """An object that closes slots.

    Attributes:
        needs_annotation: whether it reads the support (then nothing that follows from it is fair to an agent).
    """

    needs_annotation: bool

    def masks(self, view: MemoryView) -> np.ndarray:
        """(n, 3, K) bool: may slot k be stored over, updated, recalled."""
        ...


def gate_code(gate: object) -> int:
    """The kernel's code of a gate given by name or as an object.

    Raises:
        UnknownNameError: no gate of this name.
        TypeError: neither a name nor a `Gate`.
    """
    if isinstance(gate, str):
        if gate not in GATES:
            raise unknown("gate", gate, GATES)
        return GATES[gate]
    if not isinstance(gate, Gate):
        raise TypeError(f"gate={gate!r} must be one of {', '.join(GATES)} or have needs_annotation and masks(view)")
    return OUTSIDE


@operation
def salience_gate(state, slots):
    """Opens and closes one environment's slots by salience and task complexity.

    Complexity is the number of units still to come per free slot, x, taken to p = x / (1 + x). A slot is closed to store
    (and to an update that would drop something) at a salience of 0.6 + 0.35 p or more: the more is still to come,
    the fewer slots stay protected. It is closed to recall below 0.15 (1 - p). Neither closes everything: when memory is
    full the least salient slot stays open to store, and the most salient one stays open to recall.
    """
    free = slots.shape[0] - state.occupied
    x = (state.num_units - state.cursor) / (free + 1.0)
    p = x / (1.0 + x)
    protected, forgotten = PROTECTED_FLOOR + PROTECTED_RANGE * p, FORGOTTEN_CEILING * (1.0 - p)
    least, most = 0, 0
    storable, recallable = free > 0, False
    for k in range(state.occupied):
        slot = slots[k]
        slot.store = slot.salience < protected
        slot.update = 1
        slot.recall = slot.salience >= forgotten
        storable = storable or slot.store == 1
        recallable = recallable or slot.recall == 1
        if slot.salience < slots[least].salience:
            least = k
        if slot.salience > slots[most].salience:
            most = k
    if state.occupied > 0 and not storable:
        slots[least].store = 1
    if state.occupied > 0 and not recallable:
        slots[most].recall = 1
