"""Language models as agents: M(X) = f(X, WM_t). `LLMAgent` plays, `agents.llm_ppo` trains with credit for each step."""

from agents.llm.agent import LLMAgent
from agents.llm.chat import Prompter, WindowError
from agents.llm.models import LocalModel, Said, ServedModel
from agents.llm.sampling import Reply, Sampling, generate

__all__ = ["LLMAgent", "LocalModel", "Prompter", "Reply", "Said", "Sampling", "ServedModel", "WindowError", "generate"]
