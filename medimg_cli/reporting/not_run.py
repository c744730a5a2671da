"""What was not done, and why."""

from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.tables.headline import Fact
from medimg_cli.reporting.tables.number_format import sentence

_TITLES = {
    "operating": "Other thresholds and prevalences",
    "patient_level": "Results by patient",
    "exams": "Results by exam",
    "calibration": "Calibration",
    "decision_curves": "Decision curves",
    "abstention": "Referral of uncertain images",
    "conformal": "Sets of classes",
    "comparison": "Comparison with another model",
    "subgroups": "Results by group",
    "shift": "Differences between training and tested images",
    "robustness": "Disturbed images",
    "baselines": "Baselines",
    "histograms": "Histograms of probabilities",
    "label_set": "Labels that go together",
}
_NOT_ASKED = "not part of this evaluation; `medimg evaluate` again adds it"


def why_not(evaluation: Evaluation, analysis: str) -> str:
    """Return one sentence on why an analysis has no result."""
    return sentence(f"not done: {evaluation.not_run.get(analysis, _NOT_ASKED)}")


def omitted(content: ReportContent) -> tuple[Fact, ...]:
    """Return the analyses and checks that did not run, each with its reason."""
    evaluation, audit = content.evaluation, content.audit
    facts = [
        Fact(_TITLES.get(name, name.replace("_", " ").capitalize()), sentence(reason))
        for name, reason in evaluation.not_run.items()
        if name != "label_set" or evaluation.several_labels
    ]
    if evaluation.leakage.near_duplicates is None:
        facts.append(Fact("Near duplicates between splits", "Not searched for."))
    if content.explained is None:
        facts.append(Fact("Explanations", "Nobody looked at heat maps: `medimg predict --explain` does."))
    if audit is None:
        return (*facts, Fact("Label audit", "Not run: `medimg label-audit` does."))
    return (*facts, *(Fact(f"Audit check {each.check}", sentence(each.why)) for each in audit.checks_skipped))
