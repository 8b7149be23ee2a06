"""The encoders that the paper compares with: NetVLAD, NeXtVLAD, LSTM and GRU, with the published names of weights.

Source: TCA (Shao et al., WACV 2021), section 4.3; published model.py.
NetVLAD: Arandjelovic et al., CVPR 2016. NeXtVLAD: Lin et al., ECCV 2018 workshops.
Differs: in training, as published, the statistics of the first batch-norm include the padding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidlang.core.errors import BadInput
from vidlang.methods.tca.video_encoder import VideoEncoder, divisors, row_weights


class _Vlad(VideoEncoder):
    """What both VLADs do with the sums over clusters: reduce them to one gated vector.

    A VLAD has no output per row: the rows that went in stand for it.
    """

    def __init__(
        self, width: int, num_clusters: int, cluster_dim: int, output_dim: int, reduction: int, dropout: float
    ) -> None:
        super().__init__(width, output_dim)
        if output_dim % reduction:
            raise BadInput(
                f"gating_reduction must divide the width of the video vector, {output_dim}; {reduction} does not. "
                f"Use {divisors(output_dim)}."
            )
        self.centroids = nn.Parameter(torch.rand(num_clusters, cluster_dim))
        self.bn2 = nn.BatchNorm1d(num_clusters * cluster_dim)
        self.fc1 = nn.Linear(num_clusters * cluster_dim, output_dim)
        self.bn3 = nn.BatchNorm1d(output_dim)
        self.fc2 = nn.Linear(output_dim, output_dim // reduction)
        self.bn4 = nn.BatchNorm1d(output_dim // reduction)
        self.fc3 = nn.Linear(output_dim // reduction, output_dim)
        self.dropout = nn.Dropout(dropout)

    def residuals(self, x: Tensor, weights: Tensor) -> Tensor:
        """Per cluster the normalised sum of what assigned rows differ from its centre by.

        x: [B, T, E], padding zero    weights: [B, T]    returns: [B, K, cluster_dim]
        """
        raise NotImplementedError

    def forward(self, x: Tensor, lengths: Tensor, weights: Tensor | None = None) -> Tensor:
        return _without_padding(x, lengths)

    def both(self, x: Tensor, lengths: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = _without_padding(x, lengths)
        flat = self.residuals(x, row_weights(lengths, x.shape[1], weights)).flatten(1)  # [B, K * cluster_dim]
        y = self.bn3(self.fc1(self.dropout(self.bn2(flat))))  # [B, output_dim]
        gate = self.fc3(F.relu(self.bn4(self.fc2(y)))).sigmoid()
        return F.normalize((y * gate).float(), dim=-1), F.normalize(x.float(), dim=-1)

    def _sums(self, x: Tensor, assignment: Tensor) -> Tensor:
        """x: [B, C, N]    assignment: [B, K, N]    returns: [B, K, C], each cluster of length 1"""
        differences = assignment @ x.transpose(1, 2) - self.centroids * assignment.sum(2, keepdim=True)
        return F.normalize(differences, dim=2)


class NetVlad(_Vlad):
    """Soft assignment of rows to clusters, sums of differences, one gated linear map."""

    def __init__(
        self, width: int, num_clusters: int = 256, output_dim: int = 1024, reduction: int = 8, dropout: float = 0.5
    ) -> None:
        super().__init__(width, num_clusters, width, output_dim, reduction, dropout)
        self.bn1 = nn.BatchNorm1d(width)
        self.conv = nn.Conv1d(width, num_clusters, 1)
        with torch.no_grad():  # nearness to the centres at the start, with the norm where the square would be exact
            self.conv.weight.copy_(2 * self.centroids[..., None])
            assert self.conv.bias is not None
            self.conv.bias.copy_(-self.centroids.norm(dim=1))

    def residuals(self, x: Tensor, weights: Tensor) -> Tensor:
        x = F.normalize(self.bn1(x.transpose(1, 2)), dim=1)  # [B, C, T]
        assignment = self.conv(x).softmax(1) * weights[:, None]  # [B, K, T]
        return self._sums(x, assignment)


class NextVlad(_Vlad):
    """NetVLAD over groups of widened rows, each group with an attention of its own."""

    def __init__(
        self,
        width: int,
        num_clusters: int = 64,
        output_dim: int = 1024,
        reduction: int = 8,
        dropout: float = 0.5,
        *,
        groups: int = 8,
        expansion: int = 2,
    ) -> None:
        wide = expansion * width
        if wide % groups:
            raise BadInput(
                f"vlad_groups must divide the widened rows, {wide}; {groups} does not. Use {divisors(wide)}."
            )
        super().__init__(width, num_clusters, wide // groups, output_dim, reduction, dropout)
        self.conv1 = nn.Conv1d(width, wide, 1)
        self.conv2 = nn.Conv1d(wide, groups, 1)
        self.conv3 = nn.Conv1d(wide, num_clusters * groups, 1, bias=False)
        self.bn1 = nn.BatchNorm1d(num_clusters * groups)

    def residuals(self, x: Tensor, weights: Tensor) -> Tensor:
        num_clusters, cluster_dim = self.centroids.shape
        x = self.conv1(F.normalize(x.transpose(1, 2), dim=1))  # [B, 2C, T]
        attention = (self.conv2(x).sigmoid() * weights[:, None]).flatten(1)  # [B, G * T]
        activation = self.bn1(self.conv3(x)).reshape(len(x), num_clusters, -1)  # [B, K, G * T]
        assignment = activation.softmax(1) * attention[:, None]
        return self._sums(x.reshape(len(x), cluster_dim, -1), assignment)


class _Recurrent(VideoEncoder):
    """A recurrent network over the rows. Padding lies behind the real rows, so what comes of it is only cut away.

    Weights enter the mean over the rows; the network itself reads every row.
    """

    def __init__(self, width: int, output_dim: int) -> None:
        super().__init__(width, output_dim)
        self.bn1 = nn.BatchNorm1d(width)

    def run(self, x: Tensor) -> Tensor:
        """x: [B, T, E]    returns: [B, T, output_dim]"""
        raise NotImplementedError

    def forward(self, x: Tensor, lengths: Tensor, weights: Tensor | None = None) -> Tensor:
        x = self.bn1(_without_padding(x, lengths).transpose(1, 2)).transpose(1, 2)
        return _without_padding(self.run(x), lengths)


class Lstm(_Recurrent):
    """Long short-term memory, one direction."""

    def __init__(self, width: int, output_dim: int = 1024, num_layers: int = 2, dropout: float = 0.2) -> None:
        super().__init__(width, output_dim)
        dropout = dropout if num_layers > 1 else 0.0
        self.LSTM = nn.LSTM(width, output_dim, num_layers, batch_first=True, dropout=dropout)

    def run(self, x: Tensor) -> Tensor:
        return self.LSTM(x)[0]


class Gru(_Recurrent):
    """Gated recurrent units, one direction."""

    def __init__(self, width: int, output_dim: int = 1024, num_layers: int = 2, dropout: float = 0.2) -> None:
        super().__init__(width, output_dim)
        dropout = dropout if num_layers > 1 else 0.0
        self.GRU = nn.GRU(width, output_dim, num_layers, batch_first=True, dropout=dropout)

    def run(self, x: Tensor) -> Tensor:
        return self.GRU(x)[0]


def _without_padding(x: Tensor, lengths: Tensor) -> Tensor:
    padding = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]  # [B, T]
    return x.masked_fill(padding[..., None], 0)
