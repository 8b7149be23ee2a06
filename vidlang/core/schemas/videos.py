"""What the verbs that read videos answer."""

from __future__ import annotations

from vidlang.core.schemas.parts import (
    FAILED,
    FILES,
    FOLDER,
    FRAMES,
    INFO,
    MADE_BY,
    MATCHES,
    NOTES,
    OUTCOMES,
    REASON,
    RECIPE,
    SPAN,
    VIDEO_ID,
    WINDOWS,
)
from vidlang.core.schemas.words import (
    JsonSchema,
    any_value,
    by_name,
    count,
    document,
    flag,
    many,
    number,
    or_null,
    pair,
    record,
    share,
    text,
)

VIDEOS: tuple[tuple[str, JsonSchema], ...] = (
    (
        "extract --json",
        document(
            "extract",
            "Features that were extracted.",
            recipe=RECIPE,
            fingerprint=text("Of the recipe; names its folder in the cache."),
            wall_seconds=number("How long it took."),
            images=count("Pictures that went through the encoder."),
            rows_reused=count("Rows that repeat the row before (--reuse-static)."),
            videos=OUTCOMES,
        ),
    ),
    (
        "score --json",
        document(
            "score",
            "Anomaly scores and events; the class probabilities are in scores.jsonl.",
            made_by=MADE_BY,
            threshold=number("Scores from here on make an event."),
            folder=FOLDER,
            videos=many(
                record(
                    video=VIDEO_ID,
                    duration=number("Seconds."),
                    peak=share("Highest score."),
                    seconds=many(SPAN, "Of each snippet."),
                    anomaly=many(share(), "Score of each snippet."),
                    events=many(
                        record(
                            start=number("Seconds."), end=number("Seconds."), label=text(), score=share("Its highest.")
                        )
                    ),
                )
            ),
            failed=FAILED,
        ),
    ),
    (
        "localize --json",
        document(
            "localize",
            "What happens when; all segments are in detections.jsonl.",
            made_by=MADE_BY,
            classes=many(text(), "Names of the actions."),
            folder=FOLDER,
            videos=many(
                record(
                    video=VIDEO_ID,
                    duration=number("Seconds."),
                    scores=by_name(number(), "Score of the whole video, by class."),
                    segments=many(
                        record(start=number("Seconds."), end=number("Seconds."), label=text(), score=number())
                    ),
                )
            ),
            failed=FAILED,
        ),
    ),
    (
        "retrieve --json",
        document(
            "retrieve",
            "The nearest videos to each query.",
            made_by=MADE_BY,
            folder=FOLDER,
            gallery=count("Videos that were searched."),
            false_positives=or_null(record("Share of unlike pairs above the threshold.", rate=number(), pairs=count())),
            queries=many(
                record(
                    query=text("Id of the query, or its text."),
                    hits=many(
                        record(
                            video=VIDEO_ID,
                            similarity=number("Most similar first."),
                            same_file=flag("The query itself under another name."),
                            segments=many(record(query=SPAN, video=SPAN), "Seconds that show the same."),
                        )
                    ),
                )
            ),
            rejected=count("Hits left out because somebody rejected them."),
            notes=NOTES,
            failed=many(record(query=text(), reason=REASON)),
        ),
    ),
    (
        "retrieve --all-pairs --json",
        document(
            "duplicates",
            "Videos of the cache that show the same.",
            made_by=MADE_BY,
            videos=count("Videos that were compared."),
            threshold=or_null(number("Similarity from which two videos are duplicates.")),
            false_positives=record(rate=or_null(number()), pairs=count()),
            rejected=count("Pairs left out because somebody rejected them."),
            groups=many(
                record(
                    videos=many(VIDEO_ID),
                    pairs=many(record(videos=pair(VIDEO_ID), similarity=number(), segments=MATCHES)),
                )
            ),
            notes=NOTES,
        ),
    ),
    (
        "diff --json",
        document(
            "motion",
            "Motion curves; also the file that --motion-file of score and localize reads.",
            unit=text("Of the energy."),
            made_by=MADE_BY,
            videos=many(
                record(
                    video=INFO,
                    identity=or_null(record("Content of the file.")),
                    compared_size=pair(count(), "Height and width at which frames were compared, pixels."),
                    frames=many(FRAMES),
                    seconds=many(SPAN),
                    energy=many(number(), "Mean difference from frame to frame, grey levels 0 to 255."),
                    shift=or_null(many(pair(number()), "Pixels per step, down and right (--compensate).")),
                )
            ),
            optional={"out": text("Where it was written."), "failed": FAILED},
        ),
    ),
    (
        "fame mask --json",
        document(
            "fame_mask",
            "Masks of what moves.",
            made_by=MADE_BY,
            videos=many(
                record(
                    video=VIDEO_ID,
                    size=pair(count(), "Height and width, pixels."),
                    frame_rate=number("Frames per second."),
                    duration=number("Seconds."),
                    area=share("Of the picture that moves."),
                    energy=number("Motion, grey levels."),
                    windows=WINDOWS,
                    warnings=many(text()),
                    files=FILES,
                )
            ),
            failed=FAILED,
        ),
    ),
    (
        "fame merge --json",
        document(
            "fame_merge",
            "One video over another.",
            made_by=MADE_BY,
            file=text("The video that was written."),
            background=text(),
            notes=NOTES,
            video=VIDEO_ID,
            windows=WINDOWS,
        ),
    ),
    (
        "fame cam --json",
        document(
            "fame_cam",
            "Where a network looks.",
            made_by=MADE_BY,
            video=VIDEO_ID,
            size=pair(count(), "Height and width, pixels."),
            file=text(),
            windows=WINDOWS,
            notes=NOTES,
        ),
    ),
    (
        "fame weights --json",
        document(
            "fame_weights",
            "How widely kernels spread along time.",
            arch=text(),
            checkpoints=many(text()),
            layers=many(
                record(
                    layer=text(),
                    shape=many(count()),
                    spreads=many(record(mean=number(), std=number(), change=or_null(number())), "One a checkpoint."),
                )
            ),
            plot=or_null(text("Picture that was drawn.")),
            notes=NOTES,
        ),
    ),
    ("browse --json", document("browse", "A page that is served.", url=text("With its token."), videos=count())),
    (
        "watch, one a line",
        document(
            "watch",
            "What happens in a stream. Times in seconds are the stream's, those called ..._time are ISO 8601 in UTC.",
            type=text("status, score, event_start, event_end or clip."),
            source=text(),
            optional={
                "status": text("started, connected, reconnecting, lost, dropped, skipped, no_clip, running or ended."),
                "seconds": number("Where the stream has come to."),
                "time": text("When the line was written."),
                "event": count("Number of the event."),
                "start": number("Seconds."),
                "end": number("Seconds."),
                "start_time": text(),
                "end_time": text(),
                "duration": number("Seconds."),
                "frames": any_value("Of a score: first frame and last + 1. Of a status: how many frames came."),
                "label": text(),
                "score": number("Highest of the event."),
                "anomaly": share("Score of the snippet."),
                "classes": by_name(share(), "Probability of each class."),
                "reason": text(),
                "detail": text(),
                "name": text(),
                "wait": number("Seconds until the next attempt."),
                "dropped_frames": count(),
                "dropped_snippets": count(),
                "damaged": count("Packets that did not decode."),
                "losses": count("Times that the source was lost."),
                "lag": number("Seconds behind the stream."),
                "worst_lag": number("Since the last line about it, seconds."),
                "scores": count(),
                "events": count(),
                "buffers": by_name(count()),
                "made_by": MADE_BY,
                "threshold": number("Scores from here on make an event."),
                "delay": number("Seconds that a score waits at most."),
                "context": number("Seconds that are seen behind a snippet."),
                "window": count("Snippets."),
                "class_names": many(text()),
                "path": text("Of a clip."),
            },
        ),
    ),
)
"""(where it comes from, schema)"""
