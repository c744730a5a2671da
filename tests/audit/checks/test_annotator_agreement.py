"""Agreement of readers: measured with the images they could not settle, told by image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.audit.checks.annotator_agreement import annotator_agreement
from medimg_cli.audit.findings import AuditContext, CheckSkipped
from medimg_cli.dataset.manifest import QUARANTINE_COLUMNS, Origin, read_dataset, read_quarantine
from medimg_cli.workspace.workspace import Workspace
from tests.audit.checks.cohort import clean_cohort, ids, with_info, with_rows
from tests.conftest import medimg


def _read_by(context: AuditContext, *readers: str) -> AuditContext:
    """Return the cohort as labelled by readers who all agree."""
    reading = {"layout": "csv", "label_col": ",".join(readers)}
    context = with_info(context, origins=(Origin(path="raw", prefix="", reading=reading),))
    for label in ("healthy", "sick"):
        images = [image for image in context.dataset.rows["image_id"] if label in image]
        context = with_rows(context, images, **{f"label_{reader}": label for reader in readers})
    return context


def _undecided(context: AuditContext, *reasons: str) -> AuditContext:
    rows = [
        {"path": f"raw/{n}.png", "reason": reason, "bytes": "9", "sha256": ""}
        for n, reason in enumerate(reasons)
    ]
    return replace(context, quarantine=pd.DataFrame(rows, columns=list(QUARANTINE_COLUMNS)))


def test_one_column_of_labels_is_no_agreement(tmp_path: Path) -> None:
    with pytest.raises(CheckSkipped, match="one column of labels"):
        annotator_agreement(clean_cohort(tmp_path))
    with pytest.raises(CheckSkipped, match="one column of labels"):
        annotator_agreement(_read_by(clean_cohort(tmp_path), "ann"))


def test_a_carried_column_that_is_called_like_a_label_is_no_reader(tmp_path: Path) -> None:
    context = _read_by(clean_cohort(tmp_path), "ann")
    images = list(context.dataset.rows["image_id"])
    with pytest.raises(CheckSkipped):
        annotator_agreement(with_rows(context, images, label_source="biopsy"))


def test_readers_who_agree_are_told_without_a_finding(tmp_path: Path) -> None:
    checked = annotator_agreement(_read_by(clean_cohort(tmp_path), "ann", "bob"))
    assert checked.findings == ()
    assert checked.did == (
        "Cohen's kappa of 2 readers on 108 images, those without a majority included: 1.00"
    )


def test_images_that_readers_differ_about_are_named_with_what_each_said(tmp_path: Path) -> None:
    context = _read_by(clean_cohort(tmp_path), "ann", "bob", "cid")
    context = with_rows(context, ids("train", "sick", 2), label_cid="healthy")
    context = with_rows(context, ids("test", "sick", 1), label_cid="")
    checked = annotator_agreement(context)
    (finding,) = checked.findings
    assert (finding.severity, finding.image_ids) == ("info", tuple(ids("train", "sick", 2)))
    assert finding.message == "readers differ about 2 of 108 images"
    assert finding.notes["train-sick-000"] == "ann: sick, bob: sick, cid: healthy"
    assert checked.did.startswith("Fleiss' kappa of 3 readers on 108 images")


def test_a_low_kappa_is_a_warning_with_the_pair_that_agrees_least(tmp_path: Path) -> None:
    context = _read_by(clean_cohort(tmp_path), "ann", "bob", "cid")
    context = with_rows(context, ids("train", "sick", 30), label_cid="healthy")
    context = with_rows(context, ids("train", "healthy", 15), label_bob="sick")
    warning, info = annotator_agreement(context).findings
    assert (warning.severity, info.severity) == ("warning", "info")
    # The pairs of 45 of the 108 images agree in one of three; 54 + 15/3 - 30/3 images' worth of labels are "sick".
    sick = (54 + 15 / 3 - 30 / 3) / 108
    chance = sick**2 + (1 - sick) ** 2
    kappa = ((63 + 45 / 3) / 108 - chance) / (1 - chance)
    assert f"Fleiss' kappa of 3 readers is {kappa:.2f} (95 % interval" in warning.message
    assert "moderate agreement; least between bob and cid" in warning.message
    assert set(warning.image_ids) == {*ids("train", "sick", 30), *ids("train", "healthy", 15)}


def test_images_without_a_majority_count_although_they_are_in_quarantine(tmp_path: Path) -> None:
    context = _read_by(clean_cohort(tmp_path), "ann", "bob")
    tied = ["annotators disagree: ann sick, bob healthy"] * 20 + [
        "annotators disagree: ann healthy, bob sick"
    ] * 20
    warning, info = annotator_agreement(_undecided(context, *tied, "the file is empty")).findings
    # 108 agreements and 40 differences with even margins: 2 * 108/148 - 1.
    assert "Cohen's kappa of 2 readers is 0.46" in warning.message
    assert info.message == (
        "readers differ about 40 of 148 images; 40 of them have no majority and stand in quarantine"
    )


def test_excluded_images_and_hardly_any_are_no_base(tmp_path: Path) -> None:
    context = _read_by(clean_cohort(tmp_path), "ann", "bob")
    most = [image for image in context.dataset.rows["image_id"] if image not in ids("test", "sick", 9)]
    with pytest.raises(CheckSkipped, match="9 images with labels of two readers"):
        annotator_agreement(with_rows(context, most, status="excluded"))


def test_names_of_people_in_the_readers_columns_are_masked(tmp_path: Path) -> None:
    context = _read_by(clean_cohort(tmp_path), "DOE^JANE", "bob")
    context = with_rows(context, ids("train", "sick", 1), **{"label_DOE^JANE": "healthy"})
    (finding,) = annotator_agreement(context).findings
    assert finding.notes["train-sick-000"] == "xxx^xxxx: healthy, bob: sick"


def test_what_ingest_makes_of_two_columns_of_readers_is_understood(tmp_path: Path) -> None:
    """The reason in the quarantine is a text of the layout's: here both ends meet."""
    generator = np.random.default_rng(0)
    lines = ["file,ann,bob (2nd)"]
    for number in range(40):
        name = f"{number}.png"
        Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / name)
        label = ("Sick, left", "Well")[number % 2]
        other = ("Well", "Sick, left")[number % 2] if number < 10 else label
        lines.append(f'{name},"{label}","{other}"')
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    study = tmp_path / "study"
    labels = ("--labels", str(tmp_path / "labels.csv"), "--label-col", "ann,bob (2nd)")
    assert medimg(study, "ingest", str(tmp_path), *labels, "--layout", "csv") == 0
    workspace = Workspace(study)
    context = replace(
        clean_cohort(tmp_path / "other"),
        dataset=read_dataset(workspace),
        quarantine=read_quarantine(workspace),
    )
    checked = annotator_agreement(context)
    # Thirty agreements, five differences either way: 2 * 30/40 - 1.
    assert checked.did.startswith(
        "Cohen's kappa of 2 readers on 40 images, those without a majority included: 0.50"
    )
    assert [finding.count for finding in checked.findings] == [40, 10]
