"""A heat map as a picture of its own: the image beside it, and in words what the colours say."""

import unicodedata

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.heatmap import CLEAR, Heat, colours, overlaid, plain, strength_of
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.runs.run import ModelCard

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
    pen.text((_MARGIN, _MARGIN), _headline(card, prediction, label), fill=_INK, font=_font(18))
    start = (width - 2 * left.width - _GAP) // 2
    sheet.paste(left, (start, top))
    sheet.paste(right, (start + left.width + _GAP, top))
    below = top + left.height + 12
    _draw_bar(sheet, pen, (_MARGIN, below), _name(card, label))
    for number, line in enumerate(lines, start=1):
        pen.text((_MARGIN, below + number * _LINE), line, fill=_FAINT, font=_font(14))
    return sheet


def _headline(card: ModelCard, prediction: Prediction, label: str) -> str:
    probability = prediction.probabilities.get(label)
    said = (
        f"{_name(card, label)}: probability {probability:.3f}"
        if probability is not None
        else _name(card, label)
    )
    return f"{said}, decision {prediction.decision}" if prediction.decision else said


def _words(card: ModelCard, prediction: Prediction, heat: Heat, label: str, *, warm: bool) -> list[str]:
    """Return what stands below the pictures, each line short enough for the narrowest of them."""
    places = f"The map has {heat.shape[0]} x {heat.shape[1]} places: it is as coarse as that."
    if not warm:
        return [f"Hardly anything here speaks for {_name(card, label)}.", places]
    lines = ["No colour: nothing there speaks for it, or it speaks against it.", places]
    if (
        prediction.decision != "positive"
        and prediction.label
        and label not in prediction.label.split(LABEL_SEP)
    ):
        lines.append(f"The answer is {_name(card, prediction.label)}: what is warm did not decide.")
    return [*lines, "Not the outline of a disease, and no proof of one."]


def _draw_bar(sheet: Image.Image, pen: ImageDraw.ImageDraw, corner: tuple[int, int], name: str) -> None:
    """Draw the colours with their ends in words."""
    x, y = corner
    few = "Speaks for " + name + ":  a little"
    pen.text((x, y), few, fill=_INK, font=_font(14))
    x += round(pen.textlength(few, font=_font(14))) + 10
    ramp = np.broadcast_to(np.linspace(0, 1, _BAR[0], dtype=np.float32), _BAR[::-1])
    sheet.paste(Image.fromarray(colours(np.ascontiguousarray(ramp))), (x, y + 3))
    pen.text((x + _BAR[0] + 10, y), "much", fill=_INK, font=_font(14))


def _name(card: ModelCard, label: str) -> str:
    """Return a class as the font can write it: marks of letters left out, and its number where that is not enough."""
    if label.isascii():
        return label
    parts = unicodedata.normalize("NFKD", label.translate(_PLAIN_LETTERS))
    plain_text = "".join(sign for sign in parts if not unicodedata.combining(sign))
    if plain_text.isascii():
        return plain_text
    return f"class {card.classes.index(label) + 1}" if label in card.classes else "another class"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
