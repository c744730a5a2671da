"""The picture of an answer as a PACS shows it: the image, its heat map where there is one, and the answer beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.flags import FLAGS
from medimg_cli.inference.heatmap import Heat, overlaid, plain, writable
from medimg_cli.predictions.decide import UNDECIDED, telling_decimals
from medimg_cli.predictions.exam_answers import ExamAnswer
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.runs.run import ModelCard
from medimg_cli.runs.tested import Figure, Tested
from medimg_cli.workspace.plain_text import without_accents

NOTICE = "Decision support for research, not a diagnosis. A clinician must review every result."
AnyAnswer = Prediction | ExamAnswer
_SIDE_PX, _COLUMN_PX, _LEAST_PX, _GAP, _MARGIN, _MOST_BARS = 640, 464, 220, 20, 24, 8
_PAPER, _INK, _FAINT, _RULE = (12, 14, 18), (236, 239, 243), (158, 166, 178), (52, 58, 68)
_FILL, _ALARM = (84, 116, 158), (240, 180, 66)


def called(card: ModelCard, answer: AnyAnswer) -> tuple[str, ...]:
    """Return the classes that an answer calls, () where it gives none."""
    if not answer.label:
        return ()
    return tuple(answer.label.split(LABEL_SEP)) if card.labels.several else (answer.label,)


def headline(card: ModelCard, answer: AnyAnswer) -> str:
    """Return an answer in a few words."""
    if answer.status != "ok":
        return "No answer"
    if answer.decision == "refer":
        return "A reader has to decide"
    if answer.decision and card.labels.positives and not card.labels.several:
        return f"{' or '.join(card.labels.positives)}: {answer.decision}"
    return ", ".join(called(card, answer)) or "None of the labels"


def thresholds_of(card: ModelCard, answer: AnyAnswer) -> Mapping[str, float]:
    """Return class → the probability from which on it is called, {} where the most probable one is.

    Several positive classes are one, called "A or B": their sum counts.
    """
    own = card.exams if isinstance(answer, ExamAnswer) and card.exams is not None else card
    if card.labels.several:
        points = own.thresholds
        return {name: points[name].value if name in points else UNDECIDED for name in card.classes}
    return {} if own.threshold is None else {" or ".join(card.labels.positives): own.threshold.value}


def _chances_of(card: ModelCard, answer: AnyAnswer) -> dict[str, float]:
    """Return class → probability, with that of several positive classes together at first."""
    found = {name: value for name, value in answer.probabilities.items() if value is not None}
    positives = card.labels.positives
    return (
        {" or ".join(positives): sum(found[name] for name in positives)} | found
        if found and positives
        else found
    )


def _decimals(card: ModelCard, answer: AnyAnswer) -> int:
    """Return with how many decimals each probability reads on its own side of its threshold, at least 3."""
    chances, points = _chances_of(card, answer), thresholds_of(card, answer)
    return max([3, *(telling_decimals(chances[name], points[name], 3) for name in points if name in chances)])


def words_of(answers: Sequence[AnyAnswer], shown: int, card: ModelCard, tested: Tested | None) -> list[str]:
    """Return what one of the answers to an image rests on and what a reader should know of it, a sentence each."""
    answer = answers[shown]
    lines = [f"{answer.message[0].upper()}{answer.message[1:].rstrip('.')}."] if answer.message else []
    if len(answers) > 1:
        counts = Counter(headline(card, each) for each in answers).most_common(6)
        lines.append(f"Frames: {', '.join(f'{number} {name}' for name, number in counts)}.")
    if answer.status != "ok":
        return lines
    if isinstance(answer, Prediction):
        lines += [f"{name}: {FLAGS.get(name).meaning.rstrip('.')}." for name in answer.flags]
    points = thresholds_of(card, answer)
    if card.labels.several:
        lines.append("Each label has its own threshold, the mark on its bar.")
    else:
        decimals = _decimals(card, answer)
        lines += [f"Called {name} at {value:.{decimals}f} or more." for name, value in points.items()]
    if isinstance(answer, ExamAnswer):
        of = f"Exam of {answer.images} images, {answer.judged} answered"
        lines.append(f"{of}: {answer.pooling} of their probabilities.")
    elif tested is not None:
        lines.append(
            f"On {tested.n} test images of {tested.patients} patients: sensitivity {_interval(tested.recall)}, missed"
            f" {tested.missed.count} of {tested.missed.of}; specificity {_interval(tested.specificity)}."
        )
    else:
        lines.append("Not tested at this operating point.")
    return lines


def _interval(figure: Figure) -> str:
    known = figure.low is not None and figure.high is not None
    return f"{figure.value:.3f}" + (f" ({figure.low:.3f} to {figure.high:.3f})" if known else "")


def result_picture(
    card: ModelCard,
    answer: AnyAnswer,
    seen: Mapping[str, tuple[DecodedImage, Heat | None]],
    model: str,
    lines: Sequence[str],
    *,
    full: float | None,
) -> Image.Image:
    """Return the answer on the right of one or two pictures (RGB), light on dark.

    Args:
        seen: caption → image, and the evidence that is drawn over it.
        model: name and version of what answered.
        lines: on what the answer rests, and what a reader should know of it.
        full: evidence that has the last colour, None for the highest.
    """
    pictures = {}
    for caption, (image, heat) in seen.items():
        base = plain(image, max_px=_SIDE_PX, enlarged=True)
        pictures[caption] = base if heat is None else overlaid(image, card.recipe, heat, base, full=full)
    widths = [max(_LEAST_PX, one.width) for one in pictures.values()]
    width = sum(widths) + _GAP * len(widths) + _COLUMN_PX + 2 * _MARGIN
    sheet = Image.new("RGB", (width, 4000), _PAPER)  # cut where it ends
    x, ends = _MARGIN, []
    for (caption, picture), place in zip(pictures.items(), widths, strict=True):
        sheet.paste(picture, (x + (place - picture.width) // 2, _MARGIN))
        below = _Column(sheet, card, x, _MARGIN + picture.height + 8, place)
        below.write(caption, 15, _FAINT)
        ends.append(below.y)
        x += place + _GAP
    beside = _Column(sheet, card, x, _MARGIN, _COLUMN_PX)
    beside.write(model, 15, _FAINT)
    beside.write(headline(card, answer), 30, _ALARM if _is_alarming(card, answer) else _INK)
    if answer.status == "ok":
        beside.write("Calibrated probability", 14, _FAINT)
        beside.bars(answer)
    for line in lines:
        beside.write(line, 16, _FAINT if answer.status == "ok" else _INK)
    end = max(*ends, beside.y) + 8
    ImageDraw.Draw(sheet).line((_MARGIN, end, width - _MARGIN, end), fill=_RULE)
    foot = _Column(sheet, card, _MARGIN, end + 12, width - 2 * _MARGIN)
    foot.write(NOTICE, 18, _INK)
    return sheet.crop((0, 0, width, min(sheet.height, foot.y + 8)))


def _is_alarming(card: ModelCard, answer: AnyAnswer) -> bool:
    """Return whether a disease is called: colour is kept for that."""
    positives = card.labels.positives if card.labels.positives or not card.labels.several else card.classes
    return answer.decision != "refer" and any(name in positives for name in called(card, answer))


@dataclass
class _Column:
    """Writes and draws below each other from (x, y) on, `width` pixels wide."""

    sheet: Image.Image
    card: ModelCard
    x: int
    y: int
    width: int

    def write(self, text: str, size: int, ink: tuple[int, int, int], *, least: int = 0) -> None:
        """Write a text on as many lines as it needs, with `least` pixels free on their right."""
        for line in _wrapped(_plain(self.card, text), size, self.width - least):
            ImageDraw.Draw(self.sheet).text((self.x, self.y), line, fill=ink, font=_font(size))
            self.y += round(size * 1.35)
        self.y += size // 2

    def bars(self, answer: AnyAnswer) -> None:
        """Draw a bar a class, the positive and called ones first and then the likeliest."""
        chances, decimals = _chances_of(self.card, answer), _decimals(self.card, answer)
        positives, marked, points = (
            self.card.labels.positives,
            called(self.card, answer),
            thresholds_of(self.card, answer),
        )
        together = " or ".join(positives)
        if len(positives) > 1 and answer.decision == "positive":
            marked += (together,)
        order = sorted(
            chances,
            key=lambda name: (name != together, name not in positives, name not in marked, -chances[name]),
        )
        pen = ImageDraw.Draw(self.sheet)
        for name in order[:_MOST_BARS]:
            number = (self.x + self.width, self.y)
            pen.text(number, f"{chances[name]:.{decimals}f}", fill=_INK, font=_font(17), anchor="ra")
            self.write(name, 17, _INK, least=40 + 10 * decimals)
            pen.rectangle((self.x, self.y - 5, self.x + self.width, self.y + 3), fill=_RULE)
            length = round(self.width * min(1.0, chances[name]))
            ink = _ALARM if name in marked and _is_alarming(self.card, answer) else _FILL
            if length:
                pen.rectangle((self.x, self.y - 5, self.x + length, self.y + 3), fill=ink)
            if name in points:
                at = self.x + round(self.width * points[name])
                pen.line((at, self.y - 9, at, self.y + 7), fill=_INK, width=2)
            self.y += 14
        if rest := order[_MOST_BARS:]:
            self.write(
                f"{len(rest)} more, each at most {max(chances[name] for name in rest):.3f}", 15, _FAINT
            )
        self.y += 8


@cache
def _font(size: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    return ImageFont.load_default(size)


def _plain(card: ModelCard, text: str) -> str:
    """Return a text as the font can write it: names of classes as `writable` has them, of other letters no marks."""
    for name in sorted(card.classes, key=len, reverse=True):
        if not name.isascii():
            text = text.replace(name, writable(card, name))
    return without_accents(text).encode("ascii", "replace").decode()


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Return the lines of a text; a word that is too long for one is broken."""
    font, lines, line = _font(size), [], ""
    for word in text.split():
        if font.getlength(joined := f"{line} {word}".strip()) <= width:
            line = joined
            continue
        lines += [line] if line else []
        line = word
        while font.getlength(line) > width:
            fits = next(n for n in range(len(line), 0, -1) if n == 1 or font.getlength(line[:n]) <= width)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line]
