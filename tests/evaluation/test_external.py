"""Images from elsewhere: what of them a model can answer, and what they share with its training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.dataset.manifest import Dataset, DatasetInfo
from medimg_cli.errors import DataError, GateError, UsageError
from medimg_cli.evaluation.external import as_the_model_has_it, is_fresh, leakage_from, name_of
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.run import Fingerprint, ModelCard, Normalisation
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace

FINGERPRINT = Fingerprint(dataset_hash="", train_images=1, train_patients=1, val_images=1, class_counts={})


def card(*classes: str, several: bool = False) -> ModelCard:
    return ModelCard(
        arch="small-cnn",
        classes=classes,
        positive=None,
        recipe=Recipe(size_px=8, channels=1),
        normalisation=Normalisation(mean=(0.5,), std=(0.2,)),
        threshold=None,
        fingerprint=FINGERPRINT,
        weights_sha256="",
        answers="sigmoid" if several else "softmax",
    )


def images(
    labels: list[str], classes: tuple[str, ...], *, several: bool = False, patients_from: str = "unknown"
) -> Dataset:
    rows = pd.DataFrame({"image_id": [f"i{number}" for number in range(len(labels))], "label": labels})
    rows = rows.assign(sha256=rows["image_id"], patient_id="p1", split="train", status="ok")
    info = DatasetInfo(
        classes=classes,
        positive=None,
        multi_label=several,
        seed=0,
        layout="folders",
        sources=(),
        patients_known=True,
        patients_from=patients_from,
        split_origin="",
    )
    return Dataset(rows, info)


def test_a_name_is_one_that_files_may_have() -> None:
    assert name_of(Path("/data/St. Mary's (2024)")) == "St.-Mary-s-2024"
    assert name_of(Path("/")) == "images"


def test_classes_stand_in_the_model_s_order_and_all_images_in_one_split() -> None:
    found = as_the_model_has_it(images(["b", "a"], ("a", "b")), card("b", "c", "a"), "external-x")
    assert (found.info.classes, found.rows["split"].unique().tolist()) == (("b", "c", "a"), ["external-x"])
    assert np.asarray(found.targets(found.rows)).tolist() == [0, 2]


def test_a_label_that_the_images_do_not_know_was_judged_by_nobody() -> None:
    theirs = images(["mass", ""], ("mass",), several=True)
    found = as_the_model_has_it(theirs, card("edema", "mass", several=True), "external-x")
    marks = found.targets(found.rows)
    assert np.isnan(marks[:, 0]).all() and marks[:, 1].tolist() == [1, 0]


def test_one_label_an_image_is_not_several() -> None:
    with pytest.raises(DataError, match="one label each, the model knows several"):
        as_the_model_has_it(images(["a"], ("a", "b")), card("a", "b", several=True), "external-x")


def test_half_a_data_set_that_a_killed_command_left_is_none(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    place.manifest_path.parent.mkdir()
    place.manifest_path.write_text("image_id\n")
    assert not is_fresh(place, tmp_path, IngestSettings())


def test_patients_are_compared_only_by_the_ids_of_dicom_headers() -> None:
    ours, theirs = images(["a"], ("a",), patients_from="DICOM header"), images(["a"], ("a",))
    theirs = Dataset(theirs.rows.assign(sha256="other"), theirs.info)
    assert "not comparable" in leakage_from(ours, theirs, allowed=False)[0].not_compared
    named = Dataset(theirs.rows, ours.info)
    with pytest.raises(GateError, match="0 files and 1 patient were"):
        leakage_from(ours, named, allowed=False)
    allowed, measured = leakage_from(ours, named, allowed=True)
    assert len(measured.rows) == 1 and allowed.leak is not None and allowed.leak.patient == 1
    assert (allowed.shared_patients, allowed.not_compared) == (1, "")


def test_images_that_were_trained_on_are_counted_and_left_out_when_asked() -> None:
    ours, theirs = images(["a"] * 3, ("a",)), images(["a"] * 5, ("a",))
    theirs = Dataset(theirs.rows.assign(split="external-x"), theirs.info)
    with pytest.raises(GateError, match="3 of 5 tested images have a counterpart"):
        leakage_from(ours, theirs, allowed=False)
    leakage, measured = leakage_from(ours, theirs, allowed=False, without_leaked=True)
    assert (leakage.left_out, leakage.shared_files, list(measured.rows["image_id"])) == (3, 0, ["i3", "i4"])
    assert leakage.leak is not None
    assert (leakage.leak.of, leakage.leak.images, leakage.leak.identical, leakage.leak.near) == (
        5,
        3,
        3,
        None,
    )
    with pytest.raises(DataError, match="3 of 3 tested images"):
        same = Dataset(ours.rows.assign(split="external-x"), ours.info)
        leakage_from(ours, same, allowed=False, without_leaked=True)
    with pytest.raises(UsageError, match="not at hand"):
        leakage_from(None, theirs, allowed=False, without_leaked=True)
