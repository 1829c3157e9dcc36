"""Pretrained sentence embeddings for the reader: a learned projection of a frozen encoder's vectors, and their cosines.

The environment is made with the encoder's tokenizer (`tokenizer=tokenizer_of(name)`), so that its observations carry the
encoder's ids; each distinct row is embedded once (`agents.frozen_encoder`). The network adds a projection of the embedding
to its own sentence vector, and sees cosines: of slots and desk with question, chain and one another.

Axes: U distinct sentences (row 0 all padding), E width of an embedding, F frames, K slots, J units a slot, H entries of the
chain, D width of the reader.
"""

from __future__ import annotations

from os import PathLike

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.frames import RECALLS, Frames, last_link
from agents.frozen_encoder import FrozenEncoder
from reasongym.prm.sentence_model import read_recipe

SHARPNESS = 4.0
"""What cosines are multiplied by: between near and far there are some 0.5, and words shared count 1 each."""
FRAMES_AT_ONCE = 512


def tokenizer_of(name: str | PathLike[str]) -> str:
    """What `tokenizer=` of the environment is to be, for a policy with `sentence_encoder=name`."""
    return str(read_recipe(name).tokenizer)


def check_vocabulary(encoder: FrozenEncoder, size: int, vocabulary: tuple[str, ...] | None = None) -> None:
    """
    Args:
        size: entries of the environment's vocabulary.
        vocabulary: these, where they are known.

    Raises:
        ValueError: the environment's tokens are another tokenizer's.
    """
    own = len(encoder.vocabulary)
    if size == own and vocabulary in (None, encoder.vocabulary):
        return
    what = f"as many entries ({own:,}) as the encoder's, but others"
    if size != own:
        what = f"{size:,} entries, the encoder's {own:,}"
    raise ValueError(
        f"the environment's tokens are not those of sentence_encoder={encoder.name!r}: its vocabulary has {what}; make the "
        f"environment (of natural text) with tokenizer={str(encoder.recipe.tokenizer)!r}"
    )


class SentenceEmbeddings(nn.Module):
    """What a reader makes of a frozen encoder: the learned projection, and cosines.

    Saved with the network is the encoder's digest, not the encoder.

    Args:
        encoder: the pretrained model.
        size: D.
    """

    num_similarities, num_extras = 4, 4
    """Cosines of a slot, and of the frame."""

    def __init__(self, encoder: FrozenEncoder, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Linear(encoder.width, size, bias=False)
        nn.init.normal_(self.projection.weight, std=0.5)

    def read(self, frames: Frames) -> Frames:
        """Prepared frames with the embeddings of their sentences, and cosines: `cosines`, and more columns in `extras`."""
        assert frames.table is not None
        made = self.encoder.embed(frames.table.cpu().numpy(), frames.table.device)
        vectors = F.normalize(torch.as_tensor(made, device=frames.table.device).float(), dim=1)
        slots, rest = cosines(vectors, frames.columns)
        extras = torch.cat([frames.columns["extras"], SHARPNESS * rest], 1)
        return Frames({**frames.columns, "extras": extras, "cosines": SHARPNESS * slots}, frames.table, vectors)

    def forward(self, frames: Frames) -> Tensor:
        """(U, D) what is added to the sentences' vectors."""
        return self.projection(frames.vectors)

    def get_extra_state(self) -> Tensor:
        return torch.tensor(list(bytes.fromhex(self.encoder.digest)), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        if not torch.equal(state.cpu(), self.get_extra_state()):
            raise ValueError(
                f"the network was trained with another sentence encoder (hash of its files: {bytes(state.tolist()).hex()}) "
                f"than {self.encoder.name!r} ({self.encoder.digest})"
            )


def cosines(vectors: Tensor, c: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """How alike sentences are: the largest cosine of any two units of what is compared, 0 where there are none.

    Args:
        vectors: (U, E) of length 1, or 0.
        c: columns of prepared frames.

    Returns:
        (F, K, 4) slots with the question, the desk, the last entry of the chain, and all of it; 0 for slots that were recalled
        already. (F, 4) the desk with the question, all slots, and the chain, and the chain with the question.
    """
    slots, rest = [], []
    last = last_link(c["chain"], c["chain_size"])
    kept = c["slot_features"][:, :, RECALLS] <= 0
    n, K, J = c["memory"].shape
    for part in torch.arange(n, device=vectors.device).split(FRAMES_AT_ONCE):
        desk = vectors[c["unit"][part]][:, :, None]
        held = vectors[c["memory"][part].flatten(1)]
        chain = torch.cat([last[part], c["chain"][part].flatten(1)], 1)
        keys = torch.cat([vectors[c["question"][part]][:, None], desk.transpose(1, 2), vectors[chain]], 1)
        found = torch.bmm(held, keys.transpose(1, 2)).view(len(part), K, J, keys.shape[1]).amax(2)
        groups = [found[:, :, 0], found[:, :, 1], found[:, :, 2 : 2 + J].amax(2), found[:, :, 2:].amax(2)]
        slots.append(torch.stack(groups, 2) * kept[part, :, None])
        asked = keys[:, :1].transpose(1, 2)
        pairs = ((keys[:, :1], desk), (F.pad(held, (0, 0, 0, 1)), desk), (keys[:, 2:], desk), (keys[:, 2:], asked))
        rest.append(torch.cat([torch.bmm(group, key).amax(1) for group, key in pairs], 1))
    return torch.cat(slots), torch.cat(rest)
