"""Memory cells of the policies, by name. A new one: a file here and a line in `CORES`."""

from __future__ import annotations

from agents.memory.base import Core, State
from agents.memory.recurrent import GRUCore, LSTMCore, NoCore

CORES = {"none": NoCore, "gru": GRUCore, "lstm": LSTMCore}
"""Name -> class; each is built as `CORES[name](input_size, hidden_size)`."""

__all__ = ["CORES", "Core", "GRUCore", "LSTMCore", "NoCore", "State"]
