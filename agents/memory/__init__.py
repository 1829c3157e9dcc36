"""Memory cells of the policies, by name. A new one: a file here and a line in `CORES`."""

from __future__ import annotations

from agents.memory.base import Core, State
from agents.memory.recurrent import GRUCore, LSTMCore, NoCore
from agents.memory.slots import SlotMemory

CORES = {"none": NoCore, "slots": NoCore, "gru": GRUCore, "lstm": LSTMCore}
"""Name -> class; each is built as `CORES[name](input_size, hidden_size)`. For "slots" a `SlotMemory` comes first."""

__all__ = ["CORES", "Core", "GRUCore", "LSTMCore", "NoCore", "SlotMemory", "State"]
