"""The anatomy of a schematic chest: where skin, lungs, heart, spine, ribs and vessels lie, seen from the front.

Places are maps `x` and `y`, (280, 280), in units of half the image's side from the middle; x points to the
image's right (the patient's left), y down.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Map = NDArray[np.floating[Any]]

DRAWN_PX = 280
REACH = 1.25  # the drawing covers -1.25..1.25, the image -1..1: a turned image has no empty corners


@dataclass(frozen=True)
class Frame:
    """The proportions of one chest: lengths in half sides of the image, contrasts in its full range.

    Args:
        diaphragm_right_y, diaphragm_left_y: of the patient's right and left side, where the domes end.
        haze: how much soft tissue before the lungs lightens them.
    """

    half_width: float
    apex_y: float
    diaphragm_right_y: float
    diaphragm_left_y: float
    dome: float
    heart_x: float
    heart_width: float
    heart_height: float
    rib_gap: float
    rib_slope: float
    rib_contrast: float
    shoulder_y: float
    haze: float


def draw_frame(generator: Generator) -> Frame:
    diaphragm = generator.uniform(0.56, 0.74)
    return Frame(
        half_width=generator.uniform(0.70, 0.84),
        apex_y=generator.uniform(-0.84, -0.72),
        diaphragm_right_y=diaphragm,
        diaphragm_left_y=diaphragm + generator.uniform(0.0, 0.09),
        dome=generator.uniform(0.13, 0.24),
        heart_x=generator.uniform(0.08, 0.16),
        heart_width=generator.uniform(0.26, 0.36),
        heart_height=generator.uniform(0.32, 0.42),
        rib_gap=generator.uniform(0.155, 0.19),
        rib_slope=generator.uniform(0.20, 0.42),
        rib_contrast=generator.uniform(0.07, 0.13),
        shoulder_y=generator.uniform(-0.86, -0.74),
        haze=generator.uniform(0.0, 0.19),
    )


def grid() -> tuple[Map, Map]:
    axis = np.linspace(-REACH, REACH, DRAWN_PX, dtype=np.float32)
    return axis[None, :].repeat(DRAWN_PX, axis=0), axis[:, None].repeat(DRAWN_PX, axis=1)


def step(distance: Map, softness: float) -> Map:
    """Return 0..1: a border blurred over about `softness`, 1 where `distance` is positive."""
    return np.asarray(0.5 + 0.5 * np.tanh(distance / (2 * softness)), dtype=np.float32)


def ridge(distance: Map, width: float) -> Map:
    return np.asarray(np.exp(-((distance / width) ** 2)), dtype=np.float32)


def overlay(density: Map, mask: Map, level: float) -> Map:
    """Return `density` with a solid organ of `level` over it, ribs still faintly visible through it."""
    solid = level + 0.45 * (density - density.mean())
    return np.asarray(density * (1 - mask) + np.maximum(density, solid) * mask, dtype=np.float32)


def cloud(generator: Generator, cells: int) -> Map:
    """Return smooth noise of about unit variance with `cells` cells a side."""
    coarse = Image.fromarray(generator.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((DRAWN_PX, DRAWN_PX), Image.Resampling.BICUBIC), dtype=np.float32)


def body(frame: Frame, x: Map, y: Map) -> Map:
    """Return a mask 0..1 of trunk, shoulders, arms and neck before the air around them."""
    width = frame.half_width + 0.13 + 0.05 * y
    trunk = step(width - np.abs(x), 0.022)
    arms = step(0.02 - (y - 0.55 * np.abs(x)) * 0.6, 0.05)
    shoulder_line = frame.shoulder_y + 0.42 * np.clip(np.abs(x) - 0.25, 0, None) ** 1.2
    neck = step(0.24 - np.abs(x), 0.03)
    return np.maximum(np.maximum(trunk, arms) * step(y - shoulder_line, 0.03), neck)


def lungs(frame: Frame, x: Map, y: Map) -> Map:
    """Return a mask 0..1 of both lungs: domed apex, rib cage outside, mediastinum inside, diaphragm below."""
    height = 0.35 - frame.apex_y
    upper = np.clip((0.35 - y) / height, 0, 1)
    cage = frame.half_width * np.sqrt(np.clip(1 - upper**2.2, 0, 1)) ** 0.85
    inner = 0.13 + 0.05 * ridge(y + 0.05, 0.25)
    centre = 0.44 * frame.half_width
    arch = np.clip(((np.abs(x) - centre) / (frame.half_width - centre)) ** 2, 0, 1.3)
    level = np.where(x < 0, frame.diaphragm_right_y, frame.diaphragm_left_y)
    floor = level - frame.dome * (1 - arch)
    sides = step(cage - np.abs(x), 0.012) * step(np.abs(x) - inner, 0.016)
    return sides * step(y - frame.apex_y, 0.02) * step(floor - y, 0.012)


def heart(frame: Frame, x: Map, y: Map) -> Map:
    """Return a mask 0..1 of heart, great vessels and aortic knob; the heart's tip points to the image's right."""
    heart_y = frame.diaphragm_left_y - frame.dome - frame.heart_height * 0.6
    tilted = x - frame.heart_x - 0.22 * (y - heart_y)
    heart = step(1 - (tilted / frame.heart_width) ** 2 - ((y - heart_y) / frame.heart_height) ** 2, 0.07)
    trunk = step(0.15 - np.abs(x - 0.015), 0.014) * step(y - frame.apex_y - 0.1, 0.08)
    knob = step(1 - ((x - 0.13) / 0.085) ** 2 - ((y + 0.30) / 0.10) ** 2, 0.12)
    return np.maximum(np.maximum(heart, trunk), knob)


def spine(frame: Frame, x: Map, y: Map) -> Map:
    """Return vertebrae on the midline and the dark windpipe before them."""
    column = step(0.085 - np.abs(x), 0.012)
    discs = 0.65 + 0.35 * np.tanh(3 * np.cos(2 * np.pi * y / (0.72 * frame.rib_gap)))
    windpipe = ridge(x, 0.042) * step(-0.22 - y, 0.03)
    return np.asarray(0.11 * column * discs - 0.13 * windpipe, dtype=np.float32)


def ribs(frame: Frame, x: Map, y: Map) -> Map:
    """Return ten pairs of ribs: the posterior arcs strong, the anterior ones faint and steeper."""
    cage = frame.half_width * (1.0 - 0.42 * np.clip((-0.1 - y) / 0.75, 0, 1) ** 2)
    inside = step(cage + 0.015 - np.abs(x), 0.012) * step(np.abs(x) - 0.07, 0.02)
    across = np.abs(x) / frame.half_width
    posterior = y - frame.apex_y - frame.rib_slope * across**2 + 0.16 * across
    anterior = y - frame.apex_y + frame.rib_slope * 1.5 * (across - 0.75) + 0.05
    in_front = step(across - 0.35, 0.08)
    arcs = _bars(posterior, frame.rib_gap) + 0.45 * _bars(anterior, frame.rib_gap * 1.12) * in_front
    under_diaphragm = step(y - frame.diaphragm_right_y + 0.5 * frame.dome, 0.06)
    return np.asarray(frame.rib_contrast * arcs * inside * (1 - 0.7 * under_diaphragm), dtype=np.float32)


def _bars(along: Map, gap: float) -> Map:
    """Return bars 0..1 that repeat every `gap`, with brighter edges, as a rib's cortex shows."""
    within = np.abs(np.mod(along, gap) / gap - 0.5)
    bar = step(0.21 - within, 0.02)
    first_to_last = step(along, 0.01) * step(10 * gap - along, 0.01)
    return np.asarray((0.8 * bar + 0.4 * ridge(within - 0.19, 0.035)) * first_to_last, dtype=np.float32)


