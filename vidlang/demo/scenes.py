"""Plans videos of a fixed camera with events at known times, and renders them frame by frame.

Fights, falls, collisions and fires last 1.5 to 4 seconds within ordinary life. Ordinary life has fast things too
(runners, speeding cars, people at exercise, birds, a flickering lamp), and some events are slow (a person who lies
still, a smouldering bin), so that neither a constant score nor a threshold on motion tells them apart.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core.labels import Label, LabelledSegment
from vidlang.core.progress import Progress
from vidlang.core.segments import Segment
from vidlang.demo.actors import (
    CAR_PAINT,
    Act,
    Actor,
    Birds,
    Car,
    Debris,
    Driver,
    Fire,
    Person,
    Still,
    person_height,
)
from vidlang.demo.places import LIGHTS, PLACES, Light, Place, make_light, make_place
from vidlang.demo.raster import Color, Part, cloud_texture
from vidlang.demo.workers import make_files

NORMAL = "normal"
WITH_LANES = ("street", "parking lot")
EVENTS = ("fighting", "falling", "car crash", "fire")
KINDS = (NORMAL, *EVENTS)
CODING = {"preset": "veryfast", "x264-params": "mbtree=0", "threads": "1"}
"""Of files: drawing takes longer than coding; equal bytes each time and on every machine want one thread, and x264's
mbtree off."""
DARKNESS = {"day": 0.0, "dusk": 0.45, "night": 1.0}

SKIN: list[Color] = [(232, 190, 160), (198, 150, 116), (142, 98, 70), (98, 66, 48)]
HAIR: list[Color] = [(44, 32, 26), (92, 64, 40), (150, 120, 76), (28, 28, 30), (130, 130, 130)]
CLOTHES: list[Color] = [
    (184, 48, 44), (40, 84, 160), (224, 222, 214), (46, 48, 54), (66, 122, 82), (226, 176, 62), (118, 74, 134),
    (222, 118, 46), (96, 150, 176), (128, 96, 70),
]  # fmt: skip
TROUSERS: list[Color] = [(40, 46, 72), (52, 52, 54), (96, 84, 70), (68, 78, 96), (30, 30, 34)]


@dataclass(frozen=True)
class Event:
    """One anomaly of a plan."""

    kind: str
    segment: Segment


@dataclass(frozen=True)
class VideoPlan:
    """Everything that decides the frames of one video; equal plans give equal frames."""

    place: str
    light: str
    events: tuple[Event, ...]
    seconds: float
    seed: int
    frame_rate: float = 25.0
    size: tuple[int, int] = (144, 192)
    """(height, width) in pixels."""

    def __post_init__(self) -> None:
        for event in self.events:
            if event.kind not in EVENTS:
                raise ValueError(f"an event is one of {', '.join(EVENTS)}, got {event.kind!r}")
            if event.kind == "car crash" and self.place not in WITH_LANES:
                raise ValueError(f"a car crash needs a street or a parking lot, got {self.place!r}")
            if event.segment.duration < 1:
                raise ValueError(f"an event lasts at least 1 second, got {event.segment}")
            if event.segment.start < 0 or event.segment.end > self.seconds:
                raise ValueError(f"{event.segment} lies outside the video of {self.seconds} s")

    @property
    def num_frames(self) -> int:
        return round(self.seconds * self.frame_rate)

    def label(self, video_id: str, split: str | None = None) -> Label:
        """The truth: classes and segments in seconds."""
        classes = tuple(dict.fromkeys(event.kind for event in self.events)) or (NORMAL,)
        segments = tuple(LabelledSegment(event.kind, event.segment) for event in self.events)
        return Label(video_id, classes, segments, split, timed=True, num_frames=self.num_frames)


def plan_video(
    kind: str,
    *,
    seed: int = 0,
    seconds: float = 8.0,
    frame_rate: float = 25.0,
    size: tuple[int, int] = (144, 192),
    places: Sequence[str] = PLACES,
    lights: Sequence[str] = LIGHTS,
) -> VideoPlan:
    """One short video of a kind: ordinary life, with one event unless the kind is ``normal``.

    Places take turns with the seed; crashes keep to those of ``places`` that have a lane.

    Raises:
        ValueError: for an unknown kind, no place with a lane for a crash, or a video too short for an event.
    """
    if kind not in KINDS:
        raise ValueError(f"a kind is one of {', '.join(KINDS)}, got {kind!r}")
    if seconds < 3:
        raise ValueError(f"a video needs at least 3 seconds for an event and life around it, got {seconds}")
    random = np.random.default_rng([seed, KINDS.index(kind)])
    fitting = [place for place in places if kind != "car crash" or place in WITH_LANES]
    if not fitting or not lights:
        raise ValueError(f"{kind} needs a fitting place and a light, got {list(places)} and {list(lights)}")
    place, light = fitting[seed % len(fitting)], lights[int(random.integers(len(lights)))]
    events: tuple[Event, ...] = ()
    if kind != NORMAL:
        length = min(float(random.uniform(1.5, 4.0)), seconds * 0.6)
        start = float(random.uniform(0.12 * seconds, seconds - length - 0.2))
        events = (Event(kind, _on_frames(start, start + length, frame_rate)),)
    return VideoPlan(place, light, events, seconds, int(random.integers(2**31)), frame_rate, size)


def plan_camera(
    events: Sequence[str] = EVENTS,
    *,
    seed: int = 0,
    seconds: float = 120.0,
    place: str = "street",
    light: str = "day",
    frame_rate: float = 25.0,
    size: tuple[int, int] = (144, 192),
) -> VideoPlan:
    """A long untrimmed video of one camera with the events in the given order, each in its share of the time."""
    random = np.random.default_rng([seed, len(events), 7])
    share = seconds / max(len(events), 1)
    if events and share < 6:
        raise ValueError(f"each event needs 6 seconds, got {seconds} s for {len(events)} events")
    planned = []
    for i, kind in enumerate(events):
        length = float(random.uniform(1.5, 4.0))
        start = i * share + float(random.uniform(1.0, share - length - 1.0))
        planned.append(Event(kind, _on_frames(start, start + length, frame_rate)))
    return VideoPlan(place, light, tuple(planned), seconds, int(random.integers(2**31)), frame_rate, size)


def _on_frames(start: float, end: float, frame_rate: float) -> Segment:
    return Segment(round(start * frame_rate) / frame_rate, round(end * frame_rate) / frame_rate)


def render_video(
    kind: str, *, seed: int = 0, seconds: float = 8.0, frame_rate: float = 25.0, size: tuple[int, int] = (144, 192)
) -> Iterator[NDArray[np.uint8]]:
    """The frames [H, W, 3] of ``plan_video`` with the same arguments, one at a time."""
    return render(plan_video(kind, seed=seed, seconds=seconds, frame_rate=frame_rate, size=size))


def render(plan: VideoPlan, wanted: Container[int] | None = None) -> Iterator[NDArray[np.uint8]]:
    """Frames [H, W, 3], RGB, one at a time: surfaces from far to near, then light, lamps and flames, then noise.

    wanted: indices of the frames that are drawn; None: all. The others are passed over
    """
    random = np.random.default_rng([plan.seed, 0])
    place = make_place(plan.place, plan.size, random)
    light = make_light(plan.light, place, random, flicker=bool(random.random() < 0.3))
    actors = _Stage(plan, place).actors
    bank = _noise_bank(plan.size, light, random)
    height, width = plan.size
    dark = DARKNESS[plan.light]
    for index in range(plan.num_frames):
        top, left = random.integers(0, 32, 2)
        if wanted is not None and index not in wanted:
            continue
        seconds = index / plan.frame_rate
        canvas = place.background.copy()
        present = _far_to_near(actors, seconds)
        for actor in present:
            actor.draw(canvas, seconds)
        canvas *= light.at(seconds)
        for actor in present:
            actor.shine(canvas, seconds, dark)
        canvas += bank[top : top + height, left : left + width]
        yield np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def _far_to_near(actors: Sequence[Actor], seconds: float) -> list[Actor]:
    return sorted(actors, key=lambda actor: actor.ground(seconds))


def _noise_bank(size: tuple[int, int], light: Light, random: np.random.Generator) -> NDArray[np.float32]:
    """Camera noise, larger than a frame: a random cut of it is as good as fresh noise and much cheaper."""
    height, width = size
    grey = random.normal(0, light.noise, (height + 32, width + 32, 1))
    return (grey + random.normal(0, 0.4 * light.noise, (height + 32, width + 32, 3))).astype(np.float32)


class _Stage:
    """Puts the actors of a plan together."""

    def __init__(self, plan: VideoPlan, place: Place) -> None:
        self.plan, self.place = plan, place
        self.height, self.width = plan.size
        self.actors: list[Actor] = []
        # Events and ordinary life draw from streams of their own: the same life goes on around any event.
        self.random = np.random.default_rng([plan.seed, 1])
        self.texture = cloud_texture(self.random)
        casts = {"fighting": self.fight, "falling": self.fall, "car crash": self.crash, "fire": self.fire}
        for event in plan.events:
            casts[event.kind](event.segment)
        self.random = np.random.default_rng([plan.seed, 2])
        self.ordinary_life()

    # Helpers -----------------------------------------------------------------------------------------------------

    def some(self, colors: list[Color]) -> Color:
        r, g, b = colors[int(self.random.integers(len(colors)))]
        gain = float(self.random.uniform(0.85, 1.1))
        return r * gain, g * gain, b * gain

    def somewhere(self) -> tuple[float, float]:
        """A spot (x, ground) in pixels where people stand well in view."""
        bands = [band for band in self.place.walks if band[1] > 0.6] or list(self.place.walks)
        top, bottom = bands[int(self.random.integers(len(bands)))]
        return self.random.uniform(0.28, 0.72) * self.width, self.random.uniform(top, bottom) * self.height

    def tall(self, ground: float) -> float:
        return person_height(ground / self.height, self.height)

    def person(self, path: list[tuple[float, float, float]], facing: int = 1, acts: Sequence[Act] = ()) -> Person:
        colors = self.some(SKIN), self.some(HAIR), self.some(CLOTHES), self.some(TROUSERS)
        size, phase = float(self.random.uniform(0.9, 1.08)), float(self.random.uniform(0, 6.28))
        person = Person(path, self.height, colors, phase, size, facing, acts)
        self.actors.append(person)
        return person

    def way_in(self, x: float, ground: float, at: float, side: int, speed: float) -> tuple[float, float, float]:
        """Where and when somebody enters who arrives at (x, ground) ``at`` seconds; side -1 is the left."""
        edge = (self.place.left if side < 0 else self.place.right) * self.width
        return at - abs(x - edge) / (speed * self.tall(ground)), edge, ground

    def way_out(self, x: float, ground: float, at: float, side: int, speed: float) -> tuple[float, float, float]:
        time, edge, ground = self.way_in(x, ground, at, side, speed)
        return 2 * at - time, edge, ground

    def often(self, per_minute: float) -> int:
        """How many times something happens in this video."""
        return int(self.random.poisson(per_minute * self.plan.seconds / 60))

    # Ordinary life -----------------------------------------------------------------------------------------------

    def ordinary_life(self) -> None:
        moment = self.random.uniform
        for _ in range(1 + self.often(8)):
            self.passer(moment(-4, self.plan.seconds - 1), moment(0.65, 0.95))
        for _ in range(self.often(4)):
            self.passer(moment(0, self.plan.seconds - 1), moment(1.9, 2.7))
        for chance, act in ((0.2, self.group), (0.2, self.exercise), (0.15, self.ball), (0.2, self.crouch)):
            if self.random.random() < chance:
                act()
        self.traffic()
        if self.place.name != "corridor":
            for _ in range(self.often(3)):
                speed = moment(60, 140) * self.width / 192 * self.random.choice((-1, 1))
                y, number = moment(0.04, 0.2) * self.height, int(self.random.integers(2, 7))
                self.actors.append(Birds(moment(0, self.plan.seconds), speed, y, number, self.width))
        if self.random.random() < 0.4:
            self.bin(*self.somewhere())

    def passer(self, enters: float, speed: float) -> None:
        if self.place.name == "corridor" and self.random.random() < 0.6:
            far = 0.5 * self.width, 0.45 * self.height
            near = self.random.uniform(0.3, 0.7) * self.width, 1.4 * self.height
            ends = (far, near) if self.random.random() < 0.5 else (near, far)
            self.person([(enters, *ends[0]), (enters + 4.4 / speed, *ends[1])])
            return
        top, bottom = self.place.walks[int(self.random.integers(len(self.place.walks)))]
        ground = self.random.uniform(top, bottom) * self.height
        side = int(self.random.choice((-1, 1)))
        edges = [self.place.left * self.width, self.place.right * self.width][::-side]
        takes = abs(edges[1] - edges[0]) / (speed * self.tall(ground))
        self.person([(enters, edges[0], ground), (enters + takes, edges[1], ground)])

    def group(self) -> None:
        """Two or three people who talk."""
        x, ground = self.somewhere()
        number = int(self.random.integers(2, 4))
        for i in range(number):
            place = x + (i - (number - 1) / 2) * 0.42 * self.tall(ground), ground + 2.5 * (i % 2)
            self.person([(0, *place), (self.plan.seconds, *place)], facing=1 if i < number / 2 else -1)

    def exercise(self) -> None:
        self.stay("exercise", self.random.uniform(2, 6))

    def crouch(self) -> None:
        self.stay("crouch", self.random.uniform(2, 4))

    def stay(self, style: str, lasts: float) -> None:
        """Somebody comes, does something in one place, and goes."""
        x, ground = self.somewhere()
        start = self.random.uniform(0.3, max(self.plan.seconds - lasts, 0.4))
        side = int(self.random.choice((-1, 1)))
        path = [
            self.way_in(x, ground, start - 0.1, side, 0.85), (start, x, ground), (start + lasts, x, ground),
            self.way_out(x, ground, start + lasts + 0.1, -side, 0.85),
        ]  # fmt: skip
        self.person(path, -side, [Act(style, start, start + lasts)])

    def ball(self) -> None:
        x, ground = self.somewhere()
        for side in (-1, 1):
            place = x + side * 0.95 * self.tall(ground), ground
            self.person([(0, *place), (self.plan.seconds, *place)], -side, [Act("ball", 0, self.plan.seconds)])

    def bin(self, x: float, ground: float) -> None:
        h = 0.36 * self.tall(ground)
        color = self.some([(70, 84, 78), (60, 62, 70), (110, 92, 66)])
        light = (color[0] * 1.25, color[1] * 1.25, color[2] * 1.25)
        body = Part(x, ground - h / 2, 0.36 * h, h / 2, color, 0, 1.0)
        self.actors.append(Still([body, Part(x, ground - h, 0.42 * h, 0.07 * h, light, 0, 1.0)], ground))

    # Cars --------------------------------------------------------------------------------------------------------

    def car_length(self, ground: float) -> float:
        return 1.5 * self.tall(ground)

    def new_car(self, ground: float, facing: int) -> Car:
        return Car(CAR_PAINT[int(self.random.integers(len(CAR_PAINT)))], self.car_length(ground), facing)

    def traffic(self) -> None:
        """Cars one after another in each lane, never while a crash blocks the road."""
        blocked = [event.segment for event in self.plan.events if event.kind == "car crash"]
        for ground, direction in self.place.lanes:
            y = ground * self.height
            enters = self.random.uniform(-1, 4)
            while enters < self.plan.seconds:
                length = self.car_length(y)
                fast = self.random.random() < 0.2
                speed = length * (self.random.uniform(2.4, 3.2) if fast else self.random.uniform(0.8, 1.6))
                takes = (self.width + 2 * length) / speed
                if all(enters > wreck.end + 3 or enters + takes < wreck.start - 1.5 for wreck in blocked):
                    ends = (-length, self.width + length)[::direction]
                    keys = [(enters, ends[0], y, 0.0), (enters + takes, ends[1], y, 0.0)]
                    self.actors.append(Driver(self.new_car(y, direction), keys))
                enters += takes + self.random.uniform(0.5, 6)

    # Events ------------------------------------------------------------------------------------------------------

    def fight(self, when: Segment) -> None:
        """Two or three people meet, fight, and part."""
        x, ground = self.somewhere()
        tall = self.tall(ground)
        known = self.random.random() < 0.4
        seats = [(-0.2, 0.0, -1), (0.2, 1.0, 1), (0.42, -3.0, 1)][: 2 + int(self.random.random() < 0.5)]
        for offset, down, side in seats:
            spot = x + offset * tall, ground + down * self.height / 144
            near = spot[0] + self.random.uniform(-0.15, 0.15) * tall, spot[1]
            enters = self.way_in(*spot, when.start - 0.04, side, self.random.uniform(0.8, 1.2))
            path = [(0.0, spot[0] + 0.15 * side * tall, spot[1]) if known else enters, (when.start, *spot)]
            path += [(when.end, *near), self.way_out(*near, when.end + 0.04, side, self.random.uniform(0.8, 2.2))]
            self.person(path, -side, [Act("fight", when.start, when.end)])

    def fall(self, when: Segment) -> None:
        """Somebody walks, falls, lies, gets up in the last second, and walks on."""
        x, ground = self.somewhere()
        side = int(self.random.choice((-1, 1)))
        path = [
            self.way_in(x, ground, when.start, side, 0.85), (when.start, x, ground), (when.end, x, ground),
            self.way_out(x, ground, when.end + 0.04, -side, 0.6),
        ]  # fmt: skip
        self.person(path, -side, [Act("fall", when.start, when.end)])

    def crash(self, when: Segment) -> None:
        """Head-on where there are two lanes, or from behind; the wrecks stand askew until they are moved away."""
        head_on = len(self.place.lanes) > 1 and self.random.random() < 0.6
        lane, forward = self.place.lanes[-1]
        x, y = self.random.uniform(0.4, 0.6) * self.width, lane * self.height
        length, swing = self.car_length(y), self.random.uniform(0.2, 0.5, 2)
        other = self.place.lanes[0][0] * self.height + 0.03 * self.height if head_on else y
        swerve = other + 0.02 * self.height if head_on else y
        self.wreck(when, x - 0.46 * length * forward, y, swerve, forward, -swing[0] * forward, -0.03)
        if head_on:
            self.wreck(when, x + 0.46 * length * forward, other, other, -forward, swing[1] * forward, -0.06)
        else:
            self.wreck(when, x + 0.47 * length * forward, y, y, forward, 0.7 * swing[1] * forward, 0.05)
        self.actors.append(Debris(x, swerve, when.start, when.end + 0.2, 0.6 * length, self.random))
        steam = Fire(x, swerve, 0.35 * length, when.start + 0.1, when.end + 0.4, self.texture, 0.0, (176, 176, 178))
        self.actors.append(steam)

    def wreck(
        self, when: Segment, x: float, lane: float, contact: float, facing: int, angle: float, push: float
    ) -> None:
        """A car from its lane to the contact line at ``when.start``, askew until ``when.end``, then out of the picture.

        ``push`` in car lengths along its nose: positive for the one that is hit from behind, which drives off forward;
        the others back out.
        """
        length = self.car_length(lane)
        stopped = push > 0
        speed = length * (0.25 if stopped else self.random.uniform(1.6, 2.6))
        begin = -length if facing > 0 else self.width + length
        thrown = x + push * length * facing
        out = facing if stopped else -facing
        gone = self.width + length if out > 0 else -length
        leaves = when.end + 0.5 + abs(gone - thrown) / (1.2 * length)
        keys = [
            (when.start - max(abs(x - begin) / speed, 0.6), begin, lane, 0.0),
            (when.start - 0.5, x - 0.5 * speed * facing, lane, 0.0),
            (when.start, x, contact, 0.0),
            (when.start + 0.16, x + 0.6 * push * length * facing, contact, 0.75 * angle),
            (when.start + 0.6, thrown, contact, angle),
            (when.end, thrown, contact, angle),
            (when.end + 0.5, thrown, lane, 0.0),
            (leaves, gone, lane, 0.0),
        ]
        self.actors.append(Driver(self.new_car(lane, facing), keys))

    def fire(self, when: Segment) -> None:
        """A bin or a standing car burns, or only smoulders."""
        x, ground = self.somewhere()
        tall = self.tall(ground)
        smoulders = self.random.random() < 0.25
        if self.place.lanes and self.random.random() < 0.35:
            ground = (self.place.walks[-1][0] - 0.02) * self.height
            keys = [(0.0, x, ground, 0.0), (self.plan.seconds, x, ground, 0.0)]
            self.actors.append(Driver(self.new_car(ground, 1), keys, lights=False))
            base, size = ground - 0.35 * tall, self.random.uniform(0.65, 0.95) * tall
        else:
            self.bin(x, ground)
            base, size = ground - 0.26 * tall, self.random.uniform(0.7, 1.15) * tall
        flames = 0.42 if smoulders else 1.0
        self.actors.append(Fire(x, base, size, when.start, when.end, self.texture, flames, foot=ground))


def plan_collection(
    *,
    seed: int = 0,
    videos_per_class: int = 6,
    normal_videos: int | None = None,
    seconds: float = 8.0,
    frame_rate: float = 25.0,
    size: tuple[int, int] = (144, 192),
    places: Sequence[str] = PLACES,
    lights: Sequence[str] = LIGHTS,
    test_share: float = 0.34,
) -> list[tuple[Label, VideoPlan]]:
    """Videos of every kind, whose ids are ``<class>/<name>.mp4``, and the truth about each.

    ``normal_videos`` is twice ``videos_per_class`` unless given. The last ``test_share`` of each class is marked
    ``test``, the others ``train``.
    """
    counts = dict.fromkeys(KINDS, videos_per_class)
    counts[NORMAL] = 2 * videos_per_class if normal_videos is None else normal_videos
    planned = []
    for kind, count in counts.items():
        num_test = round(count * test_share)
        for i in range(count):
            plan = plan_video(
                kind, seed=1000 * seed + i, seconds=seconds, frame_rate=frame_rate, size=size, places=places,
                lights=lights,
            )  # fmt: skip
            video_id = f"{kind}/{kind.replace(' ', '_')}_{i:03d}.mp4"
            planned.append((plan.label(video_id, "test" if i >= count - num_test else "train"), plan))
    return planned


def render_collection(
    folder: Path, *, processes: int = 1, progress: Progress | None = None, **options: Any
) -> list[Label]:
    """Writes the videos of ``plan_collection(**options)`` to ``folder/<id>`` and returns the truth.

    A file that is there already is left alone, so that an interrupted run goes on where it stopped; remove the folder
    to render with other options.
    """
    planned = plan_collection(**options)
    plans = {Path(folder) / label.video_id: plan for label, plan in planned}
    render_files(plans, processes=processes, progress=progress)
    return [label for label, _ in planned]


def render_files(plans: Mapping[Path, VideoPlan], *, processes: int = 1, progress: Progress | None = None) -> None:
    """Writes each video whose file is not there yet, the longest first; see ``make_files``."""
    longest_first = sorted(plans.items(), key=lambda item: -item[1].num_frames)
    jobs = {path: partial(write_planned, path, plan) for path, plan in longest_first}
    make_files(jobs, "render", "videos", processes=processes, progress=progress)


def write_planned(path: Path, plan: VideoPlan) -> None:
    """One video, complete or not at all."""
    from vidlang.video.writer import write_video

    write_video(path, render(plan), plan.frame_rate, options=CODING)
