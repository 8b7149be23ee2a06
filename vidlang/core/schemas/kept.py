"""What the commands about the cache, indexes, models and the workspace answer."""

from __future__ import annotations

from vidlang.core.schemas.parts import ENCODER, FILES, INDEX_FACTS, MADE_BY, MATCHES, NOTES, OUTCOMES, SPAN, VIDEO_ID
from vidlang.core.schemas.words import (
    JsonSchema,
    any_value,
    count,
    document,
    many,
    number,
    or_null,
    pair,
    record,
    text,
    whole,
    word,
)

KEPT: tuple[tuple[str, JsonSchema], ...] = (
    (
        "cache list --json",
        document(
            "cache.recipes",
            "Recipes of the cache.",
            recipes=many(
                record(
                    fingerprint=text(),
                    encoder=text(),
                    sampling=text(),
                    videos=count(),
                    rows=count(),
                    bytes=count("On the disk."),
                )
            ),
        ),
    ),
    (
        "cache list VIDEO --json",
        document(
            "cache.entries",
            "Videos of the cache.",
            videos=many(
                record(
                    video=VIDEO_ID,
                    duration=number("Seconds."),
                    rows=count(),
                    recipe=text("Its fingerprint."),
                    shape=many(count(), "Rows and width, or crops, rows and width."),
                    warnings=text(),
                )
            ),
        ),
    ),
    (
        "cache verify --json",
        document(
            "cache.verify",
            "Whether entries are whole.",
            good=count("Whole entries."),
            damaged=many(record(path=text(), problem=text())),
            leftovers=many(record(path=text(), problem=text()), "Temporary files of killed writers."),
        ),
    ),
    (
        "cache compare --json",
        document(
            "cache.compare",
            "A cached video beside a file of features.",
            video=VIDEO_ID,
            file=text(),
            rows_cached=count(),
            rows_file=count(),
            mean=number("Of the cosines."),
            min=number("Of the cosines."),
            cosines=many(number(), "One a row."),
        ),
    ),
    ("cache import --json", document("cache.import", "Features that were brought in.", videos=OUTCOMES)),
    ("cache export --json", document("cache.export", "Features as .npy.", files=count("Written."), folder=text())),
    ("cache pack --json", document("cache.pack", "A packed file.", entries=count("In it."), file=text())),
    (
        "cache merge --json",
        document(
            "cache.merge",
            "Shards that were brought together.",
            copied=count(),
            equal=count("There already, skipped."),
            refused=many(
                record(
                    video=text("Id, or path of an entry that does not read."),
                    recipe=text("Its fingerprint."),
                    source=text(),
                    status=word("differs", "damaged"),
                    detail=text(),
                )
            ),
        ),
    ),
    ("cache rm --json", document("cache.rm", "Entries that were deleted.", videos=many(VIDEO_ID))),
    (
        "cache map --json",
        document(
            "cache.map",
            "The cache as points of a plane.",
            made_by=MADE_BY,
            by=text("What a point is: a video or a snippet."),
            method=text("How the plane was found."),
            seed=whole(),
            files=FILES,
            notes=NOTES,
            points=many(
                record(
                    video=VIDEO_ID,
                    label=or_null(text()),
                    start=number("Seconds."),
                    end=number("Seconds."),
                    x=number(),
                    y=number(),
                )
            ),
        ),
    ),
    (
        "cache attention --json",
        document(
            "cache.attention",
            "What a TCA looks at over time.",
            made_by=MADE_BY,
            video=VIDEO_ID,
            seconds=many(SPAN),
            weights=many(number(), "Of each snippet."),
            files=FILES,
            notes=NOTES,
        ),
    ),
    (
        "cache matrix --json",
        document(
            "cache.matrix",
            "Every snippet of a video against every one of another.",
            made_by=MADE_BY,
            videos=pair(VIDEO_ID),
            similarity=number("Of both videos."),
            segments=MATCHES,
            seconds=pair(many(SPAN), "Of the snippets of both."),
            matrix=many(many(number()), "A row for each snippet of the first video."),
            file=or_null(text()),
        ),
    ),
    (
        "index build --json, index update --json",
        document(
            "index_update",
            "An index brought up to date.",
            folder=text(),
            added=count(),
            changed=count(),
            gone=count("Videos of the index that are no longer in the cache."),
            pruned=count(),
            rebuilt=or_null(text("Why it was built anew.")),
            **INDEX_FACTS,
        ),
    ),
    (
        "index info --json",
        document(
            "index_info",
            "The indexes of the workspace.",
            indexes=many(record(folder=text(), **INDEX_FACTS)),
            damaged=many(text(), "One line each."),
            rejected_pairs=count(),
        ),
    ),
    (
        "index export --json",
        document(
            "index_export",
            "Vectors of the index, written for other programs.",
            folder=text(),
            files=FILES,
            format=word("parquet", "arrow", "npy"),
            what=word("rows", "vectors", "text"),
            vectors=count("How many were written."),
            width=count("Numbers of a vector."),
            videos=count(),
        ),
    ),
    (
        "index verify --json",
        document(
            "index_verify",
            "Files of the indexes whose content is not what was written.",
            indexes=many(text(), "Folders that were read."),
            problems=many(record(file=text(), problem=text())),
        ),
    ),
    (
        "index fit-whitening --json",
        document("whitening", "A fitted whitening.", file=text(), rows=count(), width=count(), components=count()),
    ),
    (
        "models list --json",
        document(
            "models",
            "Encoders and checkpoints.",
            encoders=many(ENCODER),
            checkpoints=many(record(name=text(), method=text(), class_names=many(text()), path=text())),
        ),
    ),
    (
        "models show --json",
        document(
            "model",
            "All facts of one encoder or checkpoint.",
            optional={"encoder": text(), "checkpoint": text(), "dimension": count()},
        ),
    ),
    ("models pull --json", document("models.pull", "An encoder on this machine.", encoder=text(), folder=text())),
    ("models import --json", document("models.import", "A published checkpoint.", summary=text(), folder=text())),
    ("models export --json", document("models.export", "A checkpoint for others.", summary=text(), file=text())),
    (
        "datasets import --json",
        document("datasets_import", "Annotations that were read.", summary=text(), notes=NOTES),
    ),
    (
        "schema --json",
        document(
            "schemas",
            "The list of schemas.",
            schemas=many(record(name=text(), id=text("Name and version."), of=text(), says=text())),
        ),
    ),
    ("init --json", document("init", "A settings file.", file=text())),
    (
        "doctor --json",
        document(
            "doctor",
            "What works on this machine.",
            checks=many(
                record(
                    what=text(),
                    state=word("ok", "optional", "missing", "broken"),
                    found=text(),
                    remedy=text("What to do; empty where nothing is."),
                )
            ),
        ),
    ),
    (
        "config --json",
        document(
            "config",
            "Settings that hold here.",
            settings=many(
                record(
                    key=text(),
                    value=any_value(),
                    origin=text("The variable or file that says so, or default."),
                    default=any_value(),
                    flag=text(),
                    variable=text(),
                    help=text(),
                )
            ),
            notes=NOTES,
        ),
    ),
    (
        "demo --json",
        document(
            "demo_report",
            "What the demo did.",
            page=text("The page with all pictures."),
            notes=NOTES,
            steps=many(record(title=text(), commands=many(text()), lines=many(text()), tables=many(record()))),
        ),
    ),
    (
        "--dry-run --json of any command",
        document(
            "plan",
            "What a command would do.",
            command=text(),
            summary=text("One line."),
            items=many(record(name=text(), action=text("One word, such as extract, skip or fail."), detail=text())),
            optional={"facts": record("Counts; bytes and seconds by name.")},
        ),
    ),
)
"""(where it comes from, schema)"""
