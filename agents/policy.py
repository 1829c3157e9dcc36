"""The actor and the critic of MemoryPPO: encoder, memory core, attention over slots and chain, pointer heads.

    observation -> (slots) -> encoder -> core (over time) -> hops of attention over the items -> pointers, answers, value

The action mask is read from the observation (`action_mask`; without one every action is legal).

Axes: T time, B batch (environments), F = T * B frames, A = 1 + 3K + C actions, D width.
"""

from __future__ import annotations

from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.bodies import MlpBody, ReaderBody
from agents.distributions import masked_log_probs, sample
from agents.encoders import READER_KEYS, FlatEncoder, ReaderEncoder
from agents.frames import Frames, Observation, as_tensors
from agents.frozen_encoder import load_encoder
from agents.gates import GatingNetwork
from agents.heads import ChoiceHead, FlatHead, PointerHead, padded
from agents.memory import CORES, SlotMemory, State
from agents.sentence_embeddings import SentenceEmbeddings, check_vocabulary
from agents.spans import SpanHead
from reasongym.errors import unknown

HEADS = ("flat", "hierarchical")
"""How the probabilities of actions are made from what is known; see `MemoryPolicy`."""


class Step(NamedTuple):
    """What the network says about one step of B environments.

    Attributes:
        observation: what it read: the environment's, with what the policy remembers filled in.
        log_probs: (B, A).
        values: (B,).
        state: what the next step is to be given.
    """

    observation: Observation
    log_probs: Tensor
    values: Tensor
    state: State


