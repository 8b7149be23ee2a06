"""Parts that several schemas share."""

from __future__ import annotations

from vidlang.core.schemas.words import any_value, by_name, count, flag, many, number, pair, record, text, word

VIDEO_ID = text("Path of the video below the folder that was given, with /.")
SPAN = pair(number(), "Start and end in seconds, half-open.")
FRAMES = pair(count(), "First frame and last + 1.")
MATCHES = many(pair(SPAN), "Pairs of spans that show the same: seconds of the first video, of the second.")
MADE_BY = record("Checkpoint, encoder, recipe and options behind the numbers.")
RECIPE = record("How the features were made.", encoder=text(), revision=text())
NOTES = many(text(), "What must be said with the numbers.")
REASON = text("One line: what, where, what to do next.")
FAILED = many(record(video=VIDEO_ID, reason=REASON), "Videos that failed; the others are kept.")
OUTCOMES = many(
    record(video=VIDEO_ID, status=word("done", "skipped", "failed"), detail=text("Why, or a warning; may be empty.")),
    "What became of each video.",
)
FOLDER = text("Where the result files lie.")
FILES = many(text(), "What was written.")
INFO = record(
    "Facts of a video file.",
    id=VIDEO_ID,
    num_frames=count(),
    duration=number("Seconds."),
    frame_rate=number("Frames per second, for display; times are those of the frames."),
    size=pair(count(), "Height and width, pixels."),
)
INDEX_FACTS = {
    "videos": count(),
    "rows": count("Feature rows in it."),
    "width": count("Numbers of a row."),
    "bytes": count("On the disk."),
    "spec": record("What it was made with."),
}
WINDOWS = many(record(frames=FRAMES, seconds=SPAN), "What shares one mask or map, in order.")
ENCODER = record(name=text(), dim=count("Width of a row."), available=flag("Its weights are on this machine."))
TABLE = many(by_name(any_value()), "Rows of the table, by column.")
