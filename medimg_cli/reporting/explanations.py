"""What the report says of heat maps, beside the pictures."""

from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.tables.headline import Fact
from medimg_cli.reporting.tables.number_format import percent, plural, sentence
from medimg_cli.runs.explanation import Explanation

_SHUFFLED = "Maps of the same network, its weights shuffled"


def explanation_facts(content: ReportContent) -> tuple[Fact, ...]:
    """Return the sanity check and what blanking the warmest places does, () where nobody looked."""
    if content.explained is None:
        return ()
    known = content.explained.known
    facts = [
        Fact("Sanity check", sentence(known.verdict + (f": {known.withheld}" if known.withheld else "")))
    ]
    facts += _similarities(known)
    if known.blanked is not None:
        blanked, between = known.blanked, ""
        if blanked.interval is not None:
            low, high = map(percent, blanked.interval)
            between = f" (95 % interval {low} to {high}; by chance 50 %)"
        facts.append(
            Fact(
                "Blanking the warmest tenth of an image",
                f"Lowers the logit by {_signed(blanked.hottest)}; the same shape elsewhere, by "
                f"{_signed(blanked.elsewhere)}. "
                f"In {round(blanked.share * known.images)} of {plural(known.images, 'image')} the warmest places mattered "
                f"more{between}.",
            )
        )
    return tuple(facts)


def _between(known: Explanation, what: str) -> str:
    bounds = known.intervals.get(what)
    return "" if bounds is None else f", 95 % interval {bounds[0]:.2f} to {bounds[1]:.2f}"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _similarities(known: Explanation) -> list[Fact]:
    names = {"all": f"{_SHUFFLED}: all", "head": f"{_SHUFFLED}: the head’s alone"}
    limit = {"all": f"; they pass up to {known.limit:g}", "head": ""}
    return [
        Fact(
            name,
            f"Rank correlation {known.similarity[what]:.2f}{_between(known, what)} (mean of its absolute value over "
            f"{plural(known.images, 'validation image')} and {plural(len(known.seeds), 'shuffling')}){limit[what]}.",
        )
        for what, name in names.items()
        if known.similarity.get(what) is not None
    ]
