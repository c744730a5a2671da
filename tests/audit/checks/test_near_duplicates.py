"""Near duplicates: what each group breaks, in words and severity."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from medimg_cli.audit.checks.near_duplicates import near_duplicates
from medimg_cli.audit.findings import AuditContext, Finding
from medimg_cli.audit.measurements.thumbnails import SIDE_PX, Thumbnails, appending
from tests.audit.bodies import Picture, draw, small
from tests.audit.checks.cohort import clean_cohort, with_info, with_measurements, with_rows

ONE, TWO = "train-sick-000", "train-sick-001"


def _cohort(root: Path, copies: dict[str, Picture]) -> AuditContext:
    """Return a cohort of bodies of their own, but for the pictures given."""
    context = clean_cohort(root, {"train": 8, "val": 3, "test": 3})
    images = list(context.dataset.rows["image_id"])
    path = root / "bodies.u8"
    with appending(path, keep=0) as writer:
        numbers = {
            image: writer.append(copies.get(image, small(draw(number + 100))))
            for number, image in enumerate(images)
        }
    context = with_rows(context, images, width=SIDE_PX, height=SIDE_PX)
    return replace(context, thumbnails=Thumbnails(path, numbers))


def _copies(*images: str, like: Picture | None = None) -> dict[str, Picture]:
    """Return brighter copies of one picture."""
    picture = draw(0) if like is None else like
    return {image: small((picture * (1 - 0.05 * n)).astype(np.uint8)) for n, image in enumerate(images)}


def _told(context: AuditContext) -> list[tuple[str, str]]:
    return [(finding.severity, _words(finding)) for finding in near_duplicates(context).findings]


def _words(finding: Finding) -> str:
    return finding.message.split(") ", 1)[1].split(":")[0].split(";")[0].split(" (")[0]


def test_bodies_of_their_own_are_compared_and_nothing_is_said(tmp_path: Path) -> None:
    checked = near_duplicates(_cohort(tmp_path, {}))
    assert checked.findings == ()
    assert checked.did.startswith("28 different pictures searched for copies")


def test_a_copy_in_another_split_is_an_error_with_its_similarity_and_kind(tmp_path: Path) -> None:
    copies = {**_copies(ONE), "test-sick-000": small(draw(0)[:, ::-1])}
    (finding,) = near_duplicates(_cohort(tmp_path, copies)).findings
    assert (finding.severity, finding.count, finding.remedy) == ("error", 1, "keep-one")
    assert "across splits (train and test: 1)" in finding.message
    assert finding.groups == ((ONE, "test-sick-000"),)
    assert finding.notes[ONE].endswith("to 'test-sick-000': mirrored")
    assert set(finding.notes) == {ONE, "test-sick-000"}


def test_one_picture_with_two_labels_is_a_label_conflict(tmp_path: Path) -> None:
    context = _cohort(tmp_path, _copies(ONE, "train-healthy-000"))
    assert ("error", "across classes, a label conflict") in _told(context)


def test_two_frames_of_one_patient_may_rightly_have_two_labels(tmp_path: Path) -> None:
    context = _cohort(tmp_path, _copies(ONE, "train-healthy-000"))
    context = with_rows(context, [ONE, "train-healthy-000"], patient_id="one")
    assert _told(context) == [("warning", "across classes, a possible label conflict")]


def test_a_copy_under_another_patient_is_told_as_such_where_patients_are_known(tmp_path: Path) -> None:
    context = _cohort(tmp_path, _copies(ONE, TWO))
    assert _told(context) == [("warning", "under different patients, within one split")]
    unknown = with_info(context, patients_known=False)
    assert _told(unknown) == [("warning", "within one class and split")]


def test_a_film_of_one_patient_in_one_split_is_information_and_a_few_views_are_nothing(
    tmp_path: Path,
) -> None:
    images = [f"train-sick-{number:03d}" for number in range(8)]
    film = with_rows(_cohort(tmp_path, _copies(*images)), images, patient_id="one")
    assert _told(film) == [("info", "of one patient within one split, frames of a film")]
    views = with_rows(film, images[2:], status="excluded")
    assert near_duplicates(views).findings == ()


def test_pictures_equal_pixel_by_pixel_are_left_to_their_own_check(tmp_path: Path) -> None:
    context = with_measurements(_cohort(tmp_path, _copies(ONE, TWO)), [ONE, TWO], pixel_sha256="same")
    assert near_duplicates(context).findings == ()


def test_an_image_equal_to_a_copy_belongs_to_its_group(tmp_path: Path) -> None:
    context = _cohort(tmp_path, _copies(ONE, TWO, "test-sick-000"))
    context = with_measurements(context, [TWO, "test-sick-000"], pixel_sha256="same")
    (finding,) = near_duplicates(context).findings
    assert finding.severity == "error"
    assert finding.groups == ((ONE, TWO, "test-sick-000"),)


def test_a_pair_that_only_may_be_a_copy_is_information(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 18, draw(0).shape)
    doubtful = (draw(0) + noise).clip(0, 255).astype(np.uint8)
    (finding,) = near_duplicates(
        _cohort(tmp_path, {ONE: small(draw(0)), "test-sick-000": small(doubtful)})
    ).findings
    assert finding.severity == "info"
    assert "that look the same (2 images) that may be copies" in finding.message


def test_pictures_too_small_to_compare_are_counted(tmp_path: Path) -> None:
    context = with_rows(_cohort(tmp_path, _copies(ONE, TWO)), [ONE, TWO], width=20)
    checked = near_duplicates(context)
    assert checked.findings == ()
    assert "left out: 2 smaller than 24 px" in checked.did


def test_excluded_and_unreadable_images_are_no_copies(tmp_path: Path) -> None:
    context = _cohort(tmp_path, _copies(ONE, TWO))
    assert near_duplicates(with_rows(context, [ONE], status="excluded")).findings == ()
    assert near_duplicates(with_measurements(context, [ONE], readable=False)).findings == ()


def test_names_in_messages_and_notes_are_masked(tmp_path: Path) -> None:
    context = _cohort(tmp_path, _copies(ONE, TWO))
    name = "DOE^JANE_left"
    rows = context.dataset.rows.replace({"image_id": {TWO: name}})
    numbers = {name if image == TWO else image: n for n, image in enumerate(context.dataset.rows["image_id"])}
    context = replace(
        context,
        dataset=replace(context.dataset, rows=rows),
        measurements=context.measurements.rename(index={TWO: name}),
        thumbnails=Thumbnails(tmp_path / "bodies.u8", numbers),
    )
    (finding,) = near_duplicates(context).findings
    assert "DOE" not in finding.message + finding.notes[ONE]
    assert "xxx^xxxx" in finding.message
