"""What an evaluation says on the items of guidelines; "" where it says nothing."""

from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.limitations import limitations
from medimg_cli.reporting.tables.number_format import grouped, measured, metric_title
from medimg_cli.reporting.verdict import positive_recall, threshold_line
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.plain_text import plural

_CALLED = ("recall", "specificity", "auroc", "macro_recall", "accuracy", "macro_auroc")
_NAMED_METRICS = 6


def metrics(content: ReportContent) -> str:
    """Return which figures were computed."""
    names = [metric_title(name) for name in content.evaluation.metrics]
    more = f" and {len(names) - _NAMED_METRICS} more" if len(names) > _NAMED_METRICS else ""
    return ", ".join(names[:_NAMED_METRICS]) + more


def uncertainty(content: ReportContent) -> str:
    """Return how the intervals were made."""
    methods = sorted({figure.method for figure in content.evaluation.metrics.values() if figure.method})
    return (
        f"95 % intervals: {'; '.join(methods)}; {content.evaluation.resampled}s resampled" if methods else ""
    )


def statistics(content: ReportContent) -> str:
    found = uncertainty(content)
    return found and f"{metrics(content)}; {found}"


def _headline_figures(content: ReportContent) -> list[tuple[str, Estimate]]:
    found = content.evaluation.metrics
    recall = positive_recall(content.evaluation)
    first = [("recall", recall)] if recall is not None else []
    return first + [
        (name, found[name]) for name in _CALLED if name in found and (name != "recall" or not first)
    ]


def accuracy(content: ReportContent) -> str:
    """Return the first figures, where at least one has an interval."""
    figures = _headline_figures(content)[:3]
    if not any(figure.low is not None for _, figure in figures):
        return ""
    return ", ".join(f"{metric_title(name)} {measured(name, figure)}" for name, figure in figures)


def summary(content: ReportContent) -> str:
    """Say what of a structured abstract stands on the cover."""
    return "the cover gives the main results with their intervals" if accuracy(content) else ""


def test_size(content: ReportContent) -> str:
    """Return the size of the test and how wide the interval came out."""
    evaluation, recall = content.evaluation, positive_recall(content.evaluation)
    of = plural(evaluation.n, "image")
    if evaluation.leakage.patients_known:
        of += f" of {plural(evaluation.patients, 'patient')}"
    if recall is None or recall.low is None or recall.high is None:
        return of
    return f"{of}; the interval of sensitivity is {100 * (recall.high - recall.low):.1f} points wide"


def threshold(content: ReportContent) -> str:
    """Return which answer counts as positive and how that was fixed before testing."""
    if content.evaluation.threshold is None and not content.evaluation.several_labels:
        return "the most probable class is the answer; no threshold"
    return threshold_line(content.evaluation)


def prediction(content: ReportContent) -> str:
    """Return how an answer is computed."""
    views = content.evaluation.views
    seen = f"mean over {views} views of an image" if views > 1 else "one view of an image"
    return f"medimg predict with the model's own recipe: {content.card.answers}, {seen}"


def internal_testing(content: ReportContent) -> str:
    return (
        f"the {content.evaluation.split} split was not trained on"
        if content.evaluation.split == "test"
        else ""
    )


def external_testing(content: ReportContent) -> str:
    tested = [each for each in (content.evaluation, *content.external) if each.split.startswith("external")]
    return "; ".join(f"{each.split.removeprefix('external-')}: {plural(each.n, 'image')}" for each in tested)


def robustness(content: ReportContent) -> str:
    found = content.evaluation.robustness
    if found is None:
        return ""
    kinds = list(dict.fromkeys(row.disturbance for row in found.rows))
    return f"{plural(found.n, 'image')} under {', '.join(kinds)}"


def subgroups(content: ReportContent) -> str:
    found = content.evaluation.subgroups
    if found is None or not found.groupings:
        return ""
    return f"by {', '.join(grouping.column for grouping in found.groupings)}"


def variability(content: ReportContent) -> str:
    return "; ".join(filter(None, (subgroups(content), robustness(content))))


def shift(content: ReportContent) -> str:
    """Return how the tested images were compared with those learnt from."""
    found = content.evaluation.shift
    if found is None or not found.rows:
        return ""
    large = sum(row.large for row in found.rows)
    return f"{len(found.rows)} properties compared with the training images, {large} differ by much"


def parts(content: ReportContent) -> str:
    """Return for which parts of the data performance is given beside the whole."""
    evaluation = content.evaluation
    chosen_on = "validation and test at the threshold" if evaluation.threshold is not None else "test"
    return f"{chosen_on}; {plural(len(evaluation.per_class), 'class')}"


def failures(content: ReportContent) -> str:
    """Return how many errors are shown."""
    evaluation = content.evaluation
    if not content.cases or (evaluation.confusion is None and not evaluation.several_labels):
        return ""
    wrong = "; ".join(f"{kind.title.lower()}: {grouped(kind.total)}" for kind in content.cases)
    return f"{wrong}; listed and pictured"


def explanations(content: ReportContent) -> str:
    """Return how heat maps are made and whether they passed their check; "" where nobody looked."""
    return "" if content.explained is None else content.explained.known.in_words()


def cross_tabulation(content: ReportContent) -> str:
    confusion = content.evaluation.confusion
    return (
        f"{len(confusion.labels)} × {len(confusion.labels)} table of counts" if confusion is not None else ""
    )


def abstention(content: ReportContent) -> str:
    """Return what becomes of uncertain answers."""
    if content.evaluation.abstention is not None:
        return "every readable image tested is answered, also what predicting would refuse; what referring the least certain would change is shown"
    return "every readable image tested is answered, also what predicting would refuse; there is no indeterminate answer"


def prevalence(content: ReportContent) -> str:
    """Return the shares of the classes among the tested images."""
    evaluation = content.evaluation
    if not evaluation.n:
        return ""
    shares = [f"{name} {100 * count / evaluation.n:.1f} %" for name, count in evaluation.class_counts.items()]
    return "tested images: " + ", ".join(shares[:4])


def found_limitations(content: ReportContent) -> str:
    return f"{plural(len(limitations(content)), 'limitation')} found in the records"
