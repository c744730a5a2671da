"""Schematic chest X-rays: drawn from numbers alone, so that nobody has to be protected.

A chest is drawn once per patient as a map of how bright film shows each place; a pose (turn, shift, zoom) and
an exposure (brightness, contrast, noise) make as many images of it as wanted. Anatomy is simplified on
purpose: it has to look and behave like a frontal chest X-ray to a network, not to a radiologist.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from PIL import Image

from medimg_cli.sample_data.phantoms import anatomy
from medimg_cli.sample_data.phantoms.anatomy import DRAWN_PX, REACH, Frame, Map

SIDE_PX = 256
_ENLARGED = 1.5
_NODULE_RADIUS, _NODULE_STRENGTH = 0.06, 0.5


@dataclass(frozen=True)
class Opacity:
    """A soft consolidation in a lung.

    Args:
        x, y: its centre, in units of half the image's side from the middle; y points down.
        radius: where it has faded to 60 %, in the same unit.
        strength: how much it lightens the lung, 0..1 of the full range.
    """

    x: float
    y: float
    radius: float
    strength: float


@dataclass(frozen=True)
class Chest:
    """One patient's anatomy.

    Args:
        density: (280, 280) float32, about 0 (air) to 1 (bone), seen from the front.
        opacities: what makes it a case; empty for a healthy chest.
    """

    density: Map
    opacities: tuple[Opacity, ...]


@dataclass(frozen=True)
class Pose:
    """How a patient stands before the detector: `turn` in degrees, shifts in half sides, zooms as factors."""

    turn: float
    shift_x: float
    shift_y: float
    zoom_x: float
    zoom_y: float

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Return where a place of the anatomy lies in the image, in units of half its side."""
        angle = np.deg2rad(self.turn)
        x, y = x * self.zoom_x, y * self.zoom_y
        turned_x = x * np.cos(angle) - y * np.sin(angle)
        turned_y = x * np.sin(angle) + y * np.cos(angle)
        return float(turned_x + self.shift_x), float(turned_y + self.shift_y)


def draw_chest(
    generator: Generator, *, diseased: bool, enlarged_heart: bool = False, nodule: bool = False
) -> Chest:
    """Return a random chest, with one to three opacities when `diseased`.

    The anatomy is drawn first, so that it does not depend on the disease.

    Args:
        enlarged_heart: the heart is half as wide again.
        nodule: one small, dense opacity is there as well.
    """
    frame = anatomy.draw_frame(generator)
    if enlarged_heart:
        frame = replace(frame, heart_width=frame.heart_width * _ENLARGED)
    x, y = anatomy.grid()
    lungs = anatomy.lungs(frame, x, y)
    density = _healthy(frame, x, y, lungs, generator)
    opacities = _draw_opacities(frame, generator) if diseased else ()
    if nodule:
        opacities += (
            replace(_draw_opacity(frame, generator), radius=_NODULE_RADIUS, strength=_NODULE_STRENGTH),
        )
    for opacity in opacities:
        density += _shadow(opacity, x, y, generator) * (0.15 + 0.85 * lungs)
    return Chest(density.astype(np.float32), opacities)


def draw_pose(generator: Generator) -> Pose:
    """Return a random pose, as patients are placed by hand."""
    zoom = generator.uniform(0.94, 1.08)
    return Pose(
        turn=float(generator.normal(0.0, 2.2)),
        shift_x=float(generator.normal(0.0, 0.035)),
        shift_y=float(generator.normal(0.0, 0.035)),
        zoom_x=float(zoom * generator.uniform(0.98, 1.02)),
        zoom_y=float(zoom * generator.uniform(0.96, 1.04)),
    )


def expose(chest: Chest, pose: Pose, generator: Generator) -> Map:
    """Return an image of `chest`: (256, 256) float32 in 0..1, black air, white bone.

    Brightness and contrast are drawn at random and set for the whole image, so they say nothing about the
    disease.
    """
    seen = _project(chest.density, pose)
    seen = (seen - seen.mean()) / seen.std()
    seen = np.sign(seen) * np.abs(seen) ** generator.uniform(0.8, 1.25)
    image = generator.uniform(0.42, 0.58) + generator.uniform(0.20, 0.26) * seen
    grain = generator.standard_normal(image.shape, dtype=np.float32)
    image += generator.uniform(0.012, 0.03) * grain * np.sqrt(np.clip(image, 0.05, 1.0))
    return np.asarray(np.clip(image, 0.0, 1.0), dtype=np.float32)


