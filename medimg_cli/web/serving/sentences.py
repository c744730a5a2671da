"""One prediction, and one operating point, in the words of a language: for the page, the PDF and the model card.

The page is sent these sentences in every language with each answer, so that they are written here and nowhere else.
Languages are the files of `templates/serve/strings`; English is the catalogue.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from medimg_cli.predictions.decide import telling_decimals
from medimg_cli.workspace.files import templates_dir

Fields = Mapping[str, Any]
"""What JSON holds: an entry of `predictions`, or the facts of the model."""
_ERRORS = ("unreadable", "empty", "archive", "too_many_pixels", "internal")
"""Codes that an entry of `predictions` may carry; the catalogue has a sentence for each."""
_SPLITS = {"val": "result.split_val", "out-of-fold": "result.split_oof"}
_MOST_TIMES = 100.0
_FEW = 50  # images, of which so many of a hundred would promise more than was seen
_UNLIKE = "out-of-distribution"
CATALOGUE = "en"
_PLACE = re.compile(r"\{(\w+)\}")
_LANGUAGE_RANGE = re.compile(
    r"^\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?$"
)


@dataclass(frozen=True)
class Words:
    """The strings of one language.

    Args:
        language: its tag, the stem of its file.
        texts: key → text; `{name}` in a text is a place for a value.
    """

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of `key` with its places filled.

        Raises:
            KeyError: there is no such key, or a place has no value.
        """
        return _PLACE.sub(lambda place: str(values[place[1]]), self.texts[key])

    def has(self, key: str) -> bool:
        return key in self.texts

    def number(self, value: float, digits: int) -> str:
        """Return a number as the language writes it.

        >>> Words("de", {"number.decimal": ","}).number(0.25, 2)
        '0,25'
        """
        return f"{value:.{digits}f}".replace(".", self.texts["number.decimal"])

    def percent(self, share: float, digits: int = 1) -> str:
        """Return a share, 0..1, in per cent."""
        return self("number.percent", n=self.number(share * 100, digits))

    def probability(self, share: float) -> str:
        """Return a probability in per cent; no model is certain, so none reads 0 or 100 %."""
        if share >= 0.9995:
            return self("number.above", n=self.percent(0.999))
        if share < 0.0005:
            return self("number.below", n=self.percent(0.001))
        return self.percent(share)

    def beside(self, share: float, limit: float) -> tuple[str, str]:
        """Return a probability and its threshold in per cent: never "8.6%, below the limit of 8.6%"."""
        digits = telling_decimals(share, limit, 3) - 2
        return self.probability(share) if digits == 1 else self.percent(share, digits), self.percent(
            limit, digits
        )

    def of_hundred(self, share: float) -> str:
        """Return a share as a count of 100, which never rounds to all or to none where it is neither."""
        count = int(share * 100 + 0.5)
        if count == 100 and share < 1:
            return self("number.above", n=99)
        if count == 0 and share > 0:
            return self("number.below", n=1)
        return str(count)

    def rest_of_hundred(self, share: float) -> str:
        """Return the rest of 100 beside `of_hundred`: the two always make a hundred."""
        count = int(share * 100 + 0.5)
        return str(100 - count) if 0 < count < 100 else self.of_hundred(1 - share)


@lru_cache(maxsize=1)
def languages() -> tuple[str, ...]:
    """Return the languages there are, English first."""
    found = sorted(path.stem for path in _folder().glob("*.yaml"))
    return (CATALOGUE, *(name for name in found if name != CATALOGUE))


@lru_cache(maxsize=32)
def words_of(language: str) -> Words:
    """Return the strings of one of `languages()`; what its file lacks is English."""
    texts = _read(CATALOGUE)
    return Words(language, texts if language == CATALOGUE else texts | _read(language))


def chosen_language(asked: str | None, accepted: str | None) -> str:
    """Return the language to answer in.

    Args:
        asked: what the address says, `?lang=vi`; a language there is no file of counts as not asked.
        accepted: the header Accept-Language (RFC 9110, 12.5.4).
    """
    if asked in languages():
        return str(asked)
    wanted = []
    for place, part in enumerate((accepted or "").split(",")[:32]):
        if (match := _LANGUAGE_RANGE.match(part)) and match[1].lower() in languages():
            wanted.append((-float(match[2] or 1), place, match[1].lower()))
    wanted = [entry for entry in sorted(wanted) if entry[0] < 0]
    return wanted[0][2] if wanted else CATALOGUE


