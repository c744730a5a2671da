"""Which columns of the metadata make groups, and which level each image has."""

import numpy as np
import pandas as pd
import pytest

from medimg_cli.errors import UsageError
from medimg_cli.evaluation.subgroup_levels import (
    NOT_KNOWN,
    Levels,
    absent_from,
    asked_columns,
    crossed,
    levels_of,
    looked_for,
    usual_columns,
    years_of,
)


def counts(levels: Levels) -> dict[str, int]:
    return {name: int((levels.codes == place).sum()) for place, name in enumerate(levels.names)}


@pytest.mark.parametrize(
    ("column", "held"),
    [
        ("Sex", "sex"),
        ("PatientSex", "sex"),
        ("Patient Gender", "sex"),
        ("age_approx", "age"),
        ("PatientAge", "age"),
        ("InstitutionName", "site"),
        ("hospital", "site"),
        ("Manufacturer", "device"),
        ("ManufacturerModelName", "device"),
        ("View Position", "view"),
        ("ViewPosition", "view"),
        ("race", "ethnicity"),
        ("fitzpatrick_skin_type", "skin type"),
        ("Geschlecht", "sex"),
        ("GÉNERO", "sex"),
        ("Âge", "age"),
        ("Alter (Jahre)", "age"),
        ("Edad del paciente", "age"),
        ("età", "age"),
        ("Hôpital", "site"),
        ("Gerät", "device"),
        ("anatom_site_general", None),
        ("Alteration", None),
        ("device_uid", None),
        ("StudyDate", None),
        ("page", None),
        ("prob_view", None),
        ("width", None),
        ("center_x", None),
        ("model_score", None),
    ],
)
def test_columns_are_known_by_their_usual_names(column: str, held: str | None) -> None:
    assert looked_for(column) == held


def test_usual_columns_without_a_single_value_are_as_good_as_absent() -> None:
    rows = pd.DataFrame(
        {"image_id": ["a", "b"], "sex": ["", "unknown"], "Age": ["", "044Y"], "note": ["x", "y"]}
    )
    assert usual_columns(rows) == ("Age",)
    assert absent_from(usual_columns(rows)) == ("sex", "site", "device", "view", "ethnicity", "skin type")


def test_a_column_that_is_not_there_is_named_with_the_closest_one() -> None:
    there = ("image_id", "Sex", "scanner", "prob_ill")
    assert asked_columns(("sex", "SCANNER", "Sex"), there) == ("Sex", "scanner")
    with pytest.raises(UsageError, match="no column 'scaner'") as caught:
        asked_columns(("scaner",), there)
    assert caught.value.hint == "did you mean 'scanner'?"
    with pytest.raises(UsageError) as caught:
        asked_columns(("xyz",), there)
    assert caught.value.hint == "known: Sex, scanner"


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("045Y", 45),
        ("018M", 1.5),
        ("052W", 52 * 7 / 365.25),
        ("90+", 90),
        (">89", 89),
        ("61.5", 61.5),
        ("7 years", 7),
    ],
)
def test_ages_are_read_as_people_and_dicom_write_them(text: str, years: float) -> None:
    assert years_of(text) == pytest.approx(years)


@pytest.mark.parametrize("text", ["", "old", "411", "60-70", "-3"])
def test_what_is_no_age_is_none(text: str) -> None:
    assert np.isnan(years_of(text))


def test_ages_stand_in_ranges_in_their_order() -> None:
    found = levels_of(
        pd.Series(["80", "017Y", "18", "39", "40", "59.9", "100", "", "079Y", "0", "60"]), "age"
    )
    assert counts(found) == {"0–17": 2, "18–39": 2, "40–59": 2, "60–79": 2, "80+": 2, NOT_KNOWN: 1}
    assert [found.names[place] for place in found.rest] == [NOT_KNOWN]


def test_children_stand_in_ranges_of_their_own() -> None:
    assert counts(levels_of(pd.Series(["006M", "2", "5", "6", "11", "17"]), "age")) == {
        "0–1": 1,
        "2–5": 2,
        "6–11": 2,
        "12–17": 1,
    }


def test_ages_that_are_words_stay_words() -> None:
    assert counts(levels_of(pd.Series(["adult", "child", "adult"]), "age")) == {"adult": 2, "child": 1}


def test_many_numbers_stand_in_quartiles_that_share_no_image() -> None:
    found = levels_of(pd.Series([*map(str, range(1, 41)), ""]), "lesion_mm")
    assert counts(found) == {"1–10": 10, "11–20": 10, "21–30": 10, "31–40": 10, NOT_KNOWN: 1}
    on_edges = levels_of(pd.Series(range(1, 14)), "lesion_mm")
    assert counts(on_edges) == {"1–4": 4, "5–7": 3, "8–10": 3, "11–13": 3}
    assert levels_of(pd.Series(np.arange(16) / 8), "depth").names == (
        "0.0–0.4",
        "0.5–0.9",
        "1.0–1.4",
        "1.5–1.9",
    )


def test_few_different_numbers_and_the_numbers_of_sites_are_levels_as_they_are() -> None:
    assert counts(levels_of(pd.Series(["2", "10", "2", "1"]), "lesions")) == {"1": 1, "2": 2, "10": 1}
    assert levels_of(pd.Series([str(number) for number in range(100, 140)]), "site").names[-1] == "29 others"


def test_texts_are_the_same_in_whatever_case_and_the_most_frequent_come_first() -> None:
    found = levels_of(pd.Series(["f", "M", " F", "F", "m", "F", "N/A", "O"]), "sex")
    assert counts(found) == {"F": 4, "M": 2, "O": 1, NOT_KNOWN: 1}


def test_beyond_twelve_levels_the_rarest_are_taken_together_and_are_no_level_of_their_own() -> None:
    cells = [f"s{number}" for number in range(14) for _ in range(20 - number)]
    found = levels_of(pd.Series(cells), "site")
    assert len(found.names) == 12
    assert found.names[:2] == ("s0", "s1")
    assert found.names[-1] == "3 others"
    assert found.rest == {11}
    assert sum(counts(found).values()) == len(cells)


def test_two_columns_at_once_hold_each_pair_that_occurs() -> None:
    sex = levels_of(pd.Series(["F", "F", "F", "M", "M", "F"]), "sex")
    view = levels_of(pd.Series(["AP", "AP", "PA", "PA", "", "AP"]), "view")
    both = crossed(sex, view)
    assert both.column == "sex × view"
    assert counts(both) == {"F · AP": 3, "F · PA": 1, "M · PA": 1, "M · not known": 1}
    assert [both.names[place] for place in both.rest] == ["M · not known"]
