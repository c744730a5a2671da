"""Copies augmented before the split: names say so, and pictures agree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from medimg_cli.audit.checks.augmented_copies import augmented_copies
from medimg_cli.audit.findings import AuditContext
from medimg_cli.audit.measurements.thumbnails import Thumbnails, appending
from tests.audit.bodies import Picture, draw, small
from tests.audit.checks.cohort import clean_cohort, with_rows

SOURCE, COPY = "train-sick-000", "test-sick-000"


def _cohort(root: Path, names: dict[str, str], pictures: dict[str, Picture]) -> AuditContext:
    context = clean_cohort(root, {"train": 5, "val": 2, "test": 2})
    path = root / "bodies.u8"
    with appending(path, keep=0) as writer:
        numbers = {
            image: writer.append(pictures.get(image, small(draw(100 + number))))
            for number, image in enumerate(context.dataset.rows["image_id"])
        }
    for image, name in names.items():
        context = with_rows(context, [image], path=f"raw/{name}")
    return replace(context, thumbnails=Thumbnails(path, numbers))


def _augmented(pixels: Picture) -> Picture:
    return np.asarray(Image.fromarray(pixels[:, ::-1]).rotate(9, Image.Resampling.BICUBIC))


def _alike() -> dict[str, Picture]:
    return {SOURCE: small(draw(0)), COPY: small(_augmented(draw(0)))}


def test_a_source_with_its_copy_in_another_split_is_an_error(tmp_path: Path) -> None:
    names = {SOURCE: "scan7.png", COPY: "scan7_0_4711.png"}
    (finding,) = augmented_copies(_cohort(tmp_path, names, _alike())).findings
    assert (finding.severity, finding.count, finding.groups) == ("error", 1, ((SOURCE, COPY),))
    assert "in more than one split (train and test: 1)" in finding.message
    assert "pictures alike in 1 of 1 looked at" in finding.message


def test_a_family_within_one_split_is_information(tmp_path: Path) -> None:
    names = {SOURCE: "scan7.png", "train-sick-001": "scan7_flip.png"}
    pictures = {SOURCE: small(draw(0)), "train-sick-001": small(_augmented(draw(0)))}
    (finding,) = augmented_copies(_cohort(tmp_path, names, pictures)).findings
    assert finding.severity == "info"
    assert "within one split" in finding.message


def test_names_are_not_believed_where_the_pictures_differ(tmp_path: Path) -> None:
    names = {SOURCE: "scan7.png", COPY: "scan7_0_4711.png"}
    checked = augmented_copies(_cohort(tmp_path, names, {}))
    assert checked.findings == ()
    assert "1 pair of pictures compared" in checked.did


def test_alike_pictures_with_ordinary_names_are_another_checks(tmp_path: Path) -> None:
    names = {SOURCE: "person1_bacteria_1.png", COPY: "person1_bacteria_2.png"}
    assert augmented_copies(_cohort(tmp_path, names, _alike())).findings == ()
