"""Label errors: flipped labels are listed worst first, and nothing is said of a data set without any."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.audit.checks.label_errors import label_errors
from medimg_cli.audit.findings import AuditContext, CheckSkipped
from medimg_cli.audit.measurements.thumbnails import SIDE_PX, Thumbnails, appending
from tests.audit.checks.cohort import clean_cohort, ids, with_info, with_rows

SIZES = {"train": 160, "val": 20, "test": 20}


def _told_apart(folder: Path, sizes: dict[str, int] = SIZES) -> AuditContext:
    """Return the clean cohort with a bright disc in the pictures of the sick."""
    context = clean_cohort(folder, sizes)
    return replace(context, thumbnails=_discs(folder, list(context.dataset.rows["image_id"])))


def _discs(folder: Path, image_ids: list[str]) -> Thumbnails:
    generator = np.random.default_rng(0)
    path = folder / "discs.u8"
    with appending(path, keep=0) as pictures:
        numbers = {image: pictures.append(_disc(generator, "sick" in image)) for image in image_ids}
    return Thumbnails(path, numbers)


def _disc(generator: np.random.Generator, shown: bool) -> NDArray[np.uint8]:
    picture = generator.normal(90, 3, (SIDE_PX, SIDE_PX))
    if shown:
        rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
        middle = generator.integers(40, 56, 2)
        picture += 60 * ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < 24**2)
    return picture.clip(0, 255).astype(np.uint8)


def test_right_labels_are_not_doubted(tmp_path: Path) -> None:
    checked = label_errors(_told_apart(tmp_path))
    assert checked.findings == ()
    assert checked.did == (
        "400 labels against pixels (5 folds by patient, AUROC 1.00): about 0 may be wrong or hard to tell (0.0%)"
    )


def test_flipped_labels_of_all_splits_are_listed_by_direction(tmp_path: Path) -> None:
    flipped = [*ids("train", "sick", 3), *ids("val", "sick", 1), *ids("test", "sick", 1)]
    context = with_rows(_told_apart(tmp_path), flipped, label="healthy")
    context = with_rows(context, ids("train", "healthy", 1), label="sick")
    checked = label_errors(context)
    many, one = checked.findings
    assert (many.severity, many.count, set(many.image_ids)) == ("warning", 5, set(flipped))
    assert many.message == "5 images labelled healthy look like sick"
    assert (one.severity, one.image_ids) == ("info", ("train-healthy-000",))
    assert one.message == "1 image labelled sick looks like healthy"
    assert "about 6 may be wrong" in checked.did
    assert {found.remedy for found in checked.findings} == {"look"}


def test_notes_tell_both_classes_and_the_rank_worst_first(tmp_path: Path) -> None:
    context = with_rows(_told_apart(tmp_path), ids("train", "sick", 4), label="healthy")
    (finding,) = label_errors(context).findings
    assert tuple(finding.notes) == finding.image_ids
    shown = [note.split("(")[1].split(")")[0] for note in finding.notes.values()]
    assert shown == sorted(shown, reverse=True)
    for rank, note in enumerate(finding.notes.values(), start=1):
        assert note.startswith("given healthy, looks like sick (")
        assert note.endswith(f"; rank {rank}")


def test_the_same_seed_lists_the_same(tmp_path: Path) -> None:
    context = with_rows(_told_apart(tmp_path), ids("train", "sick", 4), label="healthy")
    assert label_errors(context) == label_errors(context)


def test_a_long_list_is_cut_and_its_length_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medimg_cli.audit.checks.label_errors.MAX_LISTED", 2)
    context = with_rows(_told_apart(tmp_path), ids("train", "sick", 5), label="healthy")
    (finding,) = label_errors(context).findings
    assert (finding.count, len(finding.image_ids)) == (5, 2)
    assert finding.message.endswith("(the first 2 are listed)")


def test_copies_do_not_vouch_for_each_other(tmp_path: Path) -> None:
    """Five copies with one wrong label stand in one fold, so none of them teaches the label of another."""
    context = _told_apart(tmp_path)
    copies = ids("train", "sick", 5)
    measured = context.measurements.copy()
    measured.loc[copies, "pixel_sha256"] = "same"
    context = with_rows(replace(context, measurements=measured), copies, label="healthy")
    (finding,) = label_errors(context).findings
    assert set(finding.image_ids) == set(copies)


def test_excluded_images_are_left_out(tmp_path: Path) -> None:
    context = with_rows(_told_apart(tmp_path), ids("train", "sick", 4), label="healthy", status="excluded")
    checked = label_errors(context)
    assert checked.findings == ()
    assert checked.did.startswith("396 labels")


def test_a_network_at_hand_is_asked_for_every_image(tmp_path: Path) -> None:
    asked: list[str] = []

    def embed(paths: Sequence[str]) -> NDArray[np.float32]:
        asked.extend(paths)
        shown = np.array([["sick" in path] for path in paths], dtype=np.float32)
        return np.hstack([shown, 1 - shown])

    # The pictures are noise: only the network tells the classes apart.
    context = replace(clean_cohort(tmp_path, SIZES), embed=embed)
    checked = label_errors(context)
    assert len(asked) == 400
    assert all(Path(path).is_absolute() for path in asked)
    assert "against a network and pixels" in checked.did
    # Without the network the check would have been skipped, as the next test shows.


def test_pictures_that_do_not_tell_classes_apart_say_nothing_of_labels(tmp_path: Path) -> None:
    with pytest.raises(CheckSkipped, match="cannot tell the classes apart"):
        label_errors(clean_cohort(tmp_path, SIZES))


def test_few_images_and_few_patients_are_no_base(tmp_path: Path) -> None:
    with pytest.raises(CheckSkipped, match="fewer than 50"):
        label_errors(_told_apart(tmp_path / "few", {"train": 24}))
    context = with_rows(_told_apart(tmp_path / "one"), ids("train", "sick", 160), patient_id="one")
    context = with_rows(context, [*ids("val", "sick", 20), *ids("test", "sick", 20)], patient_id="two")
    with pytest.raises(CheckSkipped, match="fewer than 2 classes have 10 patients"):
        label_errors(context)


def test_several_labels_an_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckSkipped, match="several labels"):
        label_errors(with_info(_told_apart(tmp_path), multi_label=True))
