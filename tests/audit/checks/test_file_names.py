"""Identities in paths: found, masked, and no false alarm on the names of public data sets."""

import random
from pathlib import Path

import pytest

from medimg_cli.audit.checks.file_names import file_names
from medimg_cli.audit.findings import AuditContext
from tests.audit.checks.cohort import clean_cohort, with_rows


@pytest.mark.parametrize(
    ("path", "severity", "shown"),
    [
        ("raw/DOE^JANE/left.png", "warning", "raw/xxx^xxxx/left.png"),
        ("raw/2021-02-03/left.png", "warning", "raw/####-##-##/left.png"),
        ("raw/mrn123456.png", "warning", "raw/xxx######.png"),
        ("raw/1.2.840.113619.2.55.3.png", "info", "raw/#.#.###.######.#.##.#.png"),
    ],
)
def test_an_identity_is_told_masked(path: str, severity: str, shown: str, tmp_path: Path) -> None:
    (finding,) = file_names(with_rows(clean_cohort(tmp_path), ["val-sick-001"], path=path)).findings
    assert (finding.severity, finding.count, finding.image_ids) == (severity, 1, ("val-sick-001",))
    assert f"'{shown}'" in finding.message
    assert not any(part in finding.message for part in ("JANE", "2021", "123456", "840"))


def test_each_kind_is_one_finding_however_many_images(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ["val-sick-001", "val-sick-002"], path="raw/DOE^JANE_1.png")
    context = with_rows(context, ["val-sick-003"], path="raw/20210203.png")
    assert [
        (finding.message.split(" in the path")[0], finding.count) for finding in file_names(context).findings
    ] == [
        ("a calendar date", 1),
        ("what looks like a person's name", 2),
    ]


def _paths(root: Path, paths: list[str]) -> AuditContext:
    context = clean_cohort(root)
    context.dataset.rows.loc[: len(paths) - 1, "path"] = paths
    return context


def test_record_numbers_are_a_warning_and_counters_are_silent(tmp_path: Path) -> None:
    numbers = random.Random(0).sample(range(10**5, 10**6), 100)
    (finding,) = file_names(_paths(tmp_path, [f"raw/{number}.png" for number in numbers])).findings
    assert (finding.severity, finding.count) == ("warning", 100)
    assert "'raw/######.png' (Safe Harbor H)" in finding.message
    assert file_names(_paths(tmp_path, [f"raw/img{100_000 + n}.png" for n in range(100)])).findings == ()


def test_numbers_in_a_row_and_one_number_for_all_are_info(tmp_path: Path) -> None:
    (dense,) = file_names(_paths(tmp_path, [f"raw/{4_711_023 + 3 * n}.png" for n in range(108)])).findings
    assert (dense.severity, "close together" in dense.message) == ("info", True)
    (shared,) = file_names(_paths(tmp_path, [f"raw/{n}_1024768.png" for n in range(108)])).findings
    assert (shared.severity, "one and the same" in shared.message) == ("info", True)


def test_folders_above_the_source_do_not_count(tmp_path: Path) -> None:
    source = tmp_path / "2021-02-03"
    context = clean_cohort(source)
    inside = with_rows(context, ["val-sick-001"], path=str(source / "raw" / "a" / "left.png"))
    assert file_names(inside).findings == ()
    elsewhere = with_rows(context, ["val-sick-001"], path=str(source / "left.png"))
    assert file_names(elsewhere).findings == ()


@pytest.mark.parametrize("name", ["chest_xray", "chest_xray_fullres", "breast_ultrasound"])
def test_public_data_sets_raise_no_alarm(name: str, shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / name
    paths = [path.relative_to(root).as_posix() for path in root.rglob("*.*")]
    context = clean_cohort(tmp_path, {"train": (len(paths) + 1) // 2})
    rows = context.dataset.rows.iloc[: len(paths)]
    context.dataset.rows.loc[rows.index, "path"] = paths
    assert len(paths) > 30
    assert file_names(context).findings == ()
