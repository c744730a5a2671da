"""One prediction, and one operating point, in the words of a language: for the PDF and the model card.

The page itself says the same sentences by `templates/serve/sentences.js`, from the same strings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medimg_cli.web.serving.translations import Words

Fields = Mapping[str, Any]
"""What JSON holds: an entry of `predictions`, or the facts of the model."""
_ERRORS = ("unreadable", "empty", "archive", "too_many_pixels", "internal")
"""Codes that an entry of `predictions` may carry; the catalogue has a sentence for each."""
_SPLITS = {"val": "result.split_val", "out-of-fold": "result.split_oof"}


@dataclass(frozen=True)
class Bar:
    """One class in the chart.

    Args:
        name: the class.
        share: its probability, 0..1.
        said: the same in words.
        threshold: where its operating threshold lies, None where it has none.
    """

    name: str
    share: float
    said: str
    threshold: float | None


@dataclass(frozen=True)
class Said:
    """A prediction in words.

    Args:
        tone: positive, negative, refer or plain; what the colours follow.
        kicker: what the headline is about, "" where it speaks for itself.
        headline: the answer.
        sentences: what it rests on.
        flags: (title, meaning) of each.
        detail: a message of the program, in English; "" where there is none.
        bars: none for an image without an answer.
    """

    tone: str
    kicker: str
    headline: str
    sentences: tuple[str, ...]
    flags: tuple[tuple[str, str], ...]
    detail: str
    bars: tuple[Bar, ...]


def said_of(entry: Fields, model: Fields, words: Words) -> Said:
    """Return an entry of `predictions` in words."""
    tone, kicker, headline = _headline(entry, model, words)
    answered = entry["status"] == "ok"
    return Said(
        tone=tone,
        kicker=kicker,
        headline=headline,
        sentences=_sentences(entry, model, words),
        flags=tuple(flag_in_words(name, words) for name in entry.get("flags") or ()),
        detail=str(entry.get("message") or ""),
        bars=_bars(entry, model, words) if answered else (),
    )


def flag_in_words(name: str, words: Words) -> tuple[str, str]:
    """Return a flag's title and meaning; one without words of its own keeps its name."""
    key = f"flag.{name.rstrip('?')}"
    if not words.has(key):
        return name, words("flag.other_text")
    return words(key), words(f"{key}_text")


def threshold_in_words(threshold: Fields, positive: str, words: Words) -> tuple[str, ...]:
    """Return what was measured at a threshold and what that means to a reader."""
    recall, specificity = threshold.get("achieved_recall"), threshold.get("achieved_specificity")
    if recall is None or specificity is None:
        return (words("result.unmeasured"),)
    split = split_in_words(str(threshold.get("split") or ""), words)
    found, false = words.of_hundred(recall), words.of_hundred(1 - specificity)
    missed = (
        words("result.missed_none", **{"class": positive})
        if recall >= 1
        else words("result.missed_some", missed=words.rest_of_hundred(recall), **{"class": positive})
    )
    return (
        words("result.found", found=found, false=false, split=split, **{"class": positive}),
        missed,
        words(
            "result.measured",
            sensitivity=words.percent(recall),
            specificity=words.percent(specificity),
            split=split,
        ),
    )


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
    """Return class → operating threshold, for the classes that have one."""
    several = {name: float(one["value"]) for name, one in (model.get("thresholds") or {}).items()}
    one, positive = model.get("threshold"), model.get("positive")
    return several or ({str(positive): float(one["value"])} if one and positive else {})


def _headline(entry: Fields, model: Fields, words: Words) -> tuple[str, str, str]:
    status, decision, label = entry["status"], entry.get("decision"), entry.get("label")
    if status == "unreadable":
        key = "result.failed" if entry.get("error") == "internal" else "result.unreadable"
        return "refer", "", words(key)
    if status == "refused":
        return "refer", "", words("result.refused")
    if decision == "refer":
        return "refer", words("result.decision"), words("result.refer")
    if decision in ("positive", "negative"):
        headline = words(f"result.{decision}", **{"class": model.get("positive")})
        return decision, words("result.decision"), headline
    if model.get("answers") == "sigmoid":
        headline = str(label).replace("|", ", ") if label else words("result.no_labels")
        return "plain", words("result.labels"), headline
    return "plain", words("result.no_threshold"), str(label)


def _sentences(entry: Fields, model: Fields, words: Words) -> tuple[str, ...]:
    status, decision = entry["status"], entry.get("decision")
    if status == "unreadable":
        return (words(f"error.{entry['error']}"),) if entry.get("error") in _ERRORS else ()
    if status == "refused":
        return (words("result.why_refused"),)
    said = [words("result.why_refer")] if decision == "refer" else []
    if decision in ("positive", "negative"):
        said.append(_why(str(decision), entry, model, words))
    if model.get("answers") != "sigmoid" and entry.get("confidence") is not None:
        share = words.probability(entry["confidence"])
        said.append(words("result.predicted", p=share, **{"class": entry["label"]}))
    if entry.get("prediction_set") is not None:
        said.append(f"{words('result.set')}: {set_in_words(entry['prediction_set'], words)}")
    return tuple(said)


def _why(decision: str, entry: Fields, model: Fields, words: Words) -> str:
    positive = model["positive"]
    return words(
        f"result.why_{decision}",
        p=words.probability(entry["probabilities"][positive]),
        t=words.percent(model["threshold"]["value"]),
        **{"class": positive},
    )


def set_in_words(classes: Sequence[str], words: Words) -> str:
    """Return a conformal set in words."""
    if not classes:
        return words("result.set_none")
    if len(classes) == 1:
        return words("result.set_one", **{"class": classes[0]})
    return words("result.set_many", classes=", ".join(classes))


def _bars(entry: Fields, model: Fields, words: Words) -> tuple[Bar, ...]:
    """Return the classes, the positive one first, then the most probable."""
    thresholds = thresholds_of(model)
    bars = [
        Bar(name, share, words.probability(share), thresholds.get(name))
        for name, share in entry["probabilities"].items()
        if share is not None
    ]
    return tuple(sorted(bars, key=lambda bar: (bar.name != model.get("positive"), -bar.share, bar.name)))
