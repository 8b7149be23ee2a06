"""What people look at of scored videos: a timeline of each, a page of all, and the videos with scores drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vidlang.core import Detection, Label, Progress, Scores, Segment
from vidlang.report.overlay import OverlayLayers
from vidlang.report.score_page import ScoredVideo, carded, peak_of, score_page
from vidlang.report.timeline import timeline_png
from vidlang.store.atomic import write_bytes
from vidlang.workflows.chosen import known_labels
from vidlang.workflows.looks import Looks, page_words, true_segments, with_failures, write_overlays
from vidlang.workflows.page_parts import PageVideos, write_page

if TYPE_CHECKING:
    from vidlang.workflows.score import ScoreOptions, ScoreReport


def show_scores(report: ScoreReport, options: ScoreOptions, lead: str, progress: Progress) -> ScoreReport:
    """Draws what is asked for; videos whose overlay failed are failed outcomes of the returned report.

    lead: what the numbers are, in a line
    """
    looks = options.looks()
    labels = known_labels(options.manifest, options.split, [scores.video.id for scores in report.scores])
    truth = {scores.video.id: _truth(labels.get(scores.video.id), scores) for scores in report.scores}
    if looks.plot:
        _plot(report, looks, truth, progress)
    if looks.overlay is not None:
        layers = [
            (s.video, report.files[s.video.id], _layers(s, found, truth[s.video.id], report.threshold))
            for s, found in zip(report.scores, report.events, strict=True)
        ]
        failed = write_overlays(looks.overlay, layers, progress)
        report = replace(report, outcomes=with_failures(report.outcomes, failed))
    if looks.report is not None:
        rates = {scores.video.id: scores.video.frame_rate for scores in report.scores}
        videos = PageVideos(looks.report.absolute(), report.files, rates, looks.embed)
        write_page(looks.report, _page(report, lead, labels, truth, videos, progress), videos, progress)
    return report


def _truth(label: Label | None, scores: Scores) -> tuple[tuple[str, Segment], ...]:
    return true_segments(label, scores.frames, scores.seconds)


def _layers(
    scores: Scores, events: Sequence[Detection], truth: Sequence[tuple[str, Segment]], threshold: float
) -> OverlayLayers:
    return OverlayLayers.of_scores(scores, events, [segment for _, segment in truth], threshold)


def _plot(
    report: ScoreReport, looks: Looks, truth: Mapping[str, Sequence[tuple[str, Segment]]], progress: Progress
) -> None:
    with progress.task("draw", total=len(report.scores), unit="picture") as task:
        for scores, found in zip(report.scores, report.events, strict=True):
            target, form = looks.picture_target(report.folder, scores.video.id)
            picture = timeline_png(
                scores,
                events=found,
                truth=[segment for _, segment in truth[scores.video.id]],
                threshold=report.threshold,
                note=str(report.made_by.get("note", "")),
                form=form,
            )
            write_bytes(target, picture)
            task.advance()


def _page(
    report: ScoreReport,
    lead: str,
    labels: Mapping[str, Label],
    truth: Mapping[str, tuple[tuple[str, Segment], ...]],
    videos: PageVideos,
    progress: Progress,
) -> str:
    """The page of all videos."""
    parts = []
    with progress.task("page", total=len(report.scores), unit="video") as task:
        for scores, events in zip(report.scores, report.events, strict=True):
            name = scores.video.id
            parts.append(
                ScoredVideo(
                    scores=scores,
                    events=events,
                    threshold=report.threshold,
                    truth=truth[name],
                    classes=labels[name].classes if name in labels else (),
                    motion=report.motion.get(name),
                    stills=videos.stills(name, [peak_of(event, scores) for event in carded(events)]),
                    player=videos.player(name),
                )
            )
            task.advance()
    one = f"Anomaly scores of {report.scores[0].video.id}"
    title = one if len(parts) == 1 else f"Anomaly scores of {len(parts)} videos"
    words = page_words(report.made_by, report.outcomes, title, lead)
    return score_page(parts, replace(words, score_name="anomaly score"))