def _folder() -> Path:
    return templates_dir() / "serve" / "strings"


def _read(language: str) -> dict[str, str]:
    """Return the file's sections as `section.key` → text."""
    content = yaml.safe_load((_folder() / f"{language}.yaml").read_text(encoding="utf-8"))
    return {
        f"{section}.{key}": str(text) for section, texts in content.items() for key, text in texts.items()
    }


@dataclass(frozen=True)
class Bar:
    """One class in the chart.

    Args:
        name: the class.
        share: its probability, 0..1.
        said: the same in words.
        threshold: where its operating threshold lies, None where it has none.
        limit: the same in words, "" without one.
    """

    name: str
    share: float
    said: str
    threshold: float | None
    limit: str


@dataclass(frozen=True)
class PredictionText:
    """A prediction in words.

    Args:
        tone: positive, negative, refer or plain; what the colours follow.
        kicker: what the headline is about, "" where it speaks for itself.
        headline: the answer.
        short: the same for a list.
        sentences: what it rests on, and what to do where there is no answer.
        flags: (title, meaning) of each.
        bars: none for an image without an answer.
        set: the classes probable enough, and how often such sets were right, or why there is no set; empty of a model
            without sets.
        meaning: what was measured at the threshold; empty where nothing was decided.
    """

    tone: str
    kicker: str
    headline: str
    short: str
    sentences: tuple[str, ...]
    flags: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    set: tuple[str, ...]
    meaning: tuple[str, ...]


def prediction_text(entry: Fields, model: Fields, words: Words) -> PredictionText:
    """Return an entry of `predictions` in words."""
    tone, kicker, headline, short = _headline(entry, model, words)
    answered = entry["status"] == "ok"
    return PredictionText(
        tone=tone,
        kicker=kicker,
        headline=headline,
        short=short,
        sentences=tuple(_sentences(entry, model, words)),
        flags=tuple(
            flag_in_words(name, words)
            for name in entry.get("flags") or ()
            if answered or name != _UNLIKE  # which is what the headline of a refusal says
        ),
        bars=_bars(entry, model, words) if answered else (),
        set=_set(entry, model, words) if answered else (),
        meaning=tuple(measured_in_words(model, words)) if answered and entry.get("decision") else (),
    )


def texts_in_all(entry: Fields, model: Fields) -> dict[str, Any]:
    """Return language → an entry in its words, as JSON."""
    return {language: asdict(prediction_text(entry, model, words_of(language))) for language in languages()}


def flag_in_words(name: str, words: Words) -> tuple[str, str]:
    """Return a flag's title and meaning; one without words of its own keeps its name."""
    key = f"flag.{name.rstrip('?')}"
    if not words.has(key):
        return name, words("flag.other_text")
    return words(key), words(f"{key}_text")


def measured_in_words(model: Fields, words: Words) -> Iterator[str]:
    """Yield what was measured at the model's threshold and what that means to a reader: on test, else where it was chosen."""
    threshold, tested = model.get("threshold"), model.get("tested")
    if not threshold or not model.get("positive"):
        return
    named = {"class": positive_of(model)}
    if tested:
        recall, specificity = tested["recall"], tested["specificity"]
        split = words("result.split_test")
    else:
        recall, specificity = (
            {"value": threshold.get(f"achieved_{name}")} for name in ("recall", "specificity")
        )
        split = split_in_words(str(threshold.get("split") or ""), words)
    if recall["value"] is None or specificity["value"] is None:
        yield words("result.unmeasured")
        return
    if tested:
        missed, of = tested["missed"]["count"], tested["missed"]["of"]
        _, false, others = _of_images(specificity["value"], tested["n"] - of, words)
        yield words(
            "result.found_of", count=of - missed, of=of, false=false, others=others, split=split, **named
        )
    else:
        found, missed, of = _of_images(recall["value"], (threshold.get("positives") or (0,))[0], words)
        false = words.of_hundred(1 - specificity["value"])
        yield words("result.found", found=found, of=of, false=false, others=100, split=split, **named)
    if recall["value"] >= 1:
        yield words("result.missed_none", **named)
    elif tested:
        yield words("result.missed_of", missed=missed, **named)
    else:
        yield words("result.missed_some", missed=missed, of=of, **named)
    yield words(
        "result.measured",
        sensitivity=_with_bounds(recall, words),
        specificity=_with_bounds(specificity, words),
        split=split,
    )
    yield words("result.tested", n=tested["n"]) if tested else words("result.untested")
    if model.get("prevalence"):
        yield words(
            "result.predictive", **named, **_predictive(recall, specificity, model["prevalence"], words)
        )


