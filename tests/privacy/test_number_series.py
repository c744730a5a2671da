"""Counters and record numbers told apart over a whole data set."""

import random

import pytest

from medimg_cli.privacy.forms.names import judge_series, long_numbers


def _verdicts(names: list[str]) -> set[str]:
    return set(judge_series([long_numbers(name) for name in names]).values())


@pytest.mark.parametrize("template", ["scan_{}.png", "{}.dcm", "site3/{}/left.png", "MRN{}"])
def test_numbers_far_apart_are_record_numbers(template: str) -> None:
    generator = random.Random(0)
    for digits in (6, 7, 8, 10):
        numbers = generator.sample(range(10 ** (digits - 1), 10**digits), 400)
        assert _verdicts([template.format(number) for number in numbers]) <= {"record"}


@pytest.mark.parametrize("first", [100_000, 1_000_001, 200_000])
def test_a_series_from_a_round_number_is_a_counter(first: int) -> None:
    assert _verdicts([f"scan_{first + number}.png" for number in range(500)]) == {"counter"}
    assert _verdicts([f"scan_{first + number}.png" for number in range(0, 500, 2)]) == {"counter"}


def test_close_numbers_that_begin_anywhere_are_dense() -> None:
    assert _verdicts([f"{4_711_023 + 4 * number}.png" for number in range(300)]) == {"dense"}


def test_one_number_in_all_names_is_shared_and_in_a_few_a_record_number() -> None:
    assert _verdicts([f"{n}_1024768.png" for n in range(40)]) == {"shared"}
    assert _verdicts([f"471123/{n}.png" for n in range(4)]) == {"record"}
    assert _verdicts([f"471123/{n}.png" for n in range(40)] + [f"plain/{n}.png" for n in range(40)]) == {
        "record"
    }


def test_a_counter_beside_a_record_number_does_not_hide_it() -> None:
    generator = random.Random(1)
    names = [f"{generator.randrange(10**6, 10**7)}_frame{100_000 + number}.png" for number in range(200)]
    assert judge_series([long_numbers(name) for name in names]) == {"": "record", "#_frame": "counter"}


def test_many_images_of_few_patients_stay_record_numbers() -> None:
    names = [f"{patient}/{image}.png" for patient in (471123, 889214, 130977) for image in range(50)]
    assert _verdicts(names) == {"record"}
