"""What lies in result files for other programs."""

from __future__ import annotations

from vidlang.core.schemas.parts import FRAMES, INFO, MADE_BY, MATCHES, SPAN, VIDEO_ID
from vidlang.core.schemas.words import JsonSchema, by_name, document, flag, many, number, or_null, record, share, text

FILES_WRITTEN: tuple[tuple[str, JsonSchema], ...] = (
    (
        "scores.jsonl of score",
        document(
            "scores",
            "Scores of one video a line.",
            video=INFO,
            frames=many(FRAMES, "Of each snippet."),
            seconds=many(SPAN, "Of each snippet."),
            anomaly=many(share(), "Of each snippet."),
            class_names=many(text()),
            classes=or_null(many(many(number()), "Of each snippet, one number a class.")),
            made_by=MADE_BY,
            optional={"branches": by_name(many(number()), "Other curves of the method.")},
        ),
    ),
    (
        "detections.jsonl of score and localize",
        document(
            "detections",
            "One event or segment a line.",
            video=VIDEO_ID,
            start=number("Seconds."),
            end=number("Seconds."),
            label=text(),
            score=number(),
        ),
    ),
    (
        "videos.jsonl of localize",
        document("video_scores", "Class scores of one video a line.", video=VIDEO_ID, scores=by_name(number())),
    ),
    (
        "rankings.jsonl of retrieve",
        document(
            "rankings",
            "One query a line. The first line may name the gallery instead.",
            optional={
                "query": text(),
                "hits": many(record(video=VIDEO_ID, similarity=number(), segments=MATCHES), "Most similar first."),
                "gallery": many(VIDEO_ID, "Every video that was searched."),
                "made_by": MADE_BY,
            },
        ),
    ),
    (
        "truth.json of datasets import",
        document("retrieval_truth", "Which videos belong to which query; docs of vidlang.datasets.retrieval."),
    ),
    ("log.jsonl of a training", document("train.log", "One epoch a line: numbers by name.")),
    ("run.json of a training", document("train.run", "What was asked for.", finished=flag())),
)
"""(where it comes from, schema)"""