class MemoryPolicy(BasePolicy):
    """Actor and critic with a memory core, for discrete actions.

    Args:
        observation_space, action_space: of the environment. The reader's network needs ReasonGym's keys.
        lr_schedule: called with 1.0 for the optimiser's first learning rate.
        core: "none", "slots", "gru", "lstm", "dnc" or "rmc"; see `agents.memory.CORES`.
        core_size: H.
        core_kwargs: further sizes of the core, e.g. `dict(memory_size=32)` of a DNC; `dict(compile=True)`.
        separate_critic: a critic with its own core and body; otherwise both heads sit on one body. It costs a third more
            a frame and pays: two-supporting-facts to 88% after 1.5 M frames with it, after 2.9 M without.
        encoder: "reader", "flat", or "auto" (reader where the keys are there).
        size: D, width of sentences, items and the reader's body.
        num_hops, num_heads: the reader's attention.
        num_roles: by which the reader compares sentences (`agents.roles`); 0: by their words alone. Six cost a third of the
            frames a second, and generalise from name to name where a network over words learns by heart.
        head: "flat", one softmax over all actions; or "hierarchical", first the kind of action by a gating network, then
            slot or answer (`agents.gates`), for the reader.
        net_arch: layers of the flat body, tanh between.
        choice_tokens: token ids of each choice's words, so that answers share what is learned about words; MemoryPPO
            asks the environment for them.
        sentence_encoder: a frozen sentence-transformers model whose embeddings the reader adds to its own (the folder, or the
            name of an installed package that carries one), for environments with its tokenizer; see
            `agents.sentence_embeddings`.
        optimizer_kwargs: for AdamW (by default without weight decay, and fused, which takes a fifth of the time).
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        core: str = "gru",
        core_size: int = 128,
        core_kwargs: dict[str, Any] | None = None,
        separate_critic: bool = True,
        encoder: str = "auto",
        size: int = 64,
        body_size: int = 96,
        num_hops: int = 2,
        num_heads: int = 2,
        num_roles: int = 0,
        head: str = "flat",
        net_arch: tuple[int, ...] = (64, 64),
        choice_tokens: list[list[int]] | None = None,
        sentence_encoder: str | PathLike[str] | None = None,
        optimizer_kwargs: dict[str, Any] | None = None,
        use_sde: bool = False,
    ) -> None:
        super().__init__(observation_space, action_space)
        if core not in CORES:
            raise unknown("core", core, CORES)
        if encoder not in ("auto", "reader", "flat"):
            raise unknown("encoder", encoder, ("auto", "reader", "flat"))
        if head not in HEADS:
            raise unknown("head", head, HEADS)
        keys = set(observation_space.spaces) if isinstance(observation_space, spaces.Dict) else set()
        missing = [key for key in READER_KEYS if key not in keys]
        if encoder == "reader" and missing:
            raise ValueError(f"encoder='reader' needs a Dict observation with {READER_KEYS}, missing: {missing}")
        self.reads = encoder == "reader" or (encoder == "auto" and not missing)
        if head == "hierarchical" and not self.reads:
            raise ValueError(f"head='hierarchical' needs encoder='reader' on a Dict observation with {READER_KEYS}")
        if isinstance(num_roles, bool) or not isinstance(num_roles, int) or num_roles < 0:
            raise ValueError(f"num_roles must be a whole number of at least 0, got {num_roles!r}")
        if num_roles and not self.reads:
            raise ValueError(f"num_roles={num_roles} needs encoder='reader' on a Dict observation with {READER_KEYS}")
        self.masked = "action_mask" in keys
        self.points = False  # answers are spans
        assert isinstance(action_space, spaces.Discrete)
        num_actions = int(action_space.n)
        self.slots = SlotMemory(observation_space) if core == "slots" else None
        self.encoder: ReaderEncoder | FlatEncoder
        if self.reads:
            assert isinstance(observation_space, spaces.Dict)
            self.encoder = ReaderEncoder(
                observation_space, size, num_roles=num_roles, pretrained=self._pretrained(sentence_encoder, size)
            )
        elif sentence_encoder is not None:
            raise ValueError(f"sentence_encoder={str(sentence_encoder)!r} needs ReasonGym's observation and encoder='reader'")
        else:
            self.encoder = FlatEncoder(observation_space)
        make, sizes = CORES[core], (self.encoder.output_size, core_size)
        made = [make(*sizes, **(core_kwargs or {})) for _ in range(2 if separate_critic else 1)]
        self.cores = nn.ModuleList(made)
        self.recurrent = bool(made[0].recurrent)
        # Frames of one episode share their sentences: taken together, there are fewer to encode, which is most of the work
        # where sentences are long.
        self.by_columns = self.recurrent or (isinstance(self.encoder, ReaderEncoder) and self.encoder.natural)
        core_output: Any = made[0].output_size
        if self.reads and self.recurrent:
            core_output += self.encoder.output_size
        bodies = [
            ReaderBody(core_output, size, body_size, num_hops, num_heads)
            if self.reads
            else MlpBody(core_output, tuple(net_arch))
            for _ in made
        ]
        self.bodies = nn.ModuleList(bodies)
        width = bodies[0].output_size
        self.actor: nn.Module
        if isinstance(self.encoder, ReaderEncoder):
            K, S = self.encoder.num_slots, self.encoder.num_similarities
            choices = self._choices(width, num_actions, choice_tokens)
            gate = GatingNetwork(width, size, K, S, self.encoder.num_extras) if head == "hierarchical" else None
            self.actor = PointerHead(width, size, K, S, choices, gate, self.encoder.similarity_groups)
        else:
            self.actor = FlatHead(width, num_actions, gain=0.01)
        self.critic = FlatHead(width, 1, gain=0.05)
        self.optimizer_kwargs = {"eps": 1e-5, "weight_decay": 0.0, "fused": True, **(optimizer_kwargs or {})}
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _pretrained(self, sentence_encoder: str | PathLike[str] | None, size: int) -> SentenceEmbeddings | None:
        """The sentence encoder's part of the reader, if there is one."""
        if sentence_encoder is None:
            return None
        assert isinstance(self.observation_space, spaces.Dict)
        units = self.observation_space["unit"]
        assert isinstance(units, spaces.Box)
        encoder = load_encoder(str(sentence_encoder))
        check_vocabulary(encoder, int(units.high.max()))
        return SentenceEmbeddings(encoder, size)

    def _choices(self, width: int, num_actions: int, choice_tokens: list[list[int]] | None) -> ChoiceHead | SpanHead:
        """The head of the answers: spans where the observation says what has been pointed at."""
        assert isinstance(self.encoder, ReaderEncoder)
        assert isinstance(self.observation_space, spaces.Dict)
        if "span_start" in self.observation_space.spaces:
            self.points = True
            return SpanHead(width, self.encoder.size, self.encoder.unit_tokens, self.encoder.units_per_slot)
        tokens = None if choice_tokens is None else padded(choice_tokens)
        return ChoiceHead(width, self.encoder.size, num_actions - 1 - 3 * self.encoder.num_slots, tokens)

    # ---- the network on frames -----------------------------------------------------------------------------------

    def initial_state(self, batch_size: int) -> State:
        """The state of episodes that begin: the tensors of the slots, of the actor's core, then those of the critic's."""
        cores: Any = self.cores
        slots = () if self.slots is None else self.slots.initial_state(batch_size, self.device)
        return slots + tuple(tensor for core in cores for tensor in core.initial_state(batch_size))

    def prepare(self, observation: Observation) -> Frames:
        """What of an observation needs no parameters; see `agents.encoders`."""
        frames = self.encoder.prepare(observation)
        if self.masked:
            frames.columns["action_mask"] = observation["action_mask"].bool()
        return frames

    def evaluate(self, frames: Frames, state: State, reset: Tensor, final_state: bool = False) -> tuple[Tensor, Tensor, State]:
        """Run the network over T * B frames, time first.

        Args:
            frames: T * B prepared frames, of observations with what the slots remember filled in.
            state: the cores' state before step 0 (without the slots').
            reset: (T, B) bool, where episodes begin.
            final_state: whether the state after the last step is wanted.

        Returns:
            log-probabilities (F, A), values (F,), state.
        """
        features = self.encoder(frames)
        T, B = reset.shape
        sequence = features.vector.view(T, B, -1)
        hidden, after = [], ()
        per_core = len(state) // len(self.cores)
        for i, (core, body) in enumerate(zip(self.cores, self.bodies, strict=True)):
            y, new = core(sequence, state[i * per_core : (i + 1) * per_core], reset, final_state)
            y = y.reshape(T * B, -1)
            if self.reads and self.recurrent:
                y = torch.cat([features.vector, y], 1)
            hidden.append(body(y, features))
            after += new
        if isinstance(self.encoder, ReaderEncoder):
            logits = self.actor(hidden[0], features, frames, self.encoder.sentences.words)
        else:
            logits = self.actor(hidden[0], features)
        values = self.critic(hidden[-1], features).squeeze(1)
        return masked_log_probs(logits, frames.columns.get("action_mask")), values, after

    # ---- acting --------------------------------------------------------------------------------------------------

    def forward(self, observation: Observation, state: State, reset: Tensor) -> Step:
        """One step of B environments.

        Args:
            observation: as the environment gives it.
            state: what the last step returned, or `initial_state`.
            reset: (B,) bool, where episodes begin.
        """
        count = 0 if self.slots is None else self.slots.num_tensors
        remembered, state = state[:count], state[count:]
        if self.slots is not None:
            observation, remembered = self.slots.remember(observation, remembered, reset)
        log_probs, values, state = self.evaluate(self.prepare(observation), state, reset[None], final_state=True)
        return Step(observation, log_probs, values, remembered + state)

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        raise NotImplementedError("MemoryPolicy carries a state: call predict(observation, state, episode_start)")

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Actions for one observation or a batch of them, and the cores' next state, as NumPy arrays.

        Args:
            observation: as the environment gives it.
            state: what the last call returned; None when episodes begin.
            episode_start: (B,) bool, which episodes begin with this observation: their state is cleared.
            deterministic: the most probable action instead of a sample.
        """
        self.set_training_mode(False)
        one = not self.is_vectorized_observation(observation)
        if one:
            observation = (
                {k: np.asarray(v)[None] for k, v in observation.items()}
                if isinstance(observation, dict)
                else np.asarray(observation)[None]
            )
        tensors = as_tensors(observation, self.device)
        n = len(next(iter(tensors.values())))
        before = self.initial_state(n) if state is None else tuple(torch.as_tensor(s, device=self.device) for s in state)
        reset = torch.zeros(n, dtype=torch.bool, device=self.device)
        if episode_start is not None:
            reset |= torch.as_tensor(np.asarray(episode_start, dtype=bool), device=self.device)
        with torch.no_grad():
            step = self(tensors, before, reset)
            actions = (step.log_probs.argmax(1) if deterministic else sample(step.log_probs)).cpu().numpy()
        return (actions[0] if one else actions), tuple(s.cpu().numpy() for s in step.state)
