"""What decisions mean in use: fixed trade-offs, and predictive values at other prevalences."""

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.at_prevalence import at_prevalences
from medimg_cli.evaluation.results.decisions import Operating, OperatingPoints
from medimg_cli.evaluation.trade_offs import trade_offs_of


@ANALYSES.register("operating")
def operating(subject: Subject) -> OperatingPoints | str:
    """Return trade-offs and predictive values of each class that is asked about and that is shown with and without."""
    stated = subject.settings.prevalence
    by_class = {
        name: Operating(trade_offs=trade_offs_of(view), at_prevalences=at_prevalences(view, stated))
        for name, view in subject.here.questions.items()
        if view.has_both
    }
    return OperatingPoints(by_class=by_class) if by_class else "no class occurs both with and without it"
