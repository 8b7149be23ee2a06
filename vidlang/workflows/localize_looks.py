"""What people look at of localized videos: a picture of each, a page of all, and the videos with segments drawn in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from vidlang.core import Label, Progress, Segment
from vidlang.report.actions import actions_png
from vidlang.report.localize_page import LocalizedStory, localize_page, middle
from vidlang.report.overlay import OverlayLayers
from vidlang.store.atomic import write_bytes
from vidlang.workflows.chosen import known_labels
from vidlang.workflows.looks import Looks, page_words, true_segments, with_failures, write_overlays
from vidlang.workflows.page_parts import PageVideos, write_page

if TYPE_CHECKING:
    from vidlang.workflows.localize import LocalizedVideo, LocalizeOptions, LocalizeReport

Truth = tuple[tuple[str, Segment], ...]


def show_segments(report: LocalizeReport, options: LocalizeOptions, progress: Progress) -> LocalizeReport:
    """Draws what is asked for; videos whose overlay failed are failed outcomes of the returned report."""
    looks = options.looks()
    labels = known_labels(options.manifest, options.split, [found.video.id for found in report.videos])
    truth = {found.video.id: _truth(labels.get(found.video.id), found) for found in report.videos}
    if looks.plot:
        _plot(report, looks, truth, progress)
    if looks.overlay is not None:
        layers = [
            (found.video, report.files[found.video.id], _layers(report, found, truth[found.video.id]))
            for found in report.videos
        ]
        failed = write_overlays(looks.overlay, layers, progress)
        report = replace(report, outcomes=with_failures(report.outcomes, failed))
    if looks.report is not None:
        rates = {found.video.id: found.video.frame_rate for found in report.videos}
        videos = PageVideos(looks.report.absolute(), report.files, rates, looks.embed)
        write_page(looks.report, _page(report, labels, truth, videos, progress), videos, progress)
    return report


def _truth(label: Label | None, found: LocalizedVideo) -> Truth:
    assert found.frames is not None  # localize fills it
    return true_segments(label, found.frames, found.seconds)


def _layers(report: LocalizeReport, found: LocalizedVideo, truth: Truth) -> OverlayLayers:
    """The likeliest class of every row, and the segments that people are shown."""
    return OverlayLayers(
        duration=max(found.video.duration, float(found.seconds[:, 1].max()), 1e-3),
        seconds=found.seconds,
        scores=found.curve.max(axis=1),
        labels=tuple(report.class_names[c] for c in found.curve.argmax(axis=1)),
        events=found.clearest(report.top),
        truth=tuple(segment for _, segment in truth),
        score_name="probability",
    )


def _plot(report: LocalizeReport, looks: Looks, truth: Mapping[str, Truth], progress: Progress) -> None:
    with progress.task("draw", total=len(report.videos), unit="picture") as task:
        for found in report.videos:
            target, form = looks.picture_target(report.folder, found.video.id)
            picture = actions_png(
                found.video.id,
                found.seconds,
                found.curve,
                report.class_names,
                found.clearest(report.top),
                truth=truth[found.video.id],
                note=str(report.made_by.get("note", "")),
                form=form,
            )
            write_bytes(target, picture)
            task.advance()


def _page(
    report: LocalizeReport,
    labels: Mapping[str, Label],
    truth: Mapping[str, Truth],
    videos: PageVideos,
    progress: Progress,
) -> str:
    """The page of all videos."""
    parts = []
    with progress.task("page", total=len(report.videos), unit="video") as task:
        for found in report.videos:
            name, shown = found.video.id, found.clearest(report.top)
            parts.append(
                LocalizedStory(
                    video=found.video,
                    seconds=found.seconds,
                    curve=found.curve,
                    class_names=report.class_names,
                    detections=shown,
                    num_more=len(found.detections) - len(shown),
                    truth=truth[name],
                    classes=labels[name].classes if name in labels else (),
                    motion=found.motion,
                    stills=videos.stills(name, [middle(detection) for detection in shown]),
                    player=videos.player(name),
                )
            )
            task.advance()
    title = f"Actions in {report.videos[0].video.id}" if len(parts) == 1 else f"Actions in {len(parts)} videos"
    words = page_words(report.made_by, report.outcomes, title, report.describe()[0])
    return localize_page(
        parts, replace(words, score_name="probability", event_name="segment", card_score_name="confidence")
    )
