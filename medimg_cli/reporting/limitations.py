"""What the numbers cannot carry: limitations seen in the records."""

from collections import Counter

from medimg_cli.audit.findings import AuditResult, Finding
from medimg_cli.dataset.manifest import Dataset, DatasetInfo
from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.reporting.charts.scales import short_name
from medimg_cli.reporting.content import FEW_POSITIVES, Fact, ReportContent
from medimg_cli.reporting.tables.number_format import sentence, split_title
from medimg_cli.reporting.verdict import further_warnings, positives
from medimg_cli.workspace.plain_text import plural

_SHORTCUTS = 4
_LARGE_SHIFTS = 4
_NOT_TESTED = {
    "shortcuts": "Whether format, device or border give the label away was not tested.",
    "label-errors": "Wrong labels were not looked for.",
}
# What a finding of a check means for the numbers, as long as its images are in use.
_STILL_OPEN = {
    "exact-duplicates": "Identical pictures are in use ({images}): they count several times, and intervals are too narrow.",
    "near-duplicates": "Nearly identical pictures are in use ({images}): intervals take them as independent and are too narrow.",
    "leaks": "Patients or pictures may stand on both sides of a split ({images}): the results may be too good.",
    "label-errors": "Labels in doubt were left as they are ({images}): a wrong one counts as an error of the model.",
    "image-quality": "Pictures of doubtful quality are in use ({images}).",
    "burned-in-text": "Text stands, or may stand, in the pixels ({images}): a model can learn from it where a picture comes from.",
}
_TITLES = {
    "operating": "Other thresholds and prevalences",
    "exams": "Results by exam",
    "patient_level": "Results by patient",
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


def limitations(content: ReportContent) -> tuple[str, ...]:
    """Return one sentence per limitation that the records show, gravest first."""
    evaluation = content.evaluation
    return (
        *_of_leakage(evaluation),
        *_of_the_split(content),
        *_of_numbers(evaluation),
        *(_of_data(content.dataset.info, evaluation) if content.dataset else ()),
        *_of_audit(content),
        *_of_what_was_tested(content),
        *further_warnings(evaluation),
        f"{'One ensemble' if content.card.members else 'One training run with one seed'}: how much results vary "
        "between runs was not measured.",
    )


def _of_what_was_tested(content: ReportContent) -> list[str]:
    """Say to whom and what the results may not extend."""
    evaluation = content.evaluation
    found = []
    if not any(each.split.startswith("external") for each in (evaluation, *content.external)):
        found.append(
            "Internal testing only: the tested images come from the same sources as the training images."
        )
    large = [row for row in evaluation.shift.rows if row.large] if evaluation.shift else []
    if large:
        listed = ", ".join(
            f"{row.name} ({row.train} there, {row.here} here)" for row in large[:_LARGE_SHIFTS]
        )
        found.append(f"The tested images differ from those the model learnt from: {listed}.")
    if evaluation.subgroups is None or not evaluation.subgroups.groupings:
        found.append("Results are not broken down by age, sex, device or site.")
    elif evaluation.subgroups.absent:
        absent = ", ".join(evaluation.subgroups.absent)
        found.append(f"Results are not broken down by what the data do not say: {absent}.")
    if evaluation.robustness is None:
        found.append("How the model answers blurred, noisy or otherwise disturbed images was not measured.")
    return found


def _of_leakage(evaluation: Evaluation) -> list[str]:
    leakage = evaluation.leakage
    found = []
    if leakage.shared_patients and not leakage.patients_certain:
        found.append(
            "Patient names read from files occur in more than one published split: if they are the same "
            "patients, all results are too good."
        )
    elif leakage.shared_patients or leakage.shared_files:
        found.append("Some tested images or patients were also used in training: all results are too good.")
    if leakage.near_duplicates:
        found.append(
            f"{plural(leakage.near_duplicates, 'tested image')} looked like an image of another split in another file "
            "(near duplicates): the results may be too good."
        )
    if not leakage.patients_known:
        found.append(
            "Patients are not known: images of one patient may stand in training and test, and the "
            "intervals take every image as independent."
        )
    return found


def _of_the_split(content: ReportContent) -> list[str]:
    evaluation = content.evaluation
    if evaluation.split == "test" or evaluation.split.startswith("external-"):
        return []
    if evaluation.split == "val" and content.card.folds:
        return [
            "These are out-of-fold results: no network answered an image that it had learnt from, but epochs and "
            "threshold were chosen on these images, so they are a little too good."
        ]
    return [
        f"These are results on the {split_title(evaluation.split)} split, which the training has seen: they are too good."
    ]


def _of_numbers(evaluation: Evaluation) -> list[str]:
    found = []
    tested = positives(evaluation)
    if tested is not None and tested < FEW_POSITIVES:
        found.append(
            f"Few positives: {plural(tested, 'tested image')} of {evaluation.positive}, so sensitivity is "
            "known only roughly."
        )
    small = [name for name, count in evaluation.class_counts.items() if count < FEW_POSITIVES]
    if tested is None and small:
        found.append(f"Fewer than {FEW_POSITIVES} tested images of: {', '.join(map(short_name, small[:8]))}.")
    if evaluation.positive is None:
        found.append("No positive class was stated: errors count the same whichever class they hit.")
    if evaluation.threshold is not None and evaluation.threshold.achieved_specificity is None:
        found.append("Specificity at the operating threshold is not known on the split it was chosen on.")
    return found


def _of_data(info: DatasetInfo, evaluation: Evaluation) -> list[str]:
    found = []
    if len(info.sources) == 1:
        found.append("Single source: all images come from one folder, and may share one site or device.")
    if info.positive_guessed and evaluation.positive is not None:
        found.append(f"That {evaluation.positive} is the positive class was guessed from the class names.")
    if info.quarantined:
        found.append(f"{plural(info.quarantined, 'file')} could not be used, and may differ from those used.")
    if info.multi_label:
        found.append("An image may carry several labels, so the classes do not exclude each other.")
    return found


def _of_audit(content: ReportContent) -> list[str]:
    if content.audit is None:
        return ["The labels were not audited: duplicates and label errors were not looked for."]
    found = [
        *_of_errors(content.audit),
        *_of_shortcuts(content.audit),
        *_of_open_findings(content.audit, content.dataset),
        *(text for check, text in _NOT_TESTED.items() if check not in content.audit.checks_run),
    ]
    if content.dataset and content.audit.dataset_hash != content.dataset.info.content_hash:
        found.append("The label audit looked at an earlier state of the data set.")
    return found


def _of_errors(audit: AuditResult) -> list[str]:
    by_check = Counter(finding.check for finding in audit.findings if finding.severity == "error")
    if not by_check:
        return []
    counts = ", ".join(f"{check} {count}" for check, count in sorted(by_check.items()))
    total = plural(by_check.total(), "finding")
    return [f"The label audit left {total} of severity error open ({counts})."]


def _of_shortcuts(audit: AuditResult) -> list[str]:
    """Repeat each shortcut without what follows its figures; the table of findings has it all."""
    shortcuts = [f for f in audit.findings if f.check == "shortcuts" and f.severity == "warning"]
    found = [
        f"A shortcut: {finding.message.split('; ')[0]}. The results may rest on it instead of the disease."
        for finding in shortcuts[:_SHORTCUTS]
    ]
    if len(shortcuts) > _SHORTCUTS:
        found.append(f"The label audit names {plural(len(shortcuts) - _SHORTCUTS, 'further shortcut')}.")
    return found


def _of_open_findings(audit: AuditResult, dataset: Dataset | None) -> list[str]:
    """Say what of the findings concerns images that are still in use."""
    usable = None if dataset is None else frozenset(dataset.usable["image_id"])
    found = []
    for check, text in _STILL_OPEN.items():
        images: set[str] = set()
        for finding in audit.findings:
            if finding.check == check and finding.severity != "info":
                images |= _still_open(finding, usable)
        if images:
            found.append(text.format(images=plural(len(images), "image")))
    return found


def _still_open(finding: Finding, usable: frozenset[str] | None) -> set[str]:
    """Return the images a finding still concerns; of copies that belong together, one alone is none."""
    groups = finding.groups or tuple((image,) for image in finding.image_ids)
    least = 2 if finding.groups else 1
    left = [{image for image in group if usable is None or image in usable} for group in groups]
    return {image for group in left if len(group) >= least for image in group}


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
