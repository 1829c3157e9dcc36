"""Memory cells of the policies, by name. A new one: a file here and a line in `CORES`."""

from __future__ import annotations

from agents.memory.base import Core, State
from agents.memory.dnc import DNCCore
from agents.memory.recurrent import GRUCore, LSTMCore, NoCore
from agents.memory.rmc import RMCCore
from agents.memory.slots import SlotMemory

CORES = {"none": NoCore, "slots": NoCore, "gru": GRUCore, "lstm": LSTMCore, "dnc": DNCCore, "rmc": RMCCore}
"""Name -> class; each is built as `CORES[name](input_size, hidden_size)`. For "slots" a `SlotMemory` comes first."""

__all__ = ["CORES", "Core", "DNCCore", "GRUCore", "LSTMCore", "NoCore", "RMCCore", "SlotMemory", "State"]
