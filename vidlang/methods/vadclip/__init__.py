"""VadCLIP: weakly supervised video anomaly detection with a frozen CLIP (Wu et al., AAAI 2024, arXiv 2308.11681).

Two branches read a video's CLIP features: the C-branch says how anomalous each snippet is, the A-branch says to which
class text each snippet is nearest. Both learn from video labels alone.
"""

from vidlang.methods.base import MethodSpec

SPEC = MethodSpec(
    name="vadclip",
    title="VadCLIP: anomaly scores and classes per snippet from video labels",
    task="anomaly",
    reads="features [T, D] of a CLIP encoder and the classes of each video",
    paper="https://arxiv.org/abs/2308.11681",
    reference="https://github.com/nwpu-zxr/VadCLIP at f643c91",
    module="vidlang.methods.vadclip",
)
