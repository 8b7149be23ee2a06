"""A trained video network, ready for clips: features and class logits.

Letters: N clips of a video, T frames, H and W pixels as read, D width of the features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.fame.augment import middle_clips
from vidlang.methods.fame.backbones import Backbone, build_backbone
from vidlang.methods.fame.config import AnyConfig, LinearConfig
from vidlang.nn.fit import State
from vidlang.nn.precision import Precision, arithmetic

HEADS = ("fc.", "id_head.")
"""How the names of tensors behind the pooled features begin."""


class Predictor:
    """A network in evaluation mode. It sees the middle square of every clip, as in published tests.

    Every method takes the clips of one video, uint8 RGB: [N, T, H, W, 3] as the reader gives them, or [N, 3, T, H, W].
    """

    def __init__(
        self,
        network: Backbone,
        config: AnyConfig,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
        batch_clips: int = 8,
    ) -> None:
        """network: is read as it is at each call, so one in training may be given; it is put into evaluation mode"""
        self.network, self.config = network.to(device), config
        self.device, self.precision, self.batch_clips = torch.device(device), precision, batch_clips
        self.dim = network.dim

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Tensor],
        config: AnyConfig,
        num_classes: int | None = None,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ) -> Predictor:
        """The network with these weights.

        num_classes: of a network that names actions; None gives features alone, whatever head the weights have
        precision: bfloat16 is faster where processor or GPU have it; features then differ in the third digit

        Raises:
            BadCheckpoint: the weights are not those of such a network.
        """
        head = "none" if num_classes is None else "classes"
        network = build_backbone(config.arch, head=head, num_classes=num_classes)  # type: ignore[arg-type]
        load_weights(network, state, with_head=num_classes is not None)
        return cls(network, config, device, precision)

    def features(self, clips: NDArray[np.uint8] | Tensor) -> NDArray[np.float32]:
        """Pooled features. returns: [N, D], rows of length 1

        Raises:
            BadInput: no clip.
        """
        return self._ask(clips, lambda batch: F.normalize(self.network.features(batch).float())).numpy()

    def video_feature(self, clips: NDArray[np.uint8] | Tensor) -> NDArray[np.float32]:
        """Mean of ``features`` over the clips of a video: what retrieval compares. returns: [D]"""
        return self.features(clips).mean(0)

    def logits(self, clips: NDArray[np.uint8] | Tensor) -> NDArray[np.float32]:
        """Class logits; of I3D logarithms of probabilities, as published. returns: [N, C]

        Raises:
            BadInput: no clip, or a network that knows no classes.
        """
        if self.network.head != "classes":
            raise BadInput("This network gives features and knows no classes. Fine-tune it, or train a linear probe.")
        unit = has_unit_features(self.config)
        return self._ask(clips, lambda batch: class_logits(self.network, self.network.features(batch), unit)).numpy()

    def video_logits(self, clips: NDArray[np.uint8] | Tensor) -> NDArray[np.float32]:
        """Mean of ``logits`` over the clips of a video. returns: [C]"""
        return self.logits(clips).mean(0)

    def maps(self, clips: NDArray[np.uint8] | Tensor) -> Tensor:
        """The last feature maps, for activation maps. returns: [N, D, T', H', W']"""
        return self._ask(clips, self.network.maps)

    @torch.no_grad()
    def _ask(self, clips: NDArray[np.uint8] | Tensor, what: Callable[[Tensor], Tensor]) -> Tensor:
        """``what`` of the middle squares, a batch at a time. returns: [N, …] float32 on the CPU"""
        rows = channels_first(clips)
        if not len(rows):
            raise BadInput("There is no clip to look at. Read at least one window of the video.")
        self.network.eval()
        answers = []
        for batch in rows.split(self.batch_clips):
            squares = middle_clips(batch, self.config, self.device)
            with arithmetic(self.device, self.precision):
                answers.append(what(squares).float().cpu())
        return torch.cat(answers)


def channels_first(clips: NDArray[np.uint8] | Tensor) -> Tensor:
    """[N, T, H, W, 3] → [N, 3, T, H, W], without a copy; the latter stays as it is.

    Raises:
        ValueError: neither of these.
    """
    tensor = torch.as_tensor(clips)
    if tensor.ndim == 5 and tensor.shape[4] == 3:
        return tensor.permute(0, 4, 1, 2, 3)
    if tensor.ndim == 5 and tensor.shape[1] == 3:
        return tensor
    raise ValueError(f"clips must be [N, T, H, W, 3] or [N, 3, T, H, W], got {tuple(tensor.shape)}")


def has_unit_features(config: AnyConfig) -> bool:
    """The last layer reads features of length 1."""
    return isinstance(config, LinearConfig) and config.unit_length


def class_logits(network: Backbone, features: Tensor, unit: bool) -> Tensor:
    """What the last layer makes of pooled features. features: [B, D]    returns: [B, C]"""
    return network.apply_head(F.normalize(features) if unit else features)


def load_weights(network: Backbone, state: Mapping[str, Tensor], *, with_head: bool) -> None:
    """Puts weights into a network; what else the state holds stays out.

    with_head: also into the layers behind the pooled features, which keep their own weights otherwise

    Raises:
        BadCheckpoint: weights are missing, or of another shape.
    """
    own = network.state_dict()
    wanted = [name for name in own if with_head or not name.startswith(HEADS)]
    missing = [name for name in wanted if name not in state]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadCheckpoint(f"These are not the weights of such a {network.arch}: {missing[0]}{more} missing.")
    for name in wanted:
        if state[name].shape != own[name].shape:
            raise BadCheckpoint(
                f"These are not the weights of such a {network.arch}: {name} is {tuple(state[name].shape)}, "
                f"expected {tuple(own[name].shape)}."
            )
    network.load_state_dict({**own, **{name: state[name] for name in wanted}})


def without_head(state: Mapping[str, Tensor]) -> State:
    """The weights up to the pooled features."""
    return {name: value for name, value in state.items() if not name.startswith(HEADS)}
