"""The audit as one page: the verdict, every finding with its images, and what every check did."""

import base64
import hashlib
from collections import Counter

import jinja2

from medimg_cli.audit.findings import SEVERITIES
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.reporting.audit.gallery import AuditPageContent
from medimg_cli.reporting.charts.scales import has_long_word, shortened, squeezed
from medimg_cli.reporting.content import STATEMENT, Fact
from medimg_cli.reporting.tables import number_format as numbers
from medimg_cli.reporting.tables import tables
from medimg_cli.workspace.files import templates_dir

_DO_FIRST = 3


def render_audit_page(content: AuditPageContent) -> str:
    """Return the audit as one HTML page that loads nothing and runs nothing; the same audit gives the same bytes."""
    environment = _environment()
    style = environment.get_template("style.css").render() + environment.get_template("audit.css").render()
    # The browser compares the text between the tags, which begins and ends with a line break (CSP Level 3 §8.3).
    digest = hashlib.sha256(f"\n{style}\n".encode()).digest()
    return environment.get_template("audit.html").render(
        content=content,
        result=content.result,
        galleries=content.galleries,
        style=style,
        style_hash=base64.b64encode(digest).decode("ascii"),
        statement=STATEMENT,
        verdict=_verdict(content),
        counts=_counts(content),
        about=_about(content),
        first=tuple(enumerate(content.result.findings, start=1))[:_DO_FIRST],
        rule=_rule(content),
        data_facts=_data_facts(content),
        split_table=tables.split_table(content.dataset),
        exclusion_table=tables.exclusion_table(content.dataset),
        anchors={number: g.number for g in content.galleries for number in (g.number, *g.also)},
    )


def _environment() -> jinja2.Environment:
    folders = [templates_dir() / "audit", templates_dir() / "report"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=lambda name: name is not None and not name.endswith(".css"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        numbers.coded,
        numbers.grouped,
        numbers.plural,
        numbers.sentence,
        has_long_word,
        shortened,
        squeezed,
    )
    environment.filters.update({each.__name__: each for each in filters})
    return environment


def _about(content: AuditPageContent) -> str:
    """Return the set's name and size: "chest_xray: 5,840 images of 2 classes"."""
    info, usable = content.dataset.info, content.dataset.usable
    name = ", ".join(map(mask_identities, tables.source_names(info.sources))) or "data set"
    size = f"{numbers.plural(len(usable), 'image')} of {numbers.plural(len(info.classes), 'class')}"
    patients = usable["patient_id"].nunique()
    return f"{name}: {size}" + (f", {numbers.plural(patients, 'patient')}" if info.patients_known else "")


def _counts(content: AuditPageContent) -> str:
    """Return "2 errors, 1 warning", or that nothing was found."""
    tally = Counter(finding.severity for finding in content.result.findings)
    nouns = {"error": "error", "warning": "warning", "info": "remark"}
    said = [numbers.plural(tally[name], nouns[name]) for name in SEVERITIES if tally[name]]
    return ", ".join(said) or "no findings"


def _verdict(content: AuditPageContent) -> str:
    """Return the first word of the page; `--fail-on never` changes the exit code, not what was found."""
    return "Passed" if content.result.passed else "Did not pass"


def _rule(content: AuditPageContent) -> str:
    """Return what the verdict rests on, in words."""
    if content.result.failed:
        return "A check stopped on an error of its own, so the audit is not complete."
    rules = {
        "error": "An audit passes without an error.",
        "warning": "An audit passes without an error or a warning (--fail-on warning).",
        "never": "An audit passes without an error; the command was not to fail (--fail-on never).",
    }
    return rules[content.fail_on]


def _data_facts(content: AuditPageContent) -> tuple[Fact, ...]:
    dataset, info = content.dataset, content.dataset.info
    usable = dataset.usable
    positive = f", positive class {info.positive}" if info.positive else ""
    patients = dataset.patients_in_words
    if info.patients_known:
        patients = f"{numbers.grouped(usable['patient_id'].nunique())}, {patients}"
    excluded = len(dataset.rows) - len(usable)
    sources = ", ".join(map(mask_identities, tables.source_names(info.sources)))
    return (
        Fact("Sources", f"{sources} (layout {info.layout})"),
        Fact(
            "Images", f"{numbers.grouped(len(usable))} audited, {numbers.grouped(excluded)} excluded before"
        ),
        Fact("Patients", patients),
        Fact("Classes", ", ".join(info.classes) + positive),
        Fact("Split", info.split_origin),
        Fact("Files that could not be used", numbers.grouped(info.quarantined)),
        Fact("Data set, SHA-256", content.result.dataset_hash),
    )
