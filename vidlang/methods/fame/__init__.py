"""FAME: video networks that learn motion without labels, by merging what moves with other backgrounds (CVPR 2022).

The mask of what moves comes from frame differences and colours alone; no network takes part in it. Contrastive learning
with such merged clips keeps a network from recognising actions by the place where they happen (arXiv 2109.15130).
"""

from vidlang.methods.base import MethodSpec

SPEC = MethodSpec(
    name="fame",
    title="FAME: a video backbone that learns motion without labels, from clips whose background is swapped",
    task="representation",
    reads="videos; for recognition also one class of each",
    paper="https://arxiv.org/abs/2109.15130",
    reference="https://github.com/Mark12Ding/FAME at 0600c0e",
    module="vidlang.methods.fame",
)
