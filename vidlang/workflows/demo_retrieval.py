"""The demo's second road: which videos show the same, asked by edited copies and by words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from vidlang.core import Label, Segment, Similarities
from vidlang.demo.scenes import EVENTS
from vidlang.metrics.retrieval import TaskScores
from vidlang.store.atomic import write_text
from vidlang.store.rankings import SIMILARITIES_FILE, write_similarities
from vidlang.video.motion import motion_energy
from vidlang.workflows.chosen import picture_path
from vidlang.workflows.demo_anomaly import curves_of, options_text
from vidlang.workflows.demo_baselines import chance_precision
from vidlang.workflows.demo_folder import NAME, Demo, Step, Table
from vidlang.workflows.demo_world import excerpt_span, pairs_csv
from vidlang.workflows.evaluate_retrieval import evaluate_retrieval
from vidlang.workflows.gallery import PLAIN, GalleryOptions
from vidlang.workflows.retrieve import RetrieveOptions, retrieve
from vidlang.workflows.search import SearchOptions
from vidlang.workflows.train_tca import TrainTcaOptions, train_tca

TEXTS: Mapping[str, str] = {
    "people fighting": "fighting",
    "a person falls down": "falling",
    "a car crash": "car crash",
    "a fire": "fire",
}
"""What is asked, and the class that answers it."""
HITS = 5
"""Answers to a query by video."""


def train_retrieval(demo: Demo) -> Step:
    """From edited copies of training videos; the test videos that are asked for later are not among them."""
    extent, pattern = demo.extent, training_pattern(demo)
    changes = {**extent.tca, "seed": demo.options.seed}
    options = TrainTcaOptions(num_copies=extent.copies, changes=changes, name=NAME, resume=demo.goes_on("tca"))
    report = train_tca([demo.out / pattern], demo.workspace, options, progress=demo.progress)
    table = Table.of(f"measured on {report.measured_on}", ("metric", "before", "after"), report.rows())
    return Step(
        "Train TCA",
        (f"vidlang train tca '{pattern}' --copies {extent.copies} --name {NAME}{options_text(changes)}",),
        (*report.summary, *report.notes),
        (table,) if report.before else (),
        (curves_of(demo, "tca"),),
    )


def training_pattern(demo: Demo) -> str:
    """A pattern of files that are training videos in every class."""
    train = [label.video_id for label in demo.labels("train")]
    number = min(demo.extent.sources, 10)
    while any(fnmatchcase(label.video_id, f"*_00[0-{number - 1}].mp4") for label in demo.labels("test")):
        number -= 1
    assert number > 0 and train, "the first video of each class is for training"
    return f"videos/*/*_00[0-{number - 1}].mp4"


def ask_by_video(demo: Demo) -> Step:
    """Every edited copy asks for the video that it was made from."""
    found = {
        "TCA": _ask(demo, NAME, demo.results("retrieve")),
        "plain rows, untrained": _ask(demo, PLAIN, demo.results("retrieve-plain")),
        "nearest motion energy": _by_motion(demo, demo.results("retrieve-motion")),
    }
    size = len(_gallery(demo))
    rows = [(name, task.mean_ap, task.recall[1], task.recall[5]) for name, task in found.items()]
    rows.append(("chance", chance_precision(1, size), 1 / size, min(5 / size, 1.0)))
    query = demo.copies / f"{demo.camera.stem}_excerpt.mp4"
    folder = demo.results("retrieve-excerpt")
    options = RetrieveOptions(
        gallery=GalleryOptions(checkpoint=NAME), search=SearchOptions(top=HITS), plot=True, out=folder
    )
    ranking = retrieve([query], demo.workspace, options, progress=demo.progress).rankings[0]
    return Step(
        "Retrieve by video",
        (
            f"vidlang retrieve copies --checkpoint {NAME} --complete --no-segments --out results/retrieve",
            "vidlang eval retrieval results/retrieve --pairs pairs.csv",
            f"vidlang retrieve copies/{query.name} --checkpoint {NAME} --top {HITS} --plot "
            "--out results/retrieve-excerpt",
        ),
        (
            f"{len(found['TCA'].per_query)} edited copies ask {size} videos; each has one answer.",
            f"{query.name} shows the seconds {_span(excerpt_span(demo, demo.camera_truth()))} of camera.mp4. It finds:",
            *(
                f"  {number}. {hit.video_id}  {hit.similarity:.3f}  {_seconds(hit.segments)}"
                for number, hit in enumerate(ranking.hits, 1)
            ),
        ),
        (Table.of("the original among all videos", ("similarity by", "mAP", "recall@1", "recall@5"), rows),),
        (
            demo.picture(
                picture_path(folder, ranking.query),
                "An excerpt of the camera's film and what it finds, second by second",
            ),
        ),
    )


def _seconds(segments: Sequence[tuple[Segment, Segment]]) -> str:
    """Which seconds of a hit match which of the query."""
    return ", ".join(f"{_span(theirs)} = {_span(mine)} of the query" for mine, theirs in segments) or "no seconds match"


def _span(segment: Segment) -> str:
    return f"{segment.start:.1f}-{segment.end:.1f}"


def _ask(demo: Demo, checkpoint: str, folder: Path) -> TaskScores:
    options = RetrieveOptions(
        gallery=GalleryOptions(checkpoint=checkpoint), search=SearchOptions(segments=False), complete=True, out=folder
    )
    retrieve([demo.copies], demo.workspace, options, progress=demo.progress)
    return evaluate_retrieval(demo.workspace, folder, pairs=demo.pairs).scores.tasks[0]


def _by_motion(demo: Demo, folder: Path) -> TaskScores:
    """The video whose mean motion is nearest to the query's."""
    copies = {path.name: path for path in sorted(demo.copies.iterdir())}
    asked, known = _mean_motion(copies), _gallery_motion(demo)
    values = -np.abs(np.array([*asked.values()])[:, None] - np.array([*known.values()])[None, :])
    folder.mkdir(parents=True, exist_ok=True)
    similarities = Similarities(tuple(asked), tuple(known), values.astype(np.float32), {"method": "motion energy"})
    write_similarities(folder / SIMILARITIES_FILE, similarities)
    return evaluate_retrieval(demo.workspace, folder, pairs=demo.pairs).scores.tasks[0]


