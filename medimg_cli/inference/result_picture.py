"""The picture of an answer as a PACS shows it: the image, its heat map where there is one, and the answer beside it."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.inference.heatmap import writable
from medimg_cli.predictions.decide import UNDECIDED
from medimg_cli.predictions.exam_answers import ExamAnswer
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.runs.run import ModelCard

NOTICE = "Decision support for research, not a diagnosis. A clinician must review every result."
AnyAnswer = Prediction | ExamAnswer
SIDE_PX = 640
_PANEL_PX, _GAP, _MARGIN, _MOST_BARS = 480, 16, 24, 8
_PAPER, _INK, _FAINT, _RULE = (12, 14, 18), (236, 239, 243), (158, 166, 178), (52, 58, 68)
_FILL, _CALLED = (84, 116, 158), (240, 180, 66)


@dataclass(frozen=True)
class Words:
    """What stands beside the image.

    Args:
        answer: to the image, or to its exam.
        lines: on what the answer rests, and what a reader should know of it.
        model: name and version of what answered.
        captions: what the pictures show.
    """

    answer: AnyAnswer
    lines: Sequence[str]
    model: str
    captions: Sequence[str] = ()


def headline(card: ModelCard, answer: AnyAnswer) -> str:
    """Return an answer in a few words."""
    if answer.status != "ok":
        return "No answer"
    if card.positive is not None and answer.decision and not card.labels.several:
        decision = "a reader has to decide" if answer.decision == "refer" else answer.decision
        return f"{card.positive}: {decision}"
    if answer.decision == "refer":
        return "A reader has to decide"
    return ", ".join(called(card, answer)) or "None of the labels"


def called(card: ModelCard, answer: AnyAnswer) -> tuple[str, ...]:
    """Return the classes that an answer calls, () where it gives none."""
    if not answer.label:
        return ()
    return tuple(answer.label.split(LABEL_SEP)) if card.labels.several else (answer.label,)


def thresholds_of(card: ModelCard, answer: AnyAnswer) -> Mapping[str, float]:
    """Return class → the probability from which on it is called, {} where the most probable one is."""
    own = card.exams if isinstance(answer, ExamAnswer) and card.exams is not None else card
    if card.labels.several:
        points = own.thresholds
        return {name: points[name].value if name in points else UNDECIDED for name in card.classes}
    return {} if own.threshold is None or card.positive is None else {card.positive: own.threshold.value}


def result_picture(card: ModelCard, pictures: Sequence[Image.Image], words: Words) -> Image.Image:
    """Return one or two pictures (RGB, as `heatmap.plain` makes them) with the answer on their right, light on dark."""
    sheet = _Sheet(card, words.answer)
    sheet.write(words.model, 15, _FAINT)
    sheet.write(headline(card, words.answer), 30, _CALLED if _is_alarming(card, words.answer) else _INK)
    if words.answer.status == "ok":
        sheet.bars()
    for line in words.lines:
        sheet.write(line, 16, _FAINT if words.answer.status == "ok" else _INK)
    width = sum(one.width for one in pictures) + _GAP * len(pictures) + _PANEL_PX + 2 * _MARGIN
    inner = max(max(one.height for one in pictures) + 28, sheet.height)
    notice = _wrapped(NOTICE, 18, width - 2 * _MARGIN)
    picture = Image.new("RGB", (width, inner + 2 * _MARGIN + 16 + 26 * len(notice)), _PAPER)
    pen, x = ImageDraw.Draw(picture), _MARGIN
    for one, caption in zip(pictures, words.captions, strict=True):
        picture.paste(one, (x, _MARGIN))
        lines = _wrapped(caption, 15, one.width)
        pen.text((x, _MARGIN + one.height + 8), lines[0], fill=_FAINT, font=_font(15))
        x += one.width + _GAP
    sheet.draw(pen, (x + _GAP // 2, _MARGIN))
    y = _MARGIN + inner + 12
    pen.line((_MARGIN, y, width - _MARGIN, y), fill=_RULE)
    for line in notice:
        pen.text((_MARGIN, y + 12), line, fill=_INK, font=_font(18))
        y += 26
    return picture


@dataclass
class _Sheet:
    """What is written and drawn below each other, once it is known how high that is."""

    card: ModelCard
    answer: AnyAnswer
    height: int = 0
    _steps: list[tuple[int, str, int, tuple[int, int, int]]] = field(default_factory=list)
    _bars: list[tuple[int, str, float]] = field(default_factory=list)

    def write(self, text: str, size: int, ink: tuple[int, int, int]) -> None:
        for line in _wrapped(_plain(self.card, text), size, _PANEL_PX - _GAP):
            self._steps.append((self.height, line, size, ink))
            self.height += round(size * 1.35)
        self.height += size // 2

    def bars(self) -> None:
        """Add a bar a class, the positive and called ones first and then the likeliest."""
        chances = {name: value for name, value in self.answer.probabilities.items() if value is not None}
        first = {*self.card.labels.positives, *called(self.card, self.answer)}
        order = sorted(chances, key=lambda name: (name not in first, -chances[name]))
        joint = self.card.labels.positives
        if len(joint) > 1 and self.card.positive is not None:
            order.insert(0, self.card.positive)
            chances[self.card.positive] = sum(chances[name] for name in joint)
        for name in order[:_MOST_BARS]:
            self._bars.append((self.height, name, chances[name]))
            self.height += 44
        if rest := order[_MOST_BARS:]:
            self.height += 4
            highest = max(chances[name] for name in rest)
            self.write(f"{len(rest)} more, each at most {highest:.3f}", 15, _FAINT)
        self.height += 12

    def draw(self, pen: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
        left, top = corner
        for y, line, size, ink in self._steps:
            pen.text((left, top + y), line, fill=ink, font=_font(size))
        points, marked = thresholds_of(self.card, self.answer), called(self.card, self.answer)
        width = _PANEL_PX - _GAP
        for y, name, chance in self._bars:
            is_called = name in marked or (name == self.card.positive and self.answer.decision == "positive")
            pen.text(
                (left, top + y), _cut(writable(self.card, name), 17, width - 70), fill=_INK, font=_font(17)
            )
            pen.text((left + width, top + y), f"{chance:.3f}", fill=_INK, font=_font(17), anchor="ra")
            bar = (left, top + y + 25, left + width, top + y + 33)
            pen.rectangle(bar, fill=_RULE)
            ink = _CALLED if is_called and _is_alarming(self.card, self.answer) else _FILL
            if (length := round(width * min(1.0, chance))) > 0:
                pen.rectangle((bar[0], bar[1], bar[0] + length, bar[3]), fill=ink)
            if name in points:
                at = bar[0] + round(width * points[name])
                pen.line((at, bar[1] - 4, at, bar[3] + 4), fill=_INK, width=2)


def _is_alarming(card: ModelCard, answer: AnyAnswer) -> bool:
    """Return whether a disease is called: colour is kept for that."""
    if card.labels.several:
        marked = set(called(card, answer))
        return bool(marked & set(card.labels.positives) if card.positive is not None else marked)
    return answer.decision == "positive"


def _font(size: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    return ImageFont.load_default(size)


def _plain(card: ModelCard, text: str) -> str:
    """Return a text as the font can write it: names of classes as `writable` has them, of other letters no marks."""
    for name in sorted(card.classes, key=len, reverse=True):
        if not name.isascii():
            text = text.replace(name, writable(card, name))
    parts = unicodedata.normalize("NFKD", text.replace("≥", "at least").replace("–", "-").replace("×", "x"))
    return (
        "".join(sign for sign in parts if not unicodedata.combining(sign)).encode("ascii", "replace").decode()
    )


def _cut(text: str, size: int, width: int) -> str:
    """Return a text that fits, its middle left out where it is long: the ends of two long names differ as often."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 2 and font.getlength(_without_middle(text, kept)) > width:
        kept -= 1
    return _without_middle(text, kept)


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Return the lines of a text; a word that is too long for one is broken."""
    font, lines, line = _font(size), [], ""
    for word in text.split():
        joined = f"{line} {word}".strip()
        if font.getlength(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > width:
            fits = next(n for n in range(len(line), 0, -1) if n == 1 or font.getlength(line[:n]) <= width)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line or not lines else lines