def _of_images(share: float, images: int, words: Words) -> tuple[object, object, int]:
    """Return a share of images as a count, the rest, and of how many: of fewer than 50 their own number, else 100."""
    count = round(share * images)
    if 0 < images < _FEW and abs(share * images - count) < 1e-6:
        return count, images - count, images
    rest = words.rest_of_hundred(share)
    return words.of_hundred(share), rest, 100


def _with_bounds(figure: Fields, words: Words, key: str = "result.with_bounds") -> str:
    if figure.get("low") is None or figure.get("high") is None:
        return words.percent(figure["value"])
    low, high = (words.number(figure[end] * 100, 1) for end in ("low", "high"))
    return words(key, value=words.percent(figure["value"]), low=low, high=high)


def _predictive(recall: Fields, specificity: Fields, prevalence: float, words: Words) -> dict[str, str]:
    """Return the predictive values by Bayes' theorem, with what the ends of both intervals make of them."""

    def values(end: str) -> tuple[float, float]:
        known = (one["value"] if one.get(end) is None else one[end] for one in (recall, specificity))
        found, left = map(float, known)
        called = found * prevalence + (1 - left) * (1 - prevalence)
        spared = left * (1 - prevalence) + (1 - found) * prevalence
        right = found * prevalence / called if called else 0.0
        return right, (left * (1 - prevalence) / spared if spared else 0.0)

    shown = {"prevalence": words.percent(prevalence)}
    least, most = values("low"), values("high")
    for place, name in enumerate(("ppv", "npv")):
        ends = {"low": least[place], "high": most[place]} if recall.get("low") is not None else {}
        shown[name] = _with_bounds({"value": values("value")[place], **ends}, words, "result.with_range")
    return shown


def rule_in_words(threshold: Fields, words: Words) -> str:
    """Return how a threshold was chosen, "" where only the program's own words tell."""
    for aim in ("recall", "specificity"):
        wanted = threshold.get(f"target_{aim}")
        if wanted is not None and "bound" not in str(threshold.get("rule")):
            return words(f"card.rule_{aim}", p=words.percent(wanted))
    return ""


def split_in_words(name: str, words: Words) -> str:
    """Return what a split is called in a sentence."""
    return words(_SPLITS[name]) if name in _SPLITS else words("result.split_other", name=name)


def thresholds_of(model: Fields) -> dict[str, float]:
    """Return class → operating threshold, for the classes that have one; none of several that are the disease together."""
    several = {name: float(one["value"]) for name, one in (model.get("thresholds") or {}).items()}
    one, positives = model.get("threshold"), positives_of(model)
    return several or ({positives[0]: float(one["value"])} if one and len(positives) == 1 else {})


def positives_of(model: Fields) -> tuple[str, ...]:
    """Return the classes that are the disease, as `LabelSpace.positives` does."""
    positive, classes = model.get("positive"), model.get("classes") or ()
    if positive is None or positive in classes:
        return () if positive is None else (str(positive),)
    return tuple(dict.fromkeys(name.strip() for name in str(positive).split(",")))


def positive_of(model: Fields) -> str:
    """Return what the disease is called: the positive class, or several."""
    return " / ".join(positives_of(model))


def positive_share(entry: Fields, model: Fields) -> float | None:
    """Return P(positive) of an entry, which a threshold decides on; None where the entry has none."""
    shares = [entry["probabilities"].get(name) for name in positives_of(model)]
    return sum(shares) if shares and None not in shares else None