def _gallery(demo: Demo) -> dict[str, Path]:
    """Every video that is searched, by id."""
    videos = {label.video_id: demo.videos / label.video_id for label in demo.labels()}
    return dict(sorted((videos | {demo.camera.name: demo.camera}).items()))


def _gallery_motion(demo: Demo) -> dict[str, float]:
    """Mean motion of every video that is searched; kept, since two steps ask for it."""
    file = demo.results("motion-of-gallery.json")
    if not file.is_file():
        write_text(file, json.dumps(_mean_motion(_gallery(demo))))
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _mean_motion(paths: Mapping[str, Path]) -> dict[str, float]:
    """Grey levels."""
    whole = np.array([[0.0, 1e9]])
    return {video_id: float(motion_energy(path, whole)[0]) for video_id, path in paths.items()}


def ask_by_text(demo: Demo) -> Step:
    """Words ask for all videos that show an event."""
    folder, truth = demo.results("retrieve-text"), _answers(demo)
    pairs = demo.out / "texts.csv"
    write_text(pairs, pairs_csv([(text, video) for text, videos in truth.items() for video in videos]))
    size = len(_gallery(demo))
    options = RetrieveOptions(
        texts=tuple(TEXTS),
        gallery=GalleryOptions(checkpoint=NAME),
        search=SearchOptions(top=size),
        plot=True,
        out=folder,
    )
    retrieve([], demo.workspace, options, progress=demo.progress)
    found = evaluate_retrieval(demo.workspace, folder, pairs=pairs).scores.tasks[0]
    motion = _texts_by_motion(demo, demo.results("retrieve-text-motion"), pairs)
    rows: list[list[object]] = [
        [
            text,
            len(truth[text]),
            found.per_query.get(text),
            motion.per_query.get(text),
            chance_precision(len(truth[text]), size),
        ]
        for text in TEXTS
    ]
    chance = float(np.mean([chance_precision(len(videos), size) for videos in truth.values()]))
    rows.append(["mean", None, found.mean_ap, motion.mean_ap, chance])
    asked = " ".join(f'--text "{text}"' for text in TEXTS)
    return Step(
        "Retrieve by text",
        (
            f"vidlang retrieve {asked} --checkpoint {NAME} --top {size} --plot --out results/retrieve-text",
            "vidlang eval retrieval results/retrieve-text --pairs texts.csv",
        ),
        (f"{size} videos searched; motion energy gives every text the same answer, the most motion first.",),
        (Table.of("average precision of each text", ("text", "answers", "mini", "motion energy", "chance"), rows),),
        tuple(demo.picture(picture_path(folder, text), f"What the words “{text}” find") for text in TEXTS),
    )


def _answers(demo: Demo) -> dict[str, list[str]]:
    """Text → videos that show it."""
    film: Label = demo.camera_truth()
    labels = [*demo.labels(), film]
    assert set(TEXTS.values()) == set(EVENTS)
    return {text: sorted(label.video_id for label in labels if name in label.classes) for text, name in TEXTS.items()}


def _texts_by_motion(demo: Demo, folder: Path, pairs: Path) -> TaskScores:
    known = _gallery_motion(demo)
    values = np.tile(np.array([*known.values()], dtype=np.float32), (len(TEXTS), 1))
    folder.mkdir(parents=True, exist_ok=True)
    similarities = Similarities(tuple(TEXTS), tuple(known), values, {"method": "motion energy"})
    write_similarities(folder / SIMILARITIES_FILE, similarities)
    return evaluate_retrieval(demo.workspace, folder, pairs=pairs).scores.tasks[0]
