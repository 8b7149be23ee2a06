"""A trained video network, ready for clips: features and class logits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.methods.fame.config import AnyConfig
from vidlang.nn.precision import Precision


class Predictor:
    """A network in evaluation mode. Clips of a video are uint8 [N, T, H, W, 3], as the reader gives them."""

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Tensor],
        config: AnyConfig,
        num_classes: int | None = None,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ) -> Predictor:
        """num_classes: of a network that names actions; None: features only"""
        raise NotImplementedError

    def features(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[N, dim], rows of length 1"""
        raise NotImplementedError

    def video_feature(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[dim] mean of ``features`` over the clips of one video"""
        raise NotImplementedError

    def logits(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[N, C]"""
        raise NotImplementedError

    def video_logits(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[C] mean of ``logits`` over the clips of one video"""
        raise NotImplementedError

    def maps(self, clips: NDArray[np.uint8]) -> Tensor:
        """[N, C, T', H', W'] last feature maps, for activation maps"""
        raise NotImplementedError
