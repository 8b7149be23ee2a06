"""WTAL by distillation and collaboration: actions with start and end, learned from video labels (Ju et al., CVPR 2023).

Two branches judge every snippet. CBP, a classifier over pre-trained features, is sure of the background; VLP, CLIP with
learned prompts, is sure of the foreground. Each in turn teaches the other what it is sure of (arXiv 2212.09335).
"""

from vidlang.methods.base import MethodSpec

SPEC = MethodSpec(
    name="wtal",
    title="WTAL: start, end and class of actions, learned from video labels by two branches that teach each other",
    task="localization",
    reads="features [T, D] of a CLIP encoder, optionally of a second encoder, and the classes of each video",
    paper="https://arxiv.org/abs/2212.09335",
    reference="none published; written from the paper",
    module="vidlang.methods.wtal",
)
