"""Where a model saw evidence, drawn over the image as it was decoded.

The map is of the square that the network saw; the recipe padded, stretched or cut the image to make it, and all of that
is undone here, so that the warm places lie where they belong. What the network never saw is shaded.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.predictor import Predictor
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.preprocessing.recipe import Border, Recipe, find_border, with_channels
from medimg_cli.runs.run import ModelCard
from medimg_cli.workspace.plain_text import without_accents

MAX_PX = 1024
CLEAR = 0.08
"""Below this share of the full evidence the image stays as it is: a veil over all of it would hide more than it says."""
Heat = NDArray[np.float32]

# Dark blue to pale yellow over green: each step as much lighter as the last (CIE L* 22 to 93), never red beside green.
_STOPS = np.array(
    [
        (0.00, 45, 48, 120),
        (0.20, 36, 90, 146),
        (0.40, 22, 126, 142),
        (0.60, 52, 164, 116),
        (0.80, 148, 198, 70),
        (1.00, 252, 231, 92),
    ]
)
_OPAQUE = 0.62  # the image still shows through the warmest place
_SHADED = 0.45  # brightness of what the network never saw
_OUTLINE = 0.5  # share of the full evidence around which a line is drawn


@dataclass(frozen=True)
class Placement:
    """Where the network's square lies in the decoded image, in its pixels; it may reach beyond the image.

    Args:
        left, top, width, height: of the square.
        seen: left, top, right, bottom of what the network was shown of the image.
    """

    left: float
    top: float
    width: float
    height: float
    seen: tuple[float, float, float, float]


def evidence(card: ModelCard, maps: NDArray[np.float32], label: str) -> Heat:
    """Return the evidence (h, w) for a class: positive where the image speaks for it, negative where against.

    Of one class of several it is the class's map less the mean of the others', since only differences of logits
    count; of grades, what speaks for this grade or a higher one (against any, for the lowest).

    Args:
        maps: (C, h, w) of one image, see `inference.onnx_network.Seen`.
        label: one of the card's classes.
    """
    index = card.classes.index(label)
    if card.answers == "sigmoid":
        return np.asarray(maps[index], dtype=np.float32)
    if card.answers == "ordinal":
        return np.asarray(maps[:index].sum(axis=0) if index else -maps[0], dtype=np.float32)
    others = np.delete(maps, index, axis=0)
    return np.asarray(maps[index] - others.mean(axis=0), dtype=np.float32)


def gives_maps(predictor: Predictor) -> bool:
    """Return whether a model gives class maps; a black image is asked."""
    recipe = predictor.card.recipe
    blank = np.zeros((1, recipe.size_px, recipe.size_px, recipe.channels), dtype=recipe.dtype)
    return predictor.answer(blank, maps=True).maps is not None


def overlay(
    image: DecodedImage, recipe: Recipe, heat: Heat, *, full: float | None = None, max_px: int = MAX_PX
) -> Image.Image:
    """Return the decoded image (RGB) with the positive evidence over it; where there is little, the image alone.

    Args:
        heat: (h, w) evidence on the network's square.
        full: the evidence that has the last colour, so that colours mean the same in all images; None: the image's own
            highest.
        max_px: the longer side at most.
    """
    return overlaid(image, recipe, heat, plain(image, max_px=max_px), full=full)


def overlaid(
    image: DecodedImage, recipe: Recipe, heat: Heat, base: Image.Image, *, full: float | None = None
) -> Image.Image:
    """Return `base`, a picture of the whole image of any size, with the evidence over it; see `overlay`."""
    placement = place(image, recipe)
    strength = strength_of(spread(heat, placement, image, base.size), full)
    return Image.fromarray(_blend(np.asarray(base), strength, _unseen(placement, image, base.size)))


def plain(image: DecodedImage, *, max_px: int = MAX_PX, enlarged: bool = False) -> Image.Image:
    """Return the decoded image as RGB, its longer side at most `max_px`, or, `enlarged`, just that."""
    pixels = image.as_uint8()
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    longer = max(picture.size)
    if longer > max_px or enlarged:
        size = (
            max(1, round(picture.width * max_px / longer)),
            max(1, round(picture.height * max_px / longer)),
        )
        way = Image.Resampling.BOX if longer > max_px else Image.Resampling.BICUBIC
        picture = picture.resize(size, way)
    return picture.convert("RGB")


def place(image: DecodedImage, recipe: Recipe) -> Placement:
    """Return where the square of `recipe.apply(image)` lies in the image; the same geometry as `Recipe` has."""
    border = Border()
    if recipe.border_crop:
        shown = image.as_uint8() if recipe.bits == 8 else image.pixels
        border = find_border(with_channels(shown, recipe.channels))
    width = float(image.width - border.left - border.right)
    height = float(image.height - border.top - border.bottom)
    if image.extent is not None and not border:
        width, height = image.extent
    left, top = float(border.left), float(border.top)
    inside = (left, top, left + width, top + height)
    if recipe.resize_mode == "stretch" or width == height:
        return Placement(left, top, width, height, inside)
    if recipe.resize_mode == "crop":
        edge = min(width, height)
        left, top = left + (width - edge) / 2, top + (height - edge) / 2
        return Placement(left, top, edge, edge, (left, top, left + edge, top + edge))
    return _letterbox(recipe.size_px, inside)


def _letterbox(side: int, inside: tuple[float, float, float, float]) -> Placement:
    """Return the square that pads the inside of an image; both sides are rounded to whole pixels of the square."""
    left, top, right, bottom = inside
    width, height = right - left, bottom - top
    scale = side / max(width, height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    across, down = width / inner[0], height / inner[1]  # image pixels a pixel of the square
    before = ((side - inner[0]) // 2, (side - inner[1]) // 2)
    return Placement(left - before[0] * across, top - before[1] * down, side * across, side * down, inside)


def spread(heat: Heat, placement: Placement, image: DecodedImage, size: tuple[int, int]) -> Heat:
    """Return the evidence (H, W) at every pixel of a picture of `size` (width, height) that shows the whole image."""
    columns = _weights(
        heat.shape[1], _centres(size[0], image.width, placement.left, placement.width) * heat.shape[1]
    )
    rows = _weights(
        heat.shape[0], _centres(size[1], image.height, placement.top, placement.height) * heat.shape[0]
    )
    return np.asarray(rows @ heat @ columns.T, dtype=np.float32)


def strength_of(heat: Heat, full: float | None) -> Heat:
    """Return the positive evidence in 0..1 of what has full colour; 0 everywhere where there is none."""
    highest = float(heat.max()) if full is None else full
    if highest <= 0:
        return np.zeros_like(heat)
    return np.asarray(np.clip(heat / highest, 0, 1), dtype=np.float32)


def colours(strength: Heat) -> NDArray[np.uint8]:
    """Return the colour (..., 3) of strengths 0..1."""
    layers = [np.interp(strength, _STOPS[:, 0], _STOPS[:, layer]) for layer in (1, 2, 3)]
    return np.asarray(np.rint(np.stack(layers, axis=-1)), dtype=np.uint8)


def _centres(count: int, image_px: int, start: float, length: float) -> NDArray[np.float64]:
    """Return where the centres of `count` pixels over an image side lie on the square, 0..1 inside of it."""
    return ((np.arange(count) + 0.5) * image_px / count - start) / length


def _weights(places: int, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each place of a row of a map adds at each position, (positions, places); rows sum to 1.

    Cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711): smooth where a coarse map is drawn large, and at the
    centre of a place its own value. Beyond the outermost centres their values go on.
    """
    reach = 2  # places that the kernel sees on either side; the outermost ones stand for those beyond the map
    centres = np.arange(-reach, places + reach) + 0.5
    distance = np.abs(np.clip(positions, 0.5, places - 0.5)[:, None] - centres)
    near = 1 - 2.5 * distance**2 + 1.5 * distance**3
    far = 2 - 4 * distance + 2.5 * distance**2 - 0.5 * distance**3
    kernel = np.where(distance < 1, near, np.where(distance < reach, far, 0.0))
    weights: NDArray[np.float64] = kernel[:, reach:-reach].copy()
    weights[:, 0] += kernel[:, :reach].sum(axis=1)
    weights[:, -1] += kernel[:, -reach:].sum(axis=1)
    return weights


