"""Tables of what probabilities and decisions are worth: calibration, trade-offs, prevalences, abstention, sets."""

from collections.abc import Mapping

from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.evaluation.results.calibration import Abstention, Calibration, Conformal
from medimg_cli.evaluation.results.decisions import AtPrevalence, OperatingPoints, TradeOff
from medimg_cli.reporting.content import TABLE_ROWS, Fact
from medimg_cli.reporting.tables.number_format import grouped, measured, metric_title, number, percent
from medimg_cli.reporting.tables.tables import Table
from medimg_cli.statistics.estimate import Estimate

_SCORES = ("brier", "log_loss", "ece")
_NO_THRESHOLD = "no threshold gives it"


def temperature_table(found: Calibration) -> Table | None:
    """Return the scores of the same images without and with the temperature, None where only one is known."""
    if not found.uncalibrated:
        return None
    now = {"brier": found.brier, "log_loss": found.log_loss, "ece": found.ece}
    rows = tuple(
        (metric_title(name), number(found.uncalibrated[name]), number(now[name]))
        for name in _SCORES
        if name in found.uncalibrated
    )
    head = ("Measure", "Before", "After")
    return Table("Before and after the temperature", head, rows, figures=(1, 2), narrow=True)


def calibration_table(found: Calibration, most: int = TABLE_ROWS) -> Table | None:
    """Return slope, intercept and errors of each class, None without a class."""
    rows = tuple(
        (name, *(measured(part, getattr(each, part)) for part in ("slope", "intercept", "ece", "brier")))
        for name, each in list(found.by_class.items())[:most]
    )
    head = ("Class", "Slope", "Intercept", f"Calibration error, {found.bins} bins", "Brier score")
    beyond = len(found.by_class) - len(rows)
    return Table("Calibration of each class", head, rows, beyond, (1, 2, 3, 4)) if rows else None


def calibration_lines(evaluation: Evaluation) -> tuple[Fact, ...]:
    """Return the numbers of calibration that stand alone: those with an interval, then what else is known."""
    found = evaluation.calibration
    facts = [
        Fact(metric_title(name), measured(name, evaluation.metrics[name]))
        for name in _SCORES
        if name in evaluation.metrics
    ]
    if found is None:
        return tuple(facts)
    for name, value in (("brier", found.brier), ("log_loss", found.log_loss), ("ece", found.ece)):
        if name not in evaluation.metrics and value is not None:
            facts.append(Fact(metric_title(name), number(value)))
    if len(found.by_class) == 1:
        (only,) = found.by_class.values()
        facts.append(Fact("The same over bins of as many images each", measured("ece", only.ece_equal_mass)))
    elif found.class_wise_ece is not None:
        facts.append(Fact("Mean calibration error of the classes", number(found.class_wise_ece)))
    if found.temperature is not None:
        facts.append(Fact("Temperature, fitted on validation", number(found.temperature)))
    return tuple(facts)


def trade_off_table(found: OperatingPoints) -> Table | None:
    """Return sensitivity at fixed specificities and the reverse, class by class, None without one."""
    several = len(found.by_class) > 1
    rows = [
        ((name, *_trade_off(each)) if several else _trade_off(each))
        for name, of_class in found.by_class.items()
        for each in of_class.trade_offs
    ]
    head = (*(("Class",) if several else ()), "Fixed", "Sensitivity", "Specificity", "Threshold")
    last = len(head) - 1
    caption = "What other thresholds would give on these images"
    beyond = max(0, len(rows) - TABLE_ROWS)
    figures = (last - 2, last - 1, last)
    return Table(caption, head, tuple(rows[:TABLE_ROWS]), beyond, figures) if rows else None


def _trade_off(found: TradeOff) -> tuple[str, ...]:
    kind = "Sensitivity" if found.fixed == "recall" else "Specificity"
    fixed = f"{kind} of at least {percent(found.wanted)}"
    if found.threshold is None:
        return (fixed, _NO_THRESHOLD, "–", "–")
    return (
        fixed,
        measured("recall", found.recall),
        measured("specificity", found.specificity),
        number(found.threshold, 4),
    )


