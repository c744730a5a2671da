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
    facts = [Fact("Sanity check", sentence("passed" if known.passed else f"not passed: {known.withheld}"))]
    facts += _similarities(known)
    if known.blanked is not None:
        blanked = known.blanked
        facts.append(
            Fact(
                "Blanking the warmest tenth of an image",
                f"Lowers the logit by {_signed(blanked.hottest)}; the same shape elsewhere, by "
                f"{_signed(blanked.elsewhere)}. "
                f"In {percent(blanked.share)} of {plural(known.images, 'image')} the warmest places mattered more.",
            )
        )
    return tuple(facts)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _similarities(known: Explanation) -> list[Fact]:
    names = {"all": f"{_SHUFFLED}: all", "head": f"{_SHUFFLED}: the head’s alone"}
    limit = {"all": f"; they pass up to {known.limit:g}", "head": ""}
    return [
        Fact(
            name,
            f"Rank correlation {known.similarity[what]:.2f} (mean of its absolute value over "
            f"{plural(known.images, 'validation image')} and {plural(len(known.seeds), 'shuffling')}){limit[what]}.",
        )
        for what, name in names.items()
        if known.similarity.get(what) is not None
    ]
