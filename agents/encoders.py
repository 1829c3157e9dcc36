"""From observations to vectors: what a policy reads before its memory core and its heads.

An encoder has two halves. `prepare` does the integer work that needs no parameters, once for a whole rollout; `forward`
holds the network. `ReaderEncoder` reads ReasonGym's observation. There are only some hundreds of distinct sentences in a bAbI
world, but 2 + 2K + 2H sentences in every observation, so `prepare` replaces token rows by indices into a table of the
distinct ones, and the sentence encoder runs on the table: per frame there is only gathering and adding left.
`FlatEncoder` reads any other space as one flat vector.

Axes: F frames, K slots, H entries of the chain, J units a slot, I = K + H items, L tokens, U distinct sentences, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from agents.frames import (
    OCCUPIED,
    RECALLS,
    Features,
    Frames,
    Observation,
    last_link,
    link_before,
    pad,
    recency,
    trim,
)
from agents.matching import NUM_SCORES, QuestionMatch
from agents.roles import LINKS, Roles

if TYPE_CHECKING:
    from agents.sentence_embeddings import SentenceEmbeddings

COSINE_SCALE = 8.0
"""Similarity of two natural sentences with the same words; it is added to a pointer's logits."""
LONG = 24
"""Sentences of more tokens than this are natural text: no weight a place and word, or the network would be all places."""

READER_KEYS = ("question", "unit", "memory", "memory_positions", "memory_features", "chain", "progress", "action_mask")


class FlatEncoder(nn.Module):
    """Everything in one vector, without parameters: any space that Gymnasium can flatten, `action_mask` left out."""

    def __init__(self, space: spaces.Space) -> None:
        super().__init__()
        parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {"observation": space}
        parts.pop("action_mask", None)
        self.parts: dict[str, spaces.Space] = parts
        self.output_size = sum(spaces.flatdim(part) for part in parts.values())

    def prepare(self, observation: Observation) -> Frames:
        """Float32 rows (F, D); a Discrete value becomes one-hot."""
        rows = []
        for key, part in self.parts.items():
            value = observation[key]
            if isinstance(part, spaces.Discrete):
                value = F.one_hot(value.long().flatten() - int(part.start), int(part.n))
            rows.append(value.flatten(1).float())
        return Frames({"flat": torch.cat(rows, 1)})

    def forward(self, frames: Frames) -> Features:
        return Features(frames.columns["flat"])


class SentenceEncoder(nn.Module):
    """A sentence as a vector that knows its word order.

    The sum over words of embedding times a learned vector of the position (the position encoding of MemN2N, Sukhbaatar
    et al. 2015, arXiv 1503.08895, learned, and begun near 1, so that sentences which share words are alike from the
    first update on), plus a two-layer network over the concatenated words; of long sentences, over their sum and maximum.

    Args:
        vocabulary_size: number of tokens, padding excluded.
        length: L.
        size: width D of words and sentences.
        hidden_size: width of the hidden layer.
    """

    def __init__(self, vocabulary_size: int, length: int, size: int, hidden_size: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary_size + 1, size, padding_idx=0)
        self.position = nn.Parameter(1 + 0.3 * torch.randn(length, size))
        self.pools = length > LONG
        self.hidden = nn.Linear(2 * size if self.pools else length * size, hidden_size)
        self.output = nn.Linear(hidden_size, size)
        self.scale = length**-0.5

    def forward(self, table: Tensor) -> Tensor:
        """(U, L) token ids -> (U, D)."""
        if self.pools:  # as far as the longest, and one column of padding, which the maximum sees
            table = table[:, : int((table > 0).any(0).sum()) + 1]
        words = self.words(table)
        mixed = (words * self.position[: table.shape[1]]).sum(1) * self.scale
        whole = torch.cat([mixed, words.amax(1)], 1) if self.pools else words.flatten(1)
        return (mixed + self.output(F.relu(self.hidden(whole)))) * (table > 0).any(1, keepdim=True)


