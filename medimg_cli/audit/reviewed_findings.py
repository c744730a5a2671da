"""What reviewers' decisions make of a finding: it weighs less, but it never goes silently."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from medimg_cli.audit.decisions import Action, Standing
from medimg_cli.audit.findings import SEVERITIES, Finding, Severity


def weigh(findings: Iterable[Finding], standing: Standing) -> tuple[Finding, ...]:
    """Return the findings with what was decided about their images.

    Where a named reviewer kept every image that a check flagged, the finding weighs one step less: an error
    becomes a warning, a warning information. It stays listed with the reviewers' names, and `--fail-on warning`
    still stops on what was an error. Whether a split leaks is asked again before every evaluation, whatever was
    kept here.
    """
    return tuple(_weighed(finding, standing) for finding in findings)


def _weighed(finding: Finding, standing: Standing) -> Finding:
    answers = [standing.answer(image, finding.check) for image in dict.fromkeys(finding.image_ids)]
    given = [answer for answer in answers if answer is not None]
    if not given:
        return finding
    said = Counter(answer.action for answer in given)
    words: dict[Action, str] = {"keep": "kept", "exclude": "to be excluded", "relabel": "relabelled"}
    counts = ", ".join(f"{said[action]:,} {word}" for action, word in words.items() if said[action])
    people = ", ".join(dict.fromkeys(answer.who or "a reviewer" for answer in given))
    reviewed = f"{len(given):,} of {len(answers):,} images reviewed by {people}: {counts}"
    severity = finding.severity
    if said["keep"] == len(answers):
        severity = _one_step_less(severity)
    return replace(finding, severity=severity, reviewed=reviewed)


def _one_step_less(severity: Severity) -> Severity:
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]
