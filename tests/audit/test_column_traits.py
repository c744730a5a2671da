"""Which columns of a manifest can be shortcuts."""

import numpy as np
import pandas as pd
from pandas.testing import assert_series_equal

from medimg_cli.audit.shortcuts.column_traits import Trait, carried_traits, column_traits
from medimg_cli.dataset.manifest import DatasetInfo, Origin


def _traits(**columns: list[str]) -> dict[str, Trait]:
    read = Origin(path="x", prefix="", reading={"label_col": "report_a, report_b"})
    info = DatasetInfo(
        classes=("healthy", "sick"),
        positive="sick",
        seed=0,
        layout="csv",
        sources=(),
        patients_known=True,
        split_origin="",
        origins=(read,),
    )
    rows = pd.DataFrame({"image_id": ["a", "b", "c"], "label": ["sick", "sick", "healthy"], **columns})
    return {trait.title: trait for trait in column_traits(rows, info)}


def test_sites_ages_and_unknown_columns_are_told_apart() -> None:
    found = _traits(
        scanner=["A", "B", ""], age=["40", "", "62.5"], stage=["I", "II", "I"], magnification=["1"] * 3
    )
    kinds = {title: trait.kind for title, trait in found.items()}
    assert kinds == {
        "column 'scanner'": "origin",
        "column 'age'": "patient",
        "column 'stage'": "column",
        "column 'magnification'": "origin",
    }
    assert found["column 'scanner'"].values == ["A", "B", ""]
    ages = found["column 'age'"].values
    assert_series_equal(pd.Series(ages), pd.Series([40, np.nan, 62.5]))


def test_of_a_date_only_the_year_is_used() -> None:
    found = _traits(study_date=["2019-03-04", "20200506", "2021-01-01 10:00"])
    (trait,) = found.values()
    assert trait.title == "year in column 'study_date'"
    assert list(trait.values) == [2019, 2020, 2021]


def test_identifiers_labels_and_what_medimg_wrote_are_no_traits() -> None:
    found = _traits(
        study_uid=["1.2", "1.3", "1.4"],
        second_look=["sick", "healthy", ""],
        report_a=["x", "y", "z"],
        fold=["0", "1", "2"],
        label_second=["sick|other", "x", "y"],
        empty=["", "", ""],
    )
    assert found == {}


def test_values_that_may_name_people_or_places_are_hidden() -> None:
    (trait,) = _traits(hospital=["St. Example"] * 3).values()
    assert trait.hidden
    assert all("Example" not in name for name in trait.binned().names)


def test_free_text_is_no_trait_however_small_the_set_and_a_few_sentences_are() -> None:
    rows = pd.DataFrame({"image_id": [str(n) for n in range(60)], "label": ["sick"] * 60})
    rows["Comment"] = [f"no. {n % 25} seen at the visit" for n in range(60)]
    rows["device"] = [f"{'AB'[n % 2]} in the second room on the left" for n in range(60)]
    rows["unit"] = [f"ward {n % 25}" for n in range(60)]
    assert [trait.title for trait in carried_traits(rows, ())] == ["column 'device'", "column 'unit'"]
