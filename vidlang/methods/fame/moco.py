"""MoCo: each view of a video looks for the other among a queue of views of other videos.

Letters: B clips of this process, E width of the embeddings, K places of the queue.

Source: He et al., Momentum Contrast, CVPR 2020; Ding et al., arXiv 2109.15130, section 3; the order of the two halves
follows Mark12Ding/FAME at 0600c0e.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidlang.nn.distributed import Group, current_group
from vidlang.nn.precision import full_precision


@dataclass(frozen=True, eq=False)
class MoCoStep:
    """What one batch gave: the loss to descend, and the logits behind it, for counting."""

    loss: Tensor
    """[] mean of both halves' cross entropies."""
    logits: tuple[Tensor, Tensor]
    """[B, 1 + K] each, without gradient: the own other view first, then the queue. First the half whose queries are
    the first views."""
    labels: Tensor
    """[B], all 0: where the own other view stands."""

    def accuracy(self, k: int = 1) -> float:
        """Share of clips whose own other view is among the k best, by the mean of both halves' logits.

        What is as good as the own view counts as better: a network that sees no difference has found nothing.
        """
        mean = (self.logits[0] + self.logits[1]) / 2
        not_worse = (~(mean[:, :1] > mean[:, 1:])).sum(1)
        return float((not_worse < k).float().mean())


class MoCo(nn.Module):
    """Query encoder, key encoder that follows it slowly, and a queue of keys.

    A forward pass runs two halves: first views as queries with second views as keys, then the other way round. The keys
    of the first half are in the queue when the second half looks: there each query meets the key of its own clip as a
    negative, as published. A pass writes two keys per clip.

    In many processes (torch.distributed) everyone queues the keys of all, and the key encoder sees clips shuffled over
    the processes, so that its batch norm cannot tell which clips belong together.
    """

    queue: Tensor
    """[E, K], columns of length 1."""
    queue_ptr: Tensor
    """[1] int64, the column that the next key goes to."""

    def __init__(
        self,
        make: Callable[[], nn.Module],
        *,
        queue_size: int,
        dim: int = 128,
        momentum: float = 0.999,
        temperature: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        """
        make: gives an encoder, clips to [B, E]; called twice, the key encoder then takes the first one's weights
        generator: draws the queue that training begins with; torch's own if None
        """
        super().__init__()
        self.momentum, self.temperature = momentum, temperature
        self.encoder_q, self.encoder_k = make(), make()
        self.encoder_k.load_state_dict(self.encoder_q.state_dict())
        self.encoder_k.requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(dim, queue_size, generator=generator), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.int64))

    def forward(self, im_q: Tensor, im_k: Tensor, generator: torch.Generator | None = None) -> MoCoStep:
        """im_q, im_k: [B, 3, T, H, W] two views of each clip; B the same in all processes

        generator: draws rank 0's shuffle over the processes, on the CPU; torch's own if None

        Raises:
            ValueError: the queue is not a multiple of the clips of all processes.
        """
        group = current_group()
        if self.queue.shape[1] % (len(im_q) * group.size):
            raise ValueError(
                f"the queue needs a multiple of {len(im_q) * group.size} places (clips of all processes), "
                f"it has {self.queue.shape[1]}"
            )
        self._follow()
        first = self._half(im_q, im_k, group, generator)
        second = self._half(im_k, im_q, group, generator)
        labels = torch.zeros(len(im_q), dtype=torch.int64, device=im_q.device)
        with full_precision(first):
            loss = (F.cross_entropy(first, labels) + F.cross_entropy(second, labels)) / 2
        return MoCoStep(loss, (first.detach(), second.detach()), labels)

    def __call__(self, im_q: Tensor, im_k: Tensor, generator: torch.Generator | None = None) -> MoCoStep:
        return cast(MoCoStep, super().__call__(im_q, im_k, generator))

    def _half(self, queries: Tensor, keys: Tensor, group: Group, generator: torch.Generator | None) -> Tensor:
        """Logits of one half, and its keys into the queue. returns: [B, 1 + K] float32"""
        q = self.encoder_q(queries)
        with full_precision(q):
            q = F.normalize(q.float(), dim=1)  # [B, E]
        everyones = self._keys(keys, group, generator)  # [size * B, E]
        own = everyones[group.rank * len(q) : (group.rank + 1) * len(q)]
        with full_precision(q):
            positive = (q * own).sum(1, keepdim=True)  # [B, 1]
            # a copy: the gradient needs the queue as it is here, and the keys overwrite it
            negative = q @ self.queue.clone()  # [B, K]
            logits = torch.cat([positive, negative], 1) / self.temperature
        self._enqueue(everyones)
        return logits

    @torch.no_grad()
    def _keys(self, clips: Tensor, group: Group, generator: torch.Generator | None) -> Tensor:
        """Keys of all processes' clips, by rank. returns: [size * B, E] float32, rows of length 1"""
        if group.size == 1:
            return _unit(self.encoder_k(clips))
        everyones = group.gather(clips)
        order = torch.randperm(len(everyones), generator=generator).to(clips.device)
        order = group.broadcast(order)  # place in the shuffled batch → clip
        mine = everyones[order[group.rank * len(clips) : (group.rank + 1) * len(clips)]]
        shuffled = group.gather(_unit(self.encoder_k(mine)))
        return shuffled[order.argsort()]

    @torch.no_grad()
    def _follow(self) -> None:
        """Weights of the key encoder move towards the query's; running statistics of batch norm stay its own."""
        for key, query in zip(self.encoder_k.parameters(), self.encoder_q.parameters(), strict=True):
            key.mul_(self.momentum).add_(query, alpha=1 - self.momentum)

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        places = torch.arange(len(keys), device=keys.device)
        self.queue.index_copy_(1, (self.queue_ptr + places) % self.queue.shape[1], keys.T)
        self.queue_ptr.add_(len(keys)).remainder_(self.queue.shape[1])


def _unit(embeddings: Tensor) -> Tensor:
    with full_precision(embeddings):
        return F.normalize(embeddings.float(), dim=1)
