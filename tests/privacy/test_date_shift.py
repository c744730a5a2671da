"""Dates moved by days: gaps kept, forms kept, nonsense refused."""

from datetime import date, timedelta

import pytest

from medimg_cli.privacy.removal.header_cleaner import capped_age, shifted_date, shifted_date_time


def test_gaps_are_kept_over_months_and_leap_years() -> None:
    first, second = date(2020, 2, 20), date(2020, 3, 5)
    for days in (-1, -30, -366, -3650):
        moved = [shifted_date(f"{day:%Y%m%d}", days) for day in (first, second)]
        assert moved == [f"{day + timedelta(days=days):%Y%m%d}" for day in (first, second)]


@pytest.mark.parametrize("text", ["", "2021", "20210230", "2021-03-01", "20211", "yesterday", "00000000"])
def test_what_is_no_date_is_none(text: str) -> None:
    assert shifted_date(text, -10) is None


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20210301", "20210228"),
        ("2021030112", "2021022812"),
        ("20210301123456.123456", "20210228123456.123456"),
        ("20210301123456-0800", "20210228123456-0800"),
        ("202103", "202103"),
        ("2021", "2021"),
        ("2021+0100", "2021+0100"),
    ],
)
def test_a_date_time_keeps_its_precision_time_and_offset(text: str, moved: str) -> None:
    assert shifted_date_time(text, -1) == moved


def test_a_month_and_a_year_move_by_what_the_days_come_to() -> None:
    assert shifted_date_time("202103", -31) == "202102"
    assert shifted_date_time("2021", -366) == "2020"


@pytest.mark.parametrize("text", ["", "20210230", "2021-03-01", "20211301", "12:30"])
def test_what_is_no_date_time_is_none(text: str) -> None:
    assert shifted_date_time(text, -10) is None


@pytest.mark.parametrize(
    ("text", "capped"),
    [("045Y", "045Y"), ("089Y", "089Y"), ("090Y", "090Y"), ("104Y", "090Y"), ("900M", "900M"), ("45", None)],
)
def test_an_age_above_89_is_told_as_90(text: str, capped: str | None) -> None:
    assert capped_age(text) == capped
