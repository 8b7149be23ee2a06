"""TCA: video retrieval by temporal context aggregation (Shao et al., WACV 2021, arXiv 2008.01334).

A transformer encoder layer lets the frame rows of a video see each other. Its outputs are compared row by row, or
averaged to one vector per video. It learns from pairs of videos that show the same thing, against a bank of others.
"""

from vidlang.methods.base import MethodSpec

SPEC = MethodSpec(
    name="tca",
    title="TCA: nearest videos and matching seconds from frame features in context",
    task="retrieval",
    reads="features [T, D] and pairs of videos that show the same thing (made by editing where there are none)",
    paper="https://arxiv.org/abs/2008.01334",
    reference="https://github.com/xwen99/temporal_context_aggregation",
    module="vidlang.methods.tca",
)
