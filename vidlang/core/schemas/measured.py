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
)
"""(where it comes from, schema)"""
