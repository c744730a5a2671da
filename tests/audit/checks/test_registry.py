"""The contract every check keeps, run over the whole shelf."""

import pkgutil
from dataclasses import replace
from pathlib import Path

import pytest

import medimg_cli.audit.checks
from medimg_cli.audit.checks import CHECKS
from medimg_cli.audit.findings import AuditContext, CheckSkipped, Finding
from medimg_cli.audit.measurements.image_statistics import STATISTICS_COLUMNS
from medimg_cli.errors import UsageError
from tests.audit.checks.cohort import clean_cohort, without

# The clean cohort has no DICOM file, so these have nothing to look at.
_NEEDS_DICOM = ("dicom-headers", "identities-by-value")
# Its pictures are noise whatever the class, and it has one column of labels.
_CANNOT_TELL = ("label-errors", "annotator-agreement")
FILES = sorted(module.name for module in pkgutil.iter_modules(medimg_cli.audit.checks.__path__))


def needed(name: str, context: AuditContext) -> AuditContext:
    """Return what an audit gives a check: figures that nobody asked for are not measured."""
    needs, unasked = CHECKS.get(name).needs, list(STATISTICS_COLUMNS)
    left_out = [*([] if "looks" in needs else unasked), *([] if "text" in needs else ["text_regions"])]
    return replace(context, measurements=context.measurements.drop(columns=left_out))


def test_every_file_of_the_shelf_is_one_check_named_after_it() -> None:
    assert [name.replace("-", "_") for name in CHECKS.names()] == FILES
    assert [CHECKS.get(name).name for name in CHECKS.names()] == list(CHECKS.names())


@pytest.mark.parametrize("name", CHECKS.names())
def test_every_check_says_in_one_line_what_it_is_about(name: str) -> None:
    about = CHECKS.get(name).about
    assert 20 < len(about) < 120
    assert "\n" not in about


@pytest.mark.parametrize("name", CHECKS.names())
def test_every_check_is_silent_on_a_clean_cohort(name: str, tmp_path: Path) -> None:
    try:
        checked = CHECKS.get(name).run(needed(name, clean_cohort(tmp_path)))
    except CheckSkipped as reason:
        assert name in _NEEDS_DICOM + _CANNOT_TELL, reason
    else:
        assert checked.findings == ()
        assert 10 < len(checked.did) < 200


@pytest.mark.parametrize("name", CHECKS.names())
def test_every_check_bears_a_cohort_without_images(name: str, tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    empty = without(context, list(context.dataset.rows["image_id"]))
    try:
        checked = CHECKS.get(name).run(needed(name, empty))
    except CheckSkipped as reason:
        assert str(reason)
    else:
        assert all(isinstance(finding, Finding) for finding in checked.findings)


def test_an_unknown_check_is_answered_with_the_closest_name() -> None:
    with pytest.raises(UsageError) as error:
        CHECKS.get("class-balanse")
    assert error.value.hint == "did you mean 'class-balance'?"
