"""The bank of keys that anchors are told from, and the key encoder that makes them.

Source: TCA (Shao et al., WACV 2021), section 3.3; MoCo (He et al., CVPR 2020); published moco.py.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.loss import cosines_of
from vidlang.methods.tca.model import TcaEncoder
from vidlang.methods.tca.video_encoder import VideoEncoder
from vidlang.nn.distributed import Group, OneProcess
from vidlang.nn.precision import full_precision
from vidlang.nn.shared import shared

NO_GROUP = -1
"""Group of a key that every anchor may be told from."""
EMPTY = -2
"""Group of a column that holds nothing."""
KEYS_AT_ONCE = 256
"""Videos that the key encoder reads together: memory does not grow with the number of negatives."""


class Batch(NamedTuple):
    """One training step's rows. M is B * num_negatives, the negatives of the first anchor first."""

    anchors: Tensor
    """[B, T, E]"""
    anchor_lengths: Tensor
    """[B]"""
    positives: Tensor
    """[B, T, E]"""
    positive_lengths: Tensor
    """[B]"""
    negatives: Tensor
    """[M, T, E]"""
    negative_lengths: Tensor
    """[M]"""
    anchor_groups: Tensor
    """[B] int64: videos of one group show the same thing; NO_GROUP: of none."""
    negative_groups: Tensor
    """[M] int64"""

    def to(self, device: torch.device) -> Batch:
        return Batch(*(part.to(device) for part in self))


class Compared(NamedTuple):
    """What the loss reads."""

    cosines: Tensor
    """[B, 1 + K], column 0 the positive."""
    ignored: Tensor | None
    """[B, K] bool: columns that this anchor is not told from; None where that is nowhere so."""


class MemoryBank(nn.Module):
    """Query encoder, key encoder and the ring of keys; all that a training must keep is in its ``state_dict``.

    The bank is stored as published, one key per column; ``queue_groups`` says what each column shows, so that an anchor
    is never told from its own copies, however few videos there are.
    """

    queue: Tensor
    queue_ptr: Tensor
    queue_groups: Tensor

    def __init__(
        self,
        encoder: VideoEncoder,
        config: TcaConfig,
        generator: torch.Generator | None = None,
        group: Group | None = None,
    ) -> None:
        """encoder: is trained in place    generator: draws the random columns of the start

        group: processes that share the videos of a step, None: this one has all; queue and cosines are then the same in
            every process, and are those of one process with all videos
        """
        super().__init__()
        self.config, self.group = config, group or OneProcess()
        self.encoder_q = encoder
        self.encoder_k = copy.deepcopy(encoder).requires_grad_(False)
        num_columns = config.bank_columns
        columns = F.normalize(torch.randn(encoder.output_dim, num_columns, generator=generator), dim=0)
        self.register_buffer("queue", columns)  # [E, K]
        self.register_buffer("queue_ptr", torch.zeros((), dtype=torch.long))
        start = EMPTY if config.bank_start == "empty" else NO_GROUP
        self.register_buffer("queue_groups", torch.full((num_columns,), start))  # [K]

    def forward(self, batch: Batch) -> Compared:
        """Cosines of the anchors with their positives and the bank, and the batch's negatives into the bank.

        In this order: anchors through the query encoder; the key encoder moves; positives and negatives through the key
        encoder, without gradient; cosines; the new keys overwrite the oldest (bank_order before: ahead of the cosines).
        """
        queries = self._vectors(self.encoder_q, batch.anchors, batch.anchor_lengths)  # [B, E]
        with torch.no_grad():
            self.move_key_encoder()
            positives = self.keys(batch.positives, batch.positive_lengths)  # [B, E]
            negatives = self.keys(batch.negatives, batch.negative_lengths)  # [M, E]
            if self.config.bank_order == "before":
                self.enqueue(negatives, batch.negative_groups)
        with full_precision(queries):
            cosines = cosines_of(queries, positives, self.queue.T)
        compared = Compared(cosines, self._ignored(batch.anchor_groups))
        if self.config.bank_order == "after":
            self.enqueue(negatives, batch.negative_groups)
        return compared

    def keys(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Video vectors by the key encoder, in runs where no batch-norm looks at all videos at once. returns: [M, E]"""
        size = KEYS_AT_ONCE if isinstance(self.encoder_k, TcaEncoder) else len(x)
        parts = zip(x.split(size), lengths.split(size), strict=True)
        return torch.cat([self._vectors(self.encoder_k, *part) for part in parts])

    def _vectors(self, encoder: VideoEncoder, x: Tensor, lengths: Tensor) -> Tensor:
        """Video vectors of all videos, each made by one of the processes. returns: [B, E]"""
        (vectors,) = shared(lambda x, lengths: (encoder.video(x, lengths),), self.group, x, lengths)
        assert vectors is not None
        return vectors

    @torch.no_grad()
    def move_key_encoder(self) -> None:
        """key = momentum * key + (1 - momentum) * query, for the weights; with momentum 0 they become equal."""
        momentum = self.config.momentum
        for key, query in zip(self.encoder_k.parameters(), self.encoder_q.parameters(), strict=True):
            key.mul_(momentum).add_(query, alpha=1 - momentum)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, groups: Tensor) -> None:
        """The keys overwrite the columns from the pointer on. keys: [M, E], M divides the bank    groups: [M]"""
        num_columns = self.queue.shape[1]
        if num_columns % len(keys):
            raise ValueError(f"the number of keys must divide the bank's {num_columns} columns, got {len(keys)}")
        first = int(self.queue_ptr)
        self.queue[:, first : first + len(keys)] = keys.T
        self.queue_groups[first : first + len(keys)] = groups
        self.queue_ptr.fill_((first + len(keys)) % num_columns)

    def _ignored(self, anchor_groups: Tensor) -> Tensor | None:
        same = (self.queue_groups == anchor_groups[:, None]) & (anchor_groups != NO_GROUP)[:, None]  # [B, K]
        ignored = same | (self.queue_groups == EMPTY)
        return ignored if bool(ignored.any()) else None
