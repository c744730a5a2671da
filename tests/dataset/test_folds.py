"""Folds: whole patients, even classes, the manifest's own where it has them."""

import pandas as pd
import pytest

from medimg_cli.dataset.manifest import Dataset, DatasetInfo
from medimg_cli.dataset.splits import dealt_rows
from medimg_cli.errors import DataError


def data_set(
    labels: str, *, positive: str | None = "b", folds: int | None = None, **columns: object
) -> Dataset:
    """Return one image a letter of `labels`, two a patient in turn, all in train or val."""
    count = len(labels)
    rows = pd.DataFrame(
        {
            "image_id": [f"i{number:02d}" for number in range(count)],
            "label": list(labels),
            "patient_id": [f"p{number // 2}" for number in range(count)],
            "sha256": [f"h{number}" for number in range(count)],
            "split": ["val" if number % 4 == 3 else "train" for number in range(count)],
            "status": ["ok"] * count,
        }
        | columns
    )
    info = DatasetInfo(
        classes=("a", "b"),
        positive=positive,
        seed=3,
        layout="folders",
        sources=(),
        patients_known=True,
        split_origin="",
        folds=folds,
    )
    return Dataset(rows, info)


def folds_of(dataset: Dataset, count: int) -> dict[str, str]:
    rows = dealt_rows(dataset, count)
    return dict(zip(rows["image_id"], rows["fold"], strict=True))


def test_patients_stay_together_and_classes_are_spread_evenly() -> None:
    rows = dealt_rows(data_set("aabb" * 9), 3)
    assert rows.groupby("patient_id")["fold"].nunique().max() == 1
    assert rows.groupby(["fold", "label"]).size().tolist() == [6] * 6


def test_images_of_the_same_content_stay_together() -> None:
    dataset = data_set("aabb" * 4)
    dataset.rows.loc[[0, 14], "sha256"] = "twin"
    for seed in range(8):
        other = Dataset(dataset.rows, dataset.info.model_copy(update={"seed": seed}))
        folds = folds_of(other, 2)
        assert folds["i00"] == folds["i14"]


def test_test_and_excluded_images_are_left_out() -> None:
    dataset = data_set("aabb" * 4)
    dataset.rows.loc[[0, 1], "split"] = "test"
    dataset.rows.loc[5, "status"] = "excluded"
    assert set(folds_of(dataset, 2)) == set(dataset.rows["image_id"]) - {"i00", "i01", "i05"}


def test_the_manifests_own_folds_are_taken_where_there_are_as_many() -> None:
    own = [str(number // 2 % 4 // 2) for number in range(16)]
    dataset = data_set("aabb" * 4, folds=2, fold=own)
    assert list(folds_of(dataset, 2).values()) == own
    assert len(set(folds_of(dataset, 4).values())) == 4


@pytest.mark.parametrize(
    ("labels", "positive", "folds", "said"),
    [
        ("aabb", "b", 5, "train and val hold 2 patients"),
        ("aaaabb", None, 2, "class 'b' is in 1 of the folds alone"),
        ("aaaabbaabb", "b", 3, "class 'b' is in 2 of the folds alone, so the others could not be judged"),
    ],
)
def test_too_many_folds_are_refused(labels: str, positive: str | None, folds: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        dealt_rows(data_set(labels, positive=positive), folds)