def _unseen(placement: Placement, image: DecodedImage, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels (H, W) of the picture the network was not shown."""
    left, top, right, bottom = placement.seen
    across = (np.arange(size[0]) + 0.5) * image.width / size[0]
    down = (np.arange(size[1]) + 0.5) * image.height / size[1]
    outside: NDArray[np.bool_] = ((across < left) | (across > right))[None, :] | (
        (down < top) | (down > bottom)
    )[:, None]
    return outside


def _blend(base: NDArray[np.uint8], strength: Heat, unseen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    opacity = _OPAQUE * np.clip((strength - CLEAR) / (_OUTLINE - CLEAR), 0, 1)[..., None]
    mixed = base * (1 - opacity) + colours(strength) * opacity
    mixed[_outline(strength >= _OUTLINE)] = (255, 255, 255)
    mixed[unseen] = base[unseen] * _SHADED
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels inside a region that touch what is not in it."""
    core = inside.copy()
    core[1:] &= inside[:-1]
    core[:-1] &= inside[1:]
    core[:, 1:] &= inside[:, :-1]
    core[:, :-1] &= inside[:, 1:]
    edge: NDArray[np.bool_] = inside & ~core
    return edge


SIDE_PX = 560
_GAP, _MARGIN, _LINE = 16, 20, 24
_PAPER, _INK, _FAINT = (255, 255, 255), (28, 32, 38), (92, 98, 106)
_BAR = (160, 12)
# Letters that Unicode does not take apart into a plain one and a mark.
_PLAIN_LETTERS = str.maketrans(
    {"đ": "d", "Đ": "D", "ß": "ss", "æ": "ae", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
)


def panel(
    image: DecodedImage,
    card: ModelCard,
    prediction: Prediction,
    heat: Heat,
    label: str,
    *,
    full: float | None,
) -> Image.Image:
    """Return the image, the image with the evidence for `label` over it, and what that means (RGB).

    Args:
        heat: (h, w) of `label`, see `heatmap.evidence`.
        full: the evidence that has the last colour; None: this image's highest.
    """
    left = plain(image, max_px=SIDE_PX, enlarged=True)
    right = overlaid(image, card.recipe, heat, left, full=full)
    lines = _words(card, prediction, heat, label, warm=float(strength_of(heat, full).max()) >= CLEAR)
    width = max(2 * left.width + _GAP, SIDE_PX) + 2 * _MARGIN
    top = _MARGIN + _LINE + 8
    sheet = Image.new("RGB", (width, top + left.height + 12 + (len(lines) + 1) * _LINE + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text(
        (_MARGIN, _MARGIN), _headline(card, prediction, label), fill=_INK, font=ImageFont.load_default(18)
    )
    start = (width - 2 * left.width - _GAP) // 2
    sheet.paste(left, (start, top))
    sheet.paste(right, (start + left.width + _GAP, top))
    below = top + left.height + 12
    _draw_bar(sheet, pen, (_MARGIN, below), writable(card, label))
    for number, line in enumerate(lines, start=1):
        pen.text((_MARGIN, below + number * _LINE), line, fill=_FAINT, font=ImageFont.load_default(14))
    return sheet


def _headline(card: ModelCard, prediction: Prediction, label: str) -> str:
    probability = prediction.probabilities.get(label)
    text = (
        f"{writable(card, label)}: probability {probability:.3f}"
        if probability is not None
        else writable(card, label)
    )
    return f"{text}, decision {prediction.decision}" if prediction.decision else text


def _words(card: ModelCard, prediction: Prediction, heat: Heat, label: str, *, warm: bool) -> list[str]:
    """Return what stands below the pictures, each line short enough for the narrowest of them."""
    places = f"The map has {heat.shape[0]} x {heat.shape[1]} places: it is as coarse as that."
    if not warm:
        return [f"Hardly anything here speaks for {writable(card, label)}.", places]
    lines = ["No colour: nothing there speaks for it, or it speaks against it.", places]
    if (
        prediction.decision != "positive"
        and prediction.label
        and label not in prediction.label.split(LABEL_SEP)
    ):
        lines.append(f"The answer is {writable(card, prediction.label)}: what is warm did not decide.")
    return [*lines, "Not the outline of a disease, and no proof of one."]


def _draw_bar(sheet: Image.Image, pen: ImageDraw.ImageDraw, corner: tuple[int, int], name: str) -> None:
    """Draw the colours with their ends in words."""
    x, y = corner
    few = "Speaks for " + name + ":  a little"
    pen.text((x, y), few, fill=_INK, font=ImageFont.load_default(14))
    x += round(pen.textlength(few, font=ImageFont.load_default(14))) + 10
    ramp = np.broadcast_to(np.linspace(0, 1, _BAR[0], dtype=np.float32), _BAR[::-1])
    sheet.paste(Image.fromarray(colours(np.ascontiguousarray(ramp))), (x, y + 3))
    pen.text((x + _BAR[0] + 10, y), "much", fill=_INK, font=ImageFont.load_default(14))


def writable(card: ModelCard, label: str) -> str:
    """Return a class as the font can write it: marks of letters left out, and its number where that is not enough."""
    if label.isascii():
        return label
    plain_text = without_accents(label.translate(_PLAIN_LETTERS))
    if plain_text.isascii():
        return plain_text
    return f"class {card.classes.index(label) + 1}" if label in card.classes else "another class"
