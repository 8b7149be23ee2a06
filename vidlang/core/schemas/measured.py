"""What trainings and measurements answer."""

from __future__ import annotations

from vidlang.core.schemas.parts import FAILED, MADE_BY, NOTES, OUTCOMES, RECIPE, TABLE
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
    record,
    text,
    word,
)

MEASURED: tuple[tuple[str, JsonSchema], ...] = (
    (
        "train vadclip --json",
        document(
            "train",
            "A trained VadCLIP.",
            checkpoint=text("Its name in the registry."),
            folder=text("Of the run."),
            measured_on=text(),
            metrics=many(by_name(or_null(number())), "One object a seed."),
            notes=NOTES,
        ),
    ),
    (
        "train tca --json",
        document(
            "train_tca",
            "A trained TCA.",
            checkpoint=text(),
            folder=text("Of the run."),
            measured_on=text(),
            before=by_name(or_null(number()), "Metrics of plain features."),
            after=by_name(or_null(number()), "Metrics of the checkpoint."),
            notes=NOTES,
        ),
    ),
    (
        "train wtal --json",
        document(
            "train_wtal",
            "A trained WTAL.",
            checkpoint=text(),
            folder=text("Of the run."),
            measured_on=text(),
            table=TABLE,
            pseudo_labels=TABLE,
            notes=NOTES,
        ),
    ),
    (
        "train fame --json",
        document(
            "train_fame",
            "A trained video network.",
            kind=text(),
            checkpoint=text(),
            folder=text("Of the run."),
            table=TABLE,
            summary=many(text()),
            notes=NOTES,
        ),
    ),
    (
        "vidlang.workflows.copies, in Python",
        document(
            "copies",
            "Edited copies of videos.",
            recipe=RECIPE,
            fingerprint=text(),
            wall_seconds=number(),
            made=count(),
            already_there=count(),
            videos=OUTCOMES,
        ),
    ),
    (
        "eval anomaly --json",
        document(
            "eval.anomaly",
            "Metrics of scores.",
            videos=count(),
            source=text("The file of results."),
            metrics=by_name(by_name(or_null(number())), "By branch, then by name."),
            undefined=any_value("What could not be measured, and why."),
            notes=NOTES,
        ),
    ),
    (
        "eval localization --json",
        document(
            "eval_localization",
            "Metrics of segments.",
            protocol=text(),
            ap=text("How the area below precision over recall is taken."),
            source=text("The file of results."),
            truth=text(),
            split=or_null(text()),
            videos=count(),
            instances=count("True segments."),
            tiou=many(number(), "Temporal overlaps from which a segment counts."),
            mAP=by_name(or_null(number()), "By overlap."),
            average=or_null(number("Mean over the overlaps.")),
            per_class=by_name(
                record(instances=count(), predictions=count(), ap=by_name(or_null(number()), "By overlap."))
            ),
            notes=NOTES,
        ),
    ),
    (
        "eval retrieval --json",
        document(
            "eval_retrieval",
            "Metrics of rankings.",
            dataset=text(),
            labels=text("Edition of the labels."),
            mode=text(),
            source=text("The file of results."),
            made_by=MADE_BY,
            queries=count(),
            gallery=or_null(count()),
            coverage=record("Share of the truth that was searched."),
            comparable=flag("With published numbers."),
            tasks=by_name(record(mAP=or_null(number()), micro_AP=or_null(number()), positives=count())),
            notes=NOTES,
        ),
    ),
    (
        "eval representation --json",
        document(
            "eval_representation",
            "What features of a video network are good for.",
            checkpoint=text(),
            protocol=record(),
            rows=many(
                record(
                    features=text(),
                    classes_by=text(),
                    recognition=by_name(or_null(number())),
                    recall=by_name(or_null(number()), "By how many neighbours are looked at."),
                    test_videos=count(),
                )
            ),
            notes=NOTES,
        ),
    ),
    (
        "eval background --json",
        document(
            "eval_background",
            "Whether scores follow the action or the place.",
            made_by=MADE_BY,
            threshold=number(),
            masks=record(),
            rows=TABLE,
            clips=TABLE,
            failed=FAILED,
            notes=NOTES,
        ),
    ),
    (
        "plan --json",
        document(
            "estimate",
            "Time, storage and cost of an extraction, for several numbers of workers.",
            recipe=RECIPE,
            fingerprint=text("Of the recipe."),
            videos=count(),
            video_seconds=number("Of all videos."),
            images=count("That go through the encoder."),
            rows=count(),
            source_bytes=count("Of the videos."),
            feature_bytes=count("In the cache."),
            index_bytes=count("Of an index of all rows."),
            packs=count("Files, if entries lie in packs."),
            rates=record(
                "Of one worker, measured or given.",
                decode=by_name(number(), "Seconds of video per core and second: middle, low, high."),
                encode=by_name(number(), "Images a second of a core or a device: middle, low, high."),
                on_cores=flag("Whether the encoder runs on the cores that decode."),
                where=text(),
            ),
            site=record(
                "What is assumed.",
                cores=count("Of a worker."),
                network=number("Bytes a second of all workers."),
                files_per_second=number("Entries a second of all workers."),
                price_per_hour=or_null(number("Of a worker.")),
            ),
            table=many(
                record(
                    workers=count(),
                    seconds=number(),
                    least_seconds=number("By the fastest measured part."),
                    most_seconds=number("By the slowest."),
                    bound=word("decode", "encode", "network", "files"),
                    cost=or_null(number()),
                )
            ),
            notes=NOTES,
        ),
    ),
)
"""(where it comes from, schema)"""