def _healthy(frame: Frame, x: Map, y: Map, lungs: Map, generator: Generator) -> Map:
    """Return the density of a chest without a disease, organ over organ."""
    body = anatomy.body(frame, x, y)
    density = body * (0.60 - 0.10 * (x / frame.half_width) ** 2)
    density += 0.10 * body * anatomy.step(y - frame.diaphragm_right_y, 0.12)
    density -= lungs * (0.50 - frame.haze) * (0.85 + 0.15 * np.cos(3.0 * (y + 0.2)))
    density += lungs * anatomy.vessels(generator)
    density += body * (
        anatomy.ribs(frame, x, y) + anatomy.clavicles(frame, x, y) + anatomy.spine(frame, x, y)
    )
    density = anatomy.overlay(density, anatomy.heart(frame, x, y), 0.66)
    density += body * (0.03 * anatomy.cloud(generator, 10) + 0.02 * anatomy.cloud(generator, 40))
    return density


def _draw_opacities(frame: Frame, generator: Generator) -> tuple[Opacity, ...]:
    count = int(generator.choice([1, 2, 3], p=[0.55, 0.3, 0.15]))
    return tuple(_draw_opacity(frame, generator) for _ in range(count))


def _draw_opacity(frame: Frame, generator: Generator) -> Opacity:
    """Return one opacity inside a lung: below the narrow apex, clear of the heart, above the diaphragm."""
    side = float(generator.choice([-1.0, 1.0]))
    y = float(generator.uniform(frame.apex_y + 0.38, frame.diaphragm_right_y - frame.dome - 0.08))
    nearest = 0.28 if side < 0 or y < -0.1 else frame.heart_x + frame.heart_width + 0.04
    x = side * float(generator.uniform(nearest, max(nearest + 0.04, frame.half_width - 0.18)))
    return Opacity(
        x=x, y=y, radius=float(generator.uniform(0.11, 0.21)), strength=float(generator.uniform(0.26, 0.38))
    )


def _shadow(opacity: Opacity, x: Map, y: Map, generator: Generator) -> Map:
    """Return what an opacity adds: a ragged, stretched blob that fades into the lung."""
    angle, stretch = generator.uniform(0, np.pi), generator.uniform(0.75, 1.3)
    along = (x - opacity.x) * np.cos(angle) + (y - opacity.y) * np.sin(angle)
    across = (y - opacity.y) * np.cos(angle) - (x - opacity.x) * np.sin(angle)
    distance = np.hypot(along / stretch, across * stretch) / opacity.radius
    ragged = distance * (1 + 0.16 * anatomy.cloud(generator, 14))
    return np.asarray(opacity.strength * np.exp(-0.5 * np.clip(ragged, 0, None) ** 2.6), dtype=np.float32)


def _project(density: Map, pose: Pose) -> Map:
    """Return the part of the drawing the detector sees, (256, 256)."""
    angle = np.deg2rad(pose.turn)
    to_drawing = DRAWN_PX / (2 * REACH)
    step = 2.0 / SIDE_PX
    # From output pixel to drawn pixel: undo the shift, then the turn, then the zoom.
    rows = []
    for zoom, cosine, sine in (
        (pose.zoom_x, np.cos(angle), np.sin(angle)),
        (pose.zoom_y, -np.sin(angle), np.cos(angle)),
    ):
        factor = to_drawing / zoom
        offset = factor * (cosine * (-1 - pose.shift_x) + sine * (-1 - pose.shift_y)) + DRAWN_PX / 2
        rows += [factor * cosine * step, factor * sine * step, offset]
    seen = Image.fromarray(density).transform(
        (SIDE_PX, SIDE_PX), Image.Transform.AFFINE, tuple(rows), resample=Image.Resampling.BICUBIC
    )
    return np.asarray(seen, dtype=np.float32)