def prevalence_table(found: OperatingPoints) -> Table | None:
    """Return predictive values at the observed and at stated prevalences, None without one."""
    several = len(found.by_class) > 1
    rows = [
        ((name, *_at_prevalence(each)) if several else _at_prevalence(each))
        for name, of_class in found.by_class.items()
        for each in of_class.at_prevalences
    ]
    head = (
        *(("Class",) if several else ()),
        "Prevalence",
        "Positive predictive value",
        "Negative predictive value",
        "False alarms among 100",
        "Number needed to read",
    )
    figures = tuple(range(1 + several, len(head)))
    beyond = max(0, len(rows) - TABLE_ROWS)
    caption = "Where another share has the disease"
    return Table(caption, head, tuple(rows[:TABLE_ROWS]), beyond, figures) if rows else None


def _at_prevalence(found: AtPrevalence) -> tuple[str, ...]:
    needed = found.number_needed_to_read
    return (
        percent(found.prevalence) + (", as observed here" if found.observed else ""),
        measured("precision", found.precision),
        measured("npv", found.npv),
        _tenths(found.alarms_per_100),
        "not defined" if needed is None else number(needed, 1),
    )


def _tenths(estimate: Estimate) -> str:
    """Return a count that is a mean, with one decimal."""
    if estimate.value is None:
        return measured("alarms", estimate)
    if estimate.low is None or estimate.high is None:
        return number(estimate.value, 1)
    return f"{number(estimate.value, 1)} ({number(estimate.low, 1)}–{number(estimate.high, 1)})"


def referral_table(found: Abstention, positive: str | None) -> Table | None:
    """Return what becomes of the rest when the least certain images go to a reader, None without a row."""
    recall = f"Sensitivity for {positive} of the rest" if positive else "Sensitivity of the rest, mean"
    rows = tuple(
        (
            percent(row.share),
            grouped(row.referred),
            measured("recall", row.recall),
            "–" if row.missed is None else grouped(row.missed),
            measured("share", row.error),
        )
        for row in found.referrals
    )
    head = ("Referred", "Images", recall, "Missed among the rest", "Wrong among the rest")
    return (
        Table("If the least certain images go to a reader", head, rows, figures=(1, 2, 3, 4))
        if rows
        else None
    )


def conformal_table(found: Conformal) -> Table:
    """Return coverage of the sets, class by class and in all."""
    rows = [("All", "–", "–", measured("share", found.coverage))]
    rows += [
        (
            name,
            grouped(found.calibrated_on.get(name, 0)),
            number(found.thresholds.get(name), 4),
            measured("share", coverage),
        )
        for name, coverage in list(found.by_class.items())[:TABLE_ROWS]
    ]
    head = ("Class", "Calibrated on (images)", "Least probability", "Sets that hold the right class")
    aim = f"Sets of classes, made to hold the right one in {percent(1 - found.alpha)} of each class"
    return Table(aim, head, tuple(rows), len(found.by_class) - len(rows) + 1, (1, 2, 3))


def conformal_facts(found: Conformal) -> tuple[Fact, ...]:
    """Return how large the sets are."""
    return (
        Fact("Classes in a set, mean", number(found.mean_size, 2)),
        Fact("Sets with one class", measured("share", found.singletons)),
        Fact("Empty sets", measured("share", found.empties)),
    )


def label_facts(evaluation: Evaluation) -> tuple[Fact, ...]:
    """Return how the labels of an image go together, () where an image has one."""
    found = evaluation.label_set
    if found is None:
        return ()
    here, called = found.cardinality
    return (
        Fact(
            "Labels an image, mean",
            f"{number(here, 2)} by the reference standard, {number(called, 2)} called",
        ),
        Fact("Images with every label right", measured("share", found.exact_match)),
    )


def together_table(evaluation: Evaluation, *, most: int = 8) -> Table | None:
    """Return how many images carry two labels, None without several labels an image or with too many to print."""
    found, names = evaluation.label_set, evaluation.classes
    if found is None or len(names) > most:
        return None
    rows = tuple((name, *map(grouped, counts)) for name, counts in zip(names, found.together, strict=True))
    caption = "Images of the reference standard that carry both labels"
    return Table(caption, ("Label", *names), rows, figures=tuple(range(1, len(names) + 1)))


def protocol_facts(evaluation: Evaluation) -> tuple[Fact, ...]:
    """Return the figures by a benchmark's own definitions, () where they were not asked for."""
    found = evaluation.protocol
    if found is None:
        return ()
    named: Mapping[str, float | None] = {"AUC": found.auc, "ACC": found.acc}
    facts = [
        Fact(
            f"{name} as {found.name} defines it",
            number(value, 4) if value is not None else f"not defined: {found.reason}",
        )
        for name, value in named.items()
    ]
    return (*facts, Fact("Definition", found.definition))