def _headline(entry: Fields, model: Fields, words: Words) -> tuple[str, str, str, str]:
    status, decision, label = entry["status"], entry.get("decision"), entry.get("label")
    if status == "unreadable":
        failed = entry.get("error") == "internal"
        headline = words("result.failed" if failed else "result.unreadable")
        return "refer", "", headline, words("list.failed" if failed else "list.unreadable")
    if status == "refused":
        known = entry.get("unlike") or _UNLIKE in (entry.get("flags") or ())
        return "refer", "", words("result.refused" if known else "result.no_number"), words("list.refused")
    if decision in ("positive", "negative"):
        share, limit = positive_share(entry, model), float(model["threshold"]["value"])
        p, t = words.beside(share or 0.0, limit)
        key = "above" if decision == "positive" else "below"
        headline = words(f"result.{key}", p=p, t=t, **{"class": positive_of(model)})
        return decision, words("result.decision"), headline, words(f"list.{key}", p=p)
    if decision == "refer":
        return "refer", "", words("exam.incomplete"), words("list.refused")
    confidence = entry.get("confidence")
    shown = "" if confidence is None else f", {words.probability(confidence)}"
    if model.get("answers") == "sigmoid":
        headline = str(label).replace("|", ", ") if label else words("result.no_labels")
        return "plain", words("result.labels"), headline, headline
    return "plain", words("result.no_threshold"), f"{label}{shown}", f"{label}{shown}"


def _sentences(entry: Fields, model: Fields, words: Words) -> Iterator[str]:
    status, decision = entry["status"], entry.get("decision")
    if status == "unreadable":
        if entry.get("error") in _ERRORS:
            yield words(f"error.{entry['error']}")
        return
    if status == "refused":
        if unlike := entry.get("unlike"):
            yield words("result.why_refused")
            yield from (_times(name, value, words) for name, value in unlike.items())
        yield words("result.what_to_do")
        return
    if decision in ("positive", "negative"):
        yield words(f"result.means_{decision}", **{"class": positive_of(model)})
        if len(model.get("classes") or ()) > 2 and entry.get("confidence") is not None:
            share = words.probability(entry["confidence"])
            yield words("result.named", p=share, **{"class": entry["label"]})


def _times(name: str, value: float | None, words: Words) -> str:
    """Return by what, and how many times the limit, an image is unlike the training."""
    key = f"unlike.{name}"
    what = words(key) if words.has(key) else name
    if value is None or not value < _MOST_TIMES:  # also where it is no number
        return words("unlike.by", what=what, n=words("number.above", n=words.number(_MOST_TIMES, 0)))
    return words("unlike.by", what=what, n=words.number(value, 1))


def _set(entry: Fields, model: Fields, words: Words) -> tuple[str, ...]:
    """Return a conformal set in words, and how often such sets held the right class; or that it is withheld."""
    classes: Sequence[str] | None = entry.get("prediction_set")
    withheld = (model.get("limits") or {}).get("withheld_sets")
    if classes is None:
        return (words("result.set_withheld", **{"class": ", ".join(withheld)}),) if withheld else ()
    keys = ("result.set_none", "result.set_one")
    named = {"class": ", ".join(classes)}
    shown = words(keys[len(classes)], **named) if len(classes) < 2 else words("result.set_many", **named)
    alpha = (model.get("limits") or {}).get("alpha")
    if alpha is None:
        return (shown,)
    return shown, words("result.set_level", p=words("number.percent", n=words.number((1 - alpha) * 100, 0)))


def _bars(entry: Fields, model: Fields, words: Words) -> tuple[Bar, ...]:
    """Return the classes, the positive ones first, then the most probable."""
    thresholds, first = thresholds_of(model), positives_of(model)
    bars = []
    for name, share in entry["probabilities"].items():
        if share is not None:
            limit = thresholds.get(name)
            said, edge = words.beside(share, share if limit is None else limit)
            shown = "" if limit is None else words("result.bar_threshold", t=edge)
            bars.append(Bar(name, share, said, limit, shown))
    return tuple(sorted(bars, key=lambda bar: (bar.name not in first, -bar.share, bar.name)))
