"""How people hold themselves: joint angles at a time, and the shapes that a body makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidlang.demo.raster import Color, Part, disc, limb


def smooth_step(value: float) -> float:
    """0 up to 0, 1 from 1, smooth between."""
    value = min(max(value, 0.0), 1.0)
    return value * value * (3 - 2 * value)


def jitter(seconds: float, frequency: float, phase: float) -> float:
    """An irregular oscillation in [-1, 1]: three incommensurate sines, pushed towards its extremes."""
    wave = np.sin(2 * np.pi * frequency * seconds + phase)
    wave += 0.8 * np.sin(2 * np.pi * 1.618 * frequency * seconds + 2.3 * phase)
    wave += 0.5 * np.sin(2 * np.pi * 0.414 * frequency * seconds + 3.1 * phase)
    return float(np.tanh(1.4 * wave))


@dataclass
class Pose:
    """Joint angles in radians from hanging down, positive towards where the person looks; far limb first."""

    thighs: tuple[float, float] = (0.0, 0.0)
    knees: tuple[float, float] = (0.0, 0.0)
    """Bent backwards."""
    shoulders: tuple[float, float] = (0.1, -0.1)
    elbows: tuple[float, float] = (0.2, 0.2)
    """Bent forwards."""
    lean: float = 0.0
    body: float = 0.0
    """The whole body turned around its feet: 0 upright, pi / 2 lying on the face."""
    shift: float = 0.0
    lift: float = 0.0
    """Body heights forward and upward."""


def walking(distance: float, speed: float, phase: float) -> Pose:
    """``distance`` in body heights; more than about 1.6 of them a second is a run."""
    run = smooth_step((speed - 1.1) / 0.9)
    swing = np.sin(2 * np.pi * distance / (0.85 + 0.5 * run) + phase)
    reach = 0.48 + 0.3 * run
    bend = tuple(0.25 + 0.75 * run + side * (0.25 + 0.3 * run) * np.cos(np.arcsin(swing)) for side in (-1, 1))
    arms = 0.4 + 0.5 * run
    return Pose(
        (reach * swing, -reach * swing), (max(bend[0], 0.05), max(bend[1], 0.05)),
        (-arms * swing, arms * swing), (0.25 + 1.2 * run,) * 2, lean=0.03 + 0.2 * run,
    )  # fmt: skip


def standing(seconds: float, phase: float) -> Pose:
    """Talks with a hand now and then."""
    talk = max(0.0, np.sin(0.9 * seconds + phase)) * (0.6 + 0.3 * np.sin(5 * seconds + phase))
    return Pose((0.06, -0.06), (0.05, 0.05), (0.1 + talk, -0.1), (0.3 + talk, 0.2), lean=0.03 * np.sin(seconds + phase))


def fighting(since: float, left: float, phase: float) -> Pose:
    """Punches, kicks and shoves without a rhythm."""
    grip = smooth_step(since / 0.25) * smooth_step(left / 0.25)
    punch = tuple(1.25 + 0.75 * jitter(since, 1.9 + 0.5 * arm, phase + 2.1 * arm) for arm in (0, 1))
    elbows = tuple(0.75 + 0.75 * jitter(since, 2.4 - 0.4 * arm, phase + arm) for arm in (0, 1))
    kick = max(0.0, jitter(since, 0.55, 1.7 * phase) - 0.35) * 1.7
    return Pose(
        (grip * (0.45 + kick), -0.4 * grip), (0.45 * grip, 0.35 * grip), (grip * punch[0], grip * punch[1]),
        (elbows[0], elbows[1]), lean=grip * (0.15 + 0.35 * jitter(since, 0.9, phase)),
        shift=0.16 * grip * jitter(since, 1.1, phase + 1), lift=0.03 * grip * abs(jitter(since, 1.6, phase)),
    )  # fmt: skip


def falling(since: float, left: float, phase: float) -> Pose:
    """Goes down, lies with a little movement, gets up in the last second. The phase decides how fast."""
    down = smooth_step(since / (0.5 if np.sin(phase) > 0 else 1.3)) * smooth_step((left + 0.1) / 1.0)
    flail = np.sin(np.pi * down)
    twitch = 0.05 * np.sin(3 * since + phase)
    return Pose(
        (0.25 * down + 0.3 * flail, -0.1), (0.5 * down, 0.3 * down), (0.5 * down + 1.4 * flail + twitch, -0.3 + flail),
        (0.5, 0.3), lean=0.12 * down, body=1.5 * down,
    )  # fmt: skip


def crouching(since: float, left: float, phase: float) -> Pose:
    """Kneels down to a shoe and rises: low like a fallen person, and nothing is wrong."""
    low = smooth_step(since / 0.8) * smooth_step(left / 0.8)
    return Pose(
        (1.5 * low, 0.5 * low), (1.9 * low, 1.9 * low), (0.8 * low + 0.1 * np.sin(6 * since + phase), 0.7 * low),
        (0.3, 0.3), lean=0.6 * low,
    )  # fmt: skip


def exercising(since: float, left: float, phase: float) -> Pose:
    """Jumping jacks and swinging arms: as fast as a fight, but regular and alone."""
    beat = np.sin(2 * np.pi * 1.4 * since + phase)
    return Pose(
        (0.3 + 0.25 * beat, -0.3 - 0.25 * beat), (0.05, 0.05), (1.5 + 1.4 * beat, -1.5 - 1.4 * beat), (0.1, -0.1),
        lift=0.06 * max(0.0, beat),
    )  # fmt: skip


def dodging(since: float, left: float, phase: float) -> Pose:
    """Throws and catches a ball: quick steps and arms, two people apart."""
    throw = max(0.0, np.sin(2 * np.pi * 0.6 * since + phase))
    step = np.sin(2 * np.pi * 1.3 * since + phase)
    return Pose(
        (0.3 * step, -0.3 * step), (0.3, 0.3), (0.3 + 2.0 * throw, 0.6), (0.6 * (1 - throw), 0.7), shift=0.1 * step
    )


POSES = {"fight": fighting, "fall": falling, "crouch": crouching, "exercise": exercising, "ball": dodging}


def figure(
    pose: Pose, x: float, ground: float, tall: float, facing: int, colors: tuple[Color, Color, Color, Color]
) -> list[Part]:
    """The shapes of a person, far limbs first. Lengths are shares of the body height."""
    skin, hair, upper, lower = colors

    def reach(start: tuple[float, float], angle: float, length: float) -> tuple[float, float]:
        return start[0] + length * float(np.sin(angle)), start[1] - length * float(np.cos(angle))

    drops = [0.25 * np.cos(a) + 0.24 * np.cos(a - b) for a, b in zip(pose.thighs, pose.knees, strict=True)]
    hip = (pose.shift, float(max(drops)) + pose.lift)
    neck = reach(hip, np.pi - pose.lean, 0.31)
    head = reach(neck, np.pi - pose.lean, 0.105)
    chest = reach(neck, -pose.lean, 0.05)
    c, s = np.cos(pose.body), np.sin(pose.body)

    def screen(point: tuple[float, float]) -> tuple[float, float]:
        px, py = point[0] * c + point[1] * s, point[1] * c - point[0] * s + 0.07 * s
        return x + facing * px * tall, ground - py * tall

    def two(start: tuple[float, float], angles: tuple[float, float], lengths: tuple[float, float], radius: float,
            tints: tuple[Color, Color]) -> list[Part]:  # fmt: skip
        joint = reach(start, angles[0], lengths[0])
        end = reach(joint, angles[1], lengths[1])
        return [
            limb(screen(start), screen(joint), radius * tall, tints[0]),
            limb(screen(joint), screen(end), radius * 0.82 * tall, tints[1]),
        ]

    def shade(color: Color, gain: float) -> Color:
        return color[0] * gain, color[1] * gain, color[2] * gain

    parts: list[Part] = []
    arms, legs = [], []
    for side, gain in ((0, 0.72), (1, 0.95)):
        thigh, upper_arm = pose.thighs[side], pose.shoulders[side]
        trousers, sleeve = shade(lower, gain), shade(upper, gain)
        legs.append(two(hip, (thigh, thigh - pose.knees[side]), (0.25, 0.22), 0.05, (trousers, trousers)))
        angles = upper_arm, upper_arm + pose.elbows[side]
        arms.append(two(chest, angles, (0.17, 0.17), 0.04, (sleeve, shade(skin, gain))))
    top = reach(neck, -pose.lean, 0.03)
    parts += arms[0] + legs[0] + legs[1] + [limb(screen(hip), screen(top), 0.078 * tall, upper)]
    parts += [disc(*screen(reach(head, np.pi - pose.lean, 0.02)), 0.068 * tall, hair)]
    parts += [disc(*screen((head[0] + 0.018, head[1] - 0.008)), 0.056 * tall, skin)]
    return parts + arms[1]