class ReaderEncoder(nn.Module):
    """Reads a ReasonGym observation: question, desk, slots and chain.

    An item (a slot, or an entry of the chain) is the sum of its units' sentence vectors, each through a matrix of its
    place in the slot, of embeddings of how recent each unit is among those held (the temporal encoding of MemN2N:
    "the latest wins" must be learnable), of its features, and of its similarity to what is being looked for. Similarity is
    content-based addressing (Graves et al. 2014, arXiv 1410.5401) with a learned bag of words: words that question, desk or
    chain share with a slot are what a reader looks for first, and finding out that sharing words matters costs an
    untrained network most of its frames.

    Natural text has words that say nothing, and sentences of all lengths: there it is the cosine of wider bags. Their words
    can be begun as heavy as they are rare (`weigh_words`), which is TF-IDF to begin with, and learned on.

    Args:
        space: the observation space.
        size: D.
        sentence_hidden: width of the sentence encoder's hidden layer.
        content_size: width of the bag of words; None: 32, of natural text 128.
        num_roles: by which sentences are compared (`agents.roles`), for short sentences; 0: by their words alone.
        pretrained: a frozen encoder's embeddings of the sentences, added to what the words say.
    """

    def __init__(
        self,
        space: spaces.Dict,
        size: int = 64,
        sentence_hidden: int = 128,
        content_size: int | None = None,
        num_roles: int = 0,
        pretrained: SentenceEmbeddings | None = None,
    ) -> None:
        super().__init__()
        shapes = {key: part.shape or () for key, part in space.spaces.items()}
        self.unit_tokens = shapes["unit"][0]
        self.num_slots, self.chain_length = shapes["memory"][0], shapes["chain"][0]
        self.units_per_slot = shapes["chain"][1] // self.unit_tokens
        self.length = max(self.unit_tokens, shapes["question"][0])
        self.extras = [key for key in ("progress", "scores", "scored", "span_start") if key in shapes]
        self.pretrained = pretrained
        self.num_extras = sum(shapes[key][0] for key in self.extras) + (0 if pretrained is None else pretrained.num_extras)
        units = space["unit"]
        assert isinstance(units, spaces.Box)
        vocabulary_size, J = int(units.high.max()), self.units_per_slot
        self.size = size
        self.sentences = SentenceEncoder(vocabulary_size, self.length, size, sentence_hidden)
        self.natural = self.sentences.pools
        self.places = nn.ModuleList(near_identity(size) for _ in range(J))
        self.recency = nn.ModuleList(word_table(1 + self.num_slots * J, size, 0.5) for _ in range(J))
        content_size = content_size or (128 if self.natural else 32)
        self.content = word_table(vocabulary_size + 1, content_size, content_size**-0.5)
        self.match = QuestionMatch(content_size, size) if self.natural else None
        if num_roles and self.natural:
            raise ValueError(f"num_roles={num_roles} is for sentences of at most {LONG} tokens, these have {self.length}")
        self.roles = Roles(vocabulary_size, self.length, num_roles, size) if num_roles else None
        words = 6 + NUM_SCORES if self.natural else 4
        self.similarity_groups = (0,) if pretrained is None else (0, words)
        self.num_similarities = words if pretrained is None else words + pretrained.num_similarities
        self.similarity = nn.Linear(self.num_similarities, size, bias=False)
        self.before = nn.Linear(size, size, bias=False) if self.natural else None
        self.chain_place = nn.Parameter(0.5 * torch.randn(self.chain_length, size))
        self.slot_features = nn.Linear(shapes["memory_features"][1] + J, size)
        self.chain_features = nn.Linear(J, size)
        compared = size + 4 + 2 * (size + NUM_SCORES) if self.natural else 0
        if self.roles is not None:
            compared += (LINKS - 1) * size + self.roles.num_scores
        self.context = nn.Linear(3 * size + self.num_extras + compared, 2 * size)
        self.output_size = 2 * size + 3 * size
        generator = torch.Generator().manual_seed(0)
        factors = torch.randint(-(2**62), 2**62, (self.length,), generator=generator) | 1
        self.hash_factors: Tensor
        self.register_buffer("hash_factors", factors, persistent=False)

    # ---- integers only -------------------------------------------------------------------------------------------

    def prepare(self, observation: Observation) -> Frames:
        """Token rows to indices into the table of distinct sentences; what no frame uses is trimmed."""
        Lu, J = self.unit_tokens, self.units_per_slot
        question, unit = observation["question"], observation["unit"]
        occupied = observation["memory_features"][:, :, OCCUPIED] > 0  # words may be hidden: memory_view="recalled"
        memory = trim(observation["memory"].unflatten(2, (J, Lu)), occupied, spare=1)  # the first empty slot can be stored to
        chain = observation["chain"].unflatten(2, (J, Lu))
        chain = trim(chain, (chain != 0).flatten(2).any(2))
        K, H, n = memory.shape[1], chain.shape[1], len(question)
        rows = torch.cat([
            pad(question, self.length)[:, None], pad(unit, self.length)[:, None],
            pad(memory.flatten(1, 2), self.length), pad(chain.flatten(1, 2), self.length),
        ], 1)  # fmt: skip
        table, index = self._distinct(rows.flatten(0, 1))
        ids = index.view(n, -1)
        memory_ids = ids[:, 2 : 2 + K * J].view(n, K, J)
        chain_ids = ids[:, 2 + K * J :].view(n, H, J)
        positions = observation["memory_positions"][:, :K]
        mask = observation["action_mask"].bool()
        frames = Frames({
            "question": ids[:, 0], "unit": ids[:, 1], "memory": memory_ids, "chain": chain_ids,
            "recency": recency(positions), "before": self._before(memory_ids, positions),
            "slot_features": torch.cat([observation["memory_features"][:, :K], positions], 2),
            "chain_features": observation["chain_positions"][:, :H],
            "chain_size": (chain_ids > 0).any(2).sum(1),
            "present": torch.cat([occupied[:, :K], (chain_ids > 0).any(2)], 1),
            "extras": torch.cat([observation[key].float() for key in self.extras], 1),
            "action_mask": mask,
            **({"span_start": observation["span_start"].float()} if "span_start" in observation else {}),
        }, table)  # fmt: skip
        return frames if self.pretrained is None else self.pretrained.read(frames)

    def _before(self, memory_ids: Tensor, positions: Tensor) -> Tensor:
        """(F, K) the held sentence that stood last before each slot's first, 0 for none; (F, 0) where sentences stand alone."""
        if not self.natural:
            return memory_ids.new_zeros(len(memory_ids), 0)
        flat, ids = positions.flatten(1), memory_ids.flatten(1)
        earlier = (flat[:, None] < positions[:, :, :1]) & (flat > 0)[:, None]
        latest = torch.where(earlier, flat[:, None], 0.0).argmax(2)
        return ids.gather(1, latest) * earlier.any(2)

    def _distinct(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(R, L) token rows -> the distinct ones (U, L), all padding first, and each row's index (R,).

        Rows are told apart by a 63-bit linear hash with fixed random odd factors; all padding hashes to 0.
        """
        rows = torch.cat([rows.new_zeros(1, self.length), rows]).long()
        keys = (rows * self.hash_factors).sum(1) & (2**63 - 1)
        distinct, index = torch.unique(keys, return_inverse=True)
        where = torch.empty_like(distinct).scatter_(0, index, torch.arange(len(rows), device=rows.device))
        return rows[where], index[1:]

    # ---- the network ---------------------------------------------------------------------------------------------

    def forward(self, frames: Frames) -> Features:
        """Frames -> vector (F, 5D) of question, desk, last entry of the chain and progress; items (F, I, D)."""
        assert frames.table is not None
        c = frames.columns
        sentences = self.sentences(frames.table)
        if self.pretrained is not None:
            sentences = sentences + self.pretrained(frames)
        q, u = sentences[c["question"]], sentences[c["unit"]]
        units = [place(sentences) for place in self.places]
        words = self._bag(frames.table)
        similarity = self._similarity(words, c)
        if self.match is not None:
            matched, scores = self._match(frames.table, c)
            similarity = torch.cat([similarity, scores["memory"]], 2)
        if self.pretrained is not None:
            similarity = torch.cat([similarity, c["cosines"]], 2)
        slots = self.slot_features(c["slot_features"]) + self.similarity(similarity)
        if self.before is not None:
            slots = slots + self.before(sentences)[c["before"]] + matched["memory"]
        chain = self.chain_features(c["chain_features"])
        if self.match is not None:
            chain = chain + matched["chain"]
        for j in range(c["memory"].shape[2]):
            slots = slots + units[j][c["memory"][:, :, j]] + self.recency[j](c["recency"][:, :, j])
        for j in range(c["chain"].shape[2]):
            chain = chain + units[j][c["chain"][:, :, j]]
        last = last_link(c["chain"], c["chain_size"])
        focus = added_up(units, last)
        H = c["chain"].shape[1]
        if H:
            back = (c["chain_size"][:, None] - 1 - torch.arange(H, device=q.device)).clamp(min=0)
            chain = chain + self.chain_place[back]
        matches: list[Tensor] = []
        if self.natural:
            matches = [q * u * self.size**-0.5, self._overlaps(words, c)]
            matches += [matched["unit"], scores["unit"], matched["last"], scores["last"]]
        if self.roles is not None:
            added, alike = self.roles(frames.table, c)
            slots = slots + added
            earlier = [link_before(c["chain"], c["chain_size"] - step) for step in range(1, LINKS)]
            matches += [*(added_up(units, link) for link in earlier), alike]
        context = F.relu(self.context(torch.cat([q, u, focus, c["extras"], *matches], 1)))
        items = torch.cat([slots, chain], 1)
        vector = torch.cat([context, q, u, focus], 1)
        return Features(vector, items, c["present"], slots.shape[1], similarity, sentences)

    def _similarity(self, words: Tensor, c: dict[str, Tensor]) -> Tensor:
        """Bags (U, E) -> (F, K, 4) inner products of the slots' words with those of question, desk, last entry and whole chain.

        Recalled slots are left out: nothing resembles the last entry more than the slot it came from. Of natural text, where
        "it" is whatever the sentence before was about, (F, K, 6): also of the sentence before with the question, and the most
        of all sentences before.
        """
        recalled = c["slot_features"][:, :, RECALLS : RECALLS + 1] > 0
        held = words[c["memory"]].sum(2)
        last = words[last_link(c["chain"], c["chain_size"])].sum(1)
        keys = [words[c["question"]], words[c["unit"]], last, words[c["chain"]].sum((1, 2))]
        similarity = torch.bmm(held * ~recalled, torch.stack(keys, 2))
        if not self.natural:
            return similarity
        asked = words[c["question"]][:, :, None]
        before = torch.bmm(words[c["before"]], asked)
        first = c["slot_features"][:, :, -self.units_per_slot]
        earlier = (first[:, None] < first[:, :, None]) & (first > 0)[:, None]
        most = torch.where(earlier, torch.bmm(held, asked).transpose(1, 2), 0.0).amax(2, keepdim=True)
        return torch.cat([similarity, before, most], 2)

    def _match(self, table: Tensor, c: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """How desk (F, D), slots (F, K, D), chain (F, H, D) and its last entry (F, D) answer the question, and their scores."""
        assert self.match is not None
        last = last_link(c["chain"], c["chain_size"])
        (K, J), H = c["memory"].shape[1:], c["chain"].shape[1]
        ids = torch.cat([c["unit"][:, None], last, c["memory"].flatten(1), c["chain"].flatten(1)], 1)
        return tuple(
            {
                "unit": x[:, 0],
                "last": x[:, 1 : 1 + J].sum(1),
                "memory": x[:, 1 + J : 1 + J + K * J].unflatten(1, (K, J)).sum(2),
                "chain": x[:, 1 + J + K * J :].unflatten(1, (H, J)).sum(2),
            }
            for x in self.match(c["question"], ids, table, self.content.weight)
        )  # type: ignore[return-value]

    def _overlaps(self, words: Tensor, c: dict[str, Tensor]) -> Tensor:
        """Bags (U, E) -> (F, 4) similarity of the desk to question, slots and chain, and of chain and question."""
        chain = words[c["chain"]].sum((1, 2))
        keys = torch.stack([words[c["question"]], words[c["memory"]].sum((1, 2)), chain], 1)
        desk = torch.bmm(keys, words[c["unit"]][:, :, None]).squeeze(2)
        return torch.cat([desk, (chain * keys[:, 0]).sum(1, keepdim=True)], 1)

    def _bag(self, table: Tensor) -> Tensor:
        """(U, L) token ids -> (U, content size): the sum of the words' contents; of natural text at a fixed length."""
        bags = F.embedding_bag(table, self.content.weight, mode="sum", padding_idx=0)
        return F.normalize(bags, dim=1) * COSINE_SCALE**0.5 if self.natural else bags

    def weigh_words(self, rarity: np.ndarray) -> None:
        """Scales the contents of the words, before training, to `rarity` (V + 1,): TF-IDF where it is the idf."""
        with torch.no_grad():
            lengths = self.content.weight.norm(dim=1, keepdim=True).clamp(min=1e-9)
            self.content.weight.mul_(torch.as_tensor(rarity, dtype=torch.float32)[:, None] / lengths / float(rarity.max()))


def added_up(units: list[Tensor], entry: Tensor) -> Tensor:
    """The sentences by their place in an entry, J times (U, D), and an entry's (F, J) -> (F, D), its units added up."""
    return torch.stack([unit[entry[:, j]] for j, unit in enumerate(units)]).sum(0)


def near_identity(size: int) -> nn.Linear:
    """A square linear layer that begins close to doing nothing."""
    layer = nn.Linear(size, size, bias=False)
    nn.init.normal_(layer.weight, std=0.3 * size**-0.5)
    layer.weight.data += torch.eye(size)
    return layer


def word_table(size: int, width: int, std: float) -> nn.Embedding:
    """An embedding whose row 0 (padding, nothing) is and stays zero."""
    table = nn.Embedding(size, width, padding_idx=0)
    nn.init.normal_(table.weight, std=std)
    table.weight.data[0] = 0
    return table
