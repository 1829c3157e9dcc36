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
    REFERENCE,
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
from reasongym.engine.pieces import MOST_TOKENS, TEXT, TOKEN, WORD
from reasongym.jit import operation

NUM_FEATURES, NUM_PROGRESS = len(FEATURES), len(PROGRESS)
NUM_SIZES = 24
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
        sizes += [len(r.found), *(len(array) for array in t)]
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
    room = p[10]
    config = array_at(p[24], (1,), CONFIG)
    t = Tables(
        array_at(p[25], (p[11],), UNIT),
        array_at(p[26], (p[12],), PROBLEM),
        array_at(p[27], (p[13],), SUPPORT),
        array_at(p[28], (p[14], lu), token.dtype),
        array_at(p[29], (p[15], lq), token.dtype),
        array_at(p[30], (c,), np.uint32),
        array_at(p[31], (p[17],), np.int64),
        array_at(p[32], (p[18],), TEXT),
        array_at(p[33], (p[19],), TOKEN),
        array_at(p[34], (p[20],), np.int32),
        array_at(p[35], (p[21],), WORD),
        array_at(p[36], (p[22],), REFERENCE),
        array_at(p[37], (p[23],), np.uint64),
    )
    m = Memory(
        array_at(p[38], (n,), STATE),
        array_at(p[39], (n, k), SLOT),
        array_at(p[40], (n, k, u), HELD),
        array_at(p[41], (n, h, u), np.int16),
    )
    o = Observation(
        array_at(p[42], (n, lq), token.dtype),
        array_at(p[43], (n, lu), token.dtype),
        array_at(p[44], (n, k, u * lu), token.dtype),
        array_at(p[45], (n, k, u), np.float32),
        array_at(p[46], (n, k, NUM_FEATURES), np.float32),
        array_at(p[47], (n, h, u * lu), token.dtype),
        array_at(p[48], (n, h, u), np.float32),
        array_at(p[49], (n, f), np.float32),
        array_at(p[50], (n, f), np.int8),
        array_at(p[51], (n, NUM_PROGRESS), np.float32),
        array_at(p[52], (n, 2), np.float32),
        array_at(p[53], (n, a), np.int8),
    )
    r = Result(
        array_at(p[54], (n,), OUTCOME),
        array_at(p[55], (n, s), np.float32),
        array_at(p[56], (n, s + 1), np.float32),
        array_at(p[57], (n,), np.float64),
        array_at(p[58], (room, MOST_TOKENS), np.uint64),
        array_at(p[59], (room, MOST_TOKENS + 1), np.int16),
        array_at(p[60], (n, u), np.int32),
    )
    return config, t, m, o, r
