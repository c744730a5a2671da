"""Results come in order, memory stays bounded, errors come through."""

import threading
from collections.abc import Iterator

import pytest

from medimg_cli.workspace.threads import map_ordered, one_ahead, usable_cores


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(map_ordered(lambda item: item * 2, range(100), workers=3)) == list(range(0, 200, 2))


def test_items_are_taken_only_as_results_are() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(1000):
            taken += 1
            yield item

    results = map_ordered(lambda item: item, items(), workers=2)
    next(results)
    assert taken <= 2 * 8 + 1


def test_an_error_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_ordered(lambda item: 1 // item, [1, 0, 1], workers=2))


def test_work_leaves_the_calling_thread() -> None:
    names = set(map_ordered(lambda _: threading.current_thread().name, range(4), workers=2))
    assert threading.current_thread().name not in names
    assert usable_cores() >= 1


def test_the_next_item_is_worked_on_while_one_is_looked_at() -> None:
    begun = [threading.Event() for _ in range(4)]

    def work(number: int) -> int:
        begun[number].set()
        return number * number

    results = one_ahead(work, iter(range(4)))
    assert next(results) == 0
    assert begun[1].wait(timeout=10), "the second item was not begun before it was asked for"
    assert not begun[2].is_set()
    assert list(results) == [1, 4, 9]


def test_what_fails_ahead_is_raised_in_its_turn() -> None:
    results = one_ahead(lambda number: 1 // number, iter([1, 0, 1]))
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
