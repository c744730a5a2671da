"""Which copy stays."""

from pathlib import Path

import pytest

from medimg_cli.audit.decisions import Decision, Standing
from medimg_cli.audit.remedies import Plan, plan_marks
from medimg_cli.dataset.manifest import Dataset, read_dataset
from tests.audit.audit_cohort import blank, copies, doubted, write_study

NOBODY = Standing([], {})


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return read_dataset(write_study(tmp_path))


def excluded(plan: Plan) -> dict[str, str]:
    return {mark.image_id: mark.reason for mark in plan.marks}


def test_the_test_copy_stays_before_val_and_val_before_train(dataset: Dataset) -> None:
    plan = plan_marks(
        [copies(("sick/train-6", "sick/val-15", "sick/test-21"), ("healthy/val-12", "healthy/train-0"))],
        dataset,
        NOBODY,
    )
    assert excluded(plan) == {
        "sick/train-6": "label-audit: exact-duplicates: copy of sick/test-21",
        "sick/val-15": "label-audit: exact-duplicates: copy of sick/test-21",
        "healthy/train-0": "label-audit: exact-duplicates: copy of healthy/val-12",
    }


def test_within_a_split_a_known_patient_stays_then_the_lowest_id(dataset: Dataset) -> None:
    group = ("sick/train-11", "sick/train-10", "sick/train-9")
    assert set(excluded(plan_marks([copies(group)], dataset, NOBODY))) == {"sick/train-10", "sick/train-11"}
    nameless = dataset.rows.copy()
    nameless.loc[nameless["image_id"] == "sick/train-9", "patient_id"] = "sick/train-9"
    plan = plan_marks([copies(group)], Dataset(nameless, dataset.info), NOBODY)
    assert set(excluded(plan)) == {"sick/train-9", "sick/train-11"}


def test_copies_under_different_labels_are_left_for_a_reader(dataset: Dataset) -> None:
    plan = plan_marks([copies(("healthy/train-0", "sick/test-21"))], dataset, NOBODY)
    assert plan == Plan((), 1)


def test_what_goes_anyway_is_not_the_copy_that_stays(dataset: Dataset) -> None:
    plan = plan_marks([copies(("sick/train-6", "sick/test-21")), blank("sick/test-21")], dataset, NOBODY)
    assert excluded(plan) == {"sick/test-21": "label-audit: image-quality: every pixel is 0"}


def test_chained_groups_keep_one_image_of_the_whole_chain(dataset: Dataset) -> None:
    plan = plan_marks(
        [copies(("sick/train-6", "sick/train-7")), copies(("sick/train-7", "sick/train-8"))], dataset, NOBODY
    )
    assert set(excluded(plan)) == {"sick/train-7"}


def test_what_a_reviewer_kept_stays(dataset: Dataset) -> None:
    contents = dict(zip(dataset.rows["image_id"], dataset.rows["sha256"], strict=True))

    def keep(image: str, check: str) -> Decision:
        return Decision("", "A", image, "keep", check, sha256=contents[image])

    standing = Standing(
        [keep("sick/train-6", "exact-duplicates"), keep("sick/val-15", "image-quality")], contents
    )
    plan = plan_marks([copies(("sick/train-6", "sick/test-21")), blank("sick/val-15")], dataset, standing)
    assert set(excluded(plan)) == {"sick/test-21"}


def test_a_finding_to_look_at_excludes_nothing(dataset: Dataset) -> None:
    assert plan_marks([doubted("sick/train-6")], dataset, NOBODY) == Plan((), 0)


def test_images_that_are_excluded_already_do_not_count_as_copies(dataset: Dataset) -> None:
    rows = dataset.rows.copy()
    rows.loc[rows["image_id"] == "sick/test-21", "status"] = "excluded"
    plan = plan_marks([copies(("sick/train-6", "sick/test-21"))], Dataset(rows, dataset.info), NOBODY)
    assert plan.marks == ()