def clavicles(frame: Frame, x: Map, y: Map) -> Map:
    across = np.abs(x)
    line = frame.apex_y + 0.20 - 0.24 * across + 0.05 * np.sin(6 * across)
    return (
        0.15 * step(0.032 - np.abs(y - line), 0.008) * step(across - 0.12, 0.02) * step(0.85 - across, 0.05)
    )


def vessels(generator: Generator) -> Map:
    """Return the branching vessels of both lungs, brightest at the hilum, 0 to about 0.25."""
    picture = Image.new("L", (DRAWN_PX, DRAWN_PX))
    pen = ImageDraw.Draw(picture)
    for side in (-1.0, 1.0):
        for _ in range(13):
            start = (side * 0.17, generator.normal(-0.02, 0.05))
            heading = (0.0 if side > 0 else np.pi) + generator.uniform(-1.35, 1.35)
            _branch(pen, generator, start, heading, width=3.4, level=165.0)
    picture = picture.resize((DRAWN_PX // 2, DRAWN_PX // 2), Image.Resampling.BOX)
    blurred = picture.resize((DRAWN_PX, DRAWN_PX), Image.Resampling.BICUBIC)
    x, y = grid()
    hilum = ridge(np.hypot(np.abs(x) - 0.2, y - 0.02), 0.16)
    return np.asarray(np.asarray(blurred, dtype=np.float32) / 255 * 0.24 + 0.10 * hilum, dtype=np.float32)


def _branch(
    pen: ImageDraw.ImageDraw,
    generator: Generator,
    start: tuple[float, float],
    heading: float,
    *,
    width: float,
    level: float,
) -> None:
    """Draw one vessel outwards, thinner and fainter with every fork."""
    if width < 0.9 or level < 25:
        return
    length = generator.uniform(0.10, 0.19)
    end = (start[0] + length * math.cos(heading), start[1] + length * math.sin(heading))
    corners = [(coordinate / REACH + 1) * DRAWN_PX / 2 for coordinate in (*start, *end)]
    pen.line(corners, fill=int(level), width=max(1, round(width)))
    first = -1.0 if generator.random() < 0.5 else 1.0
    for turn in (first, -first) if generator.random() < 0.45 else (first,):
        onward = heading + turn * generator.uniform(0.12, 0.45)
        _branch(pen, generator, end, onward, width=width * 0.76, level=level * 0.80)
