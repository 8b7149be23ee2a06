"""Both branches as one module, so that one file holds them and one optimizer moves them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vidlang.core.errors import BadCheckpoint
from vidlang.methods.wtal.cbp import Cbp
from vidlang.methods.wtal.config import WtalConfig
from vidlang.methods.wtal.vlp import Vlp
from vidlang.nn.seed import seeded
from vidlang.nn.text import TextEncoder

PSEUDO_LABELS = "pseudo_labels"
"""Name under which the model part of a training state holds H of all videos, [all snippets, C]; no weight."""


class Wtal(nn.Module):
    """CBP and VLP. Names of weights are ``cbp.…`` and ``vlp.…``."""

    def __init__(
        self, config: WtalConfig, dim: int, text_width: int, input_width: int, num_classes: int, clip_scale: float
    ) -> None:
        """dim: D of CLIP's rows    text_width: E of its text tower    input_width: of CBP's rows

        Raises:
            ValueError: a width cannot be split into its heads.
        """
        super().__init__()
        self.config, self.dim, self.input_width, self.num_classes = config, dim, input_width, num_classes
        self.cbp = Cbp(config, input_width, num_classes)
        self.vlp = Vlp(config, dim, text_width, clip_scale)


def new_model(
    config: WtalConfig, text: TextEncoder, input_width: int, num_classes: int, clip_scale: float = 100.0
) -> Wtal:
    """An untrained model for rows of the text tower's space, from the config's seed."""
    with seeded(config.seed):
        return Wtal(config, text.dim, text.width, input_width, num_classes, clip_scale)


def load_model(state: Mapping[str, Tensor], config: WtalConfig, text: TextEncoder, num_classes: int) -> Wtal:
    """A model with these weights, in evaluation mode. The model part of a training state does as well.

    Raises:
        BadCheckpoint: names or shapes of weights do not fit the config, the classes or the text tower.
    """
    state = {name: value for name, value in state.items() if name != PSEUDO_LABELS}
    mean = state.get("cbp.standardise.mean")
    if mean is None or mean.ndim != 1:
        raise BadCheckpoint("The weights are not of a WTAL model: cbp.standardise.mean is missing.")
    model = new_model(config, text, len(mean), num_classes)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in state.items()}
    wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    if wrong:
        name = wrong[0]
        raise BadCheckpoint(
            f"The weights do not fit this model, its {num_classes} classes or text encoder: {name} is "
            f"{got.get(name, 'missing')}, expected {expected.get(name, 'nothing of that name')} ({len(wrong)} such)."
        )
    model.load_state_dict(state)
    return model.eval()
