"""The arrays of a batch as one table of addresses.

Handing a compiled function 28 arrays costs 5 microseconds a call, several times the step itself when there is one environment.
So a batch writes down once where its arrays lie, and kernels are handed that table: half a microsecond a call. The
table borrows: whoever holds it also holds the arrays (`AddressTable.owners`), and makes it anew when an array is replaced.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

from reasongym.engine.layout import (
    CONFIG,
    FEATURES,
    HELD,
    OUTCOME,
    PROBLEM,
    PROGRESS,
    SLOT,
    STATE,
    SUPPORT,
    UNIT,
    Memory,
    Observation,
    Result,
    Shapes,
    Tables,
)
from reasongym.jit import operation

NUM_FEATURES, NUM_PROGRESS = len(FEATURES), len(PROGRESS)
NUM_SIZES = 17
"""Entries of the table before the addresses: see `AddressTable`."""


class AddressTable:
    """Where the arrays of a batch lie.

    Attributes:
        table: (sizes, then addresses) int64, for the kernels.
        token: an empty array of the tokens' type, for the kernels.
        owners: the arrays, kept alive.
    """

    def __init__(
        self, shapes: Shapes, config: np.ndarray, t: Tables, m: Memory, o: Observation, r: Result, token: np.dtype
    ) -> None:
        arrays = (config, *t, *m, *o, *r)
        for array in arrays:
            assert array.flags.c_contiguous, "kernels read contiguous arrays"
        sizes = [len(m.state), shapes.slots, shapes.units_per_slot, shapes.chain_length, shapes.unit_tokens]
        sizes += [shapes.question_tokens, shapes.choices, shapes.observer_criteria, shapes.actions, r.scores.shape[1]]
        sizes += [len(array) for array in t]
        assert len(sizes) == NUM_SIZES
        self.table = np.array(sizes + [array.ctypes.data for array in arrays], np.int64)
        self.token = np.zeros(0, token)
        self.owners = arrays


@intrinsic
def array_at(typingctx: Any, address: Any, shape: Any, dtype: Any) -> Any:
    """The C-contiguous array of `shape` (a tuple) and `dtype` at an address; it owns nothing."""
    array_type = types.Array(dtype.dtype, len(shape), "C")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = arrayobj.make_array(array_type)(context, builder)
        data = builder.inttoptr(arguments[0], array.data.type)
        sizes = cgutils.unpack_tuple(builder, arguments[1], len(shape))
        itemsize = context.get_constant(types.intp, arrayobj.get_itemsize(context, array_type))
        strides: list[Any] = []
        step = itemsize
        for size in reversed(sizes):
            strides.insert(0, step)
            step = builder.mul(step, size)
        arrayobj.populate_array(array, data=data, shape=sizes, strides=strides, itemsize=itemsize, meminfo=None)
        return array._getvalue()

    return array_type(address, shape, dtype), codegen


@operation
def arrays_of(p, token):
    """(config, tables, memory, observation, result) of an `AddressTable.table`; `token` has the tokens' type."""
    n, k, u, h, lu, lq, c, f, a, s = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9]
    config = array_at(p[17], (1,), CONFIG)
    t = Tables(
        array_at(p[18], (p[10],), UNIT),
        array_at(p[19], (p[11],), PROBLEM),
        array_at(p[20], (p[12],), SUPPORT),
        array_at(p[21], (p[13], lu), token.dtype),
        array_at(p[22], (p[14], lq), token.dtype),
        array_at(p[23], (c,), np.uint32),
        array_at(p[24], (p[16],), np.int64),
    )
    m = Memory(
        array_at(p[25], (n,), STATE),
        array_at(p[26], (n, k), SLOT),
        array_at(p[27], (n, k, u), HELD),
        array_at(p[28], (n, h, u), np.int16),
    )
    o = Observation(
        array_at(p[29], (n, lq), token.dtype),
        array_at(p[30], (n, lu), token.dtype),
        array_at(p[31], (n, k, u * lu), token.dtype),
        array_at(p[32], (n, k, u), np.float32),
        array_at(p[33], (n, k, NUM_FEATURES), np.float32),
        array_at(p[34], (n, h, u * lu), token.dtype),
        array_at(p[35], (n, h, u), np.float32),
        array_at(p[36], (n, f), np.float32),
        array_at(p[37], (n, f), np.int8),
        array_at(p[38], (n, NUM_PROGRESS), np.float32),
        array_at(p[39], (n, a), np.int8),
    )
    r = Result(
        array_at(p[40], (n,), OUTCOME),
        array_at(p[41], (n, s), np.float32),
        array_at(p[42], (n, s + 1), np.float32),
        array_at(p[43], (n,), np.float64),
    )
    return config, t, m, o, r
