"""The search gives what comparing every pair gives."""

import numpy as np
import pytest

from medimg_cli.audit.duplicates import likely_pairs as search
from medimg_cli.audit.duplicates.fingerprint import (
    LIKENESSES,
    Fingerprints,
    Likeness,
    Weighing,
    likeness_scores,
    reduced,
    transform,
)
from medimg_cli.audit.duplicates.likely_pairs import KEPT_PER_IMAGE, Cells, likely_pairs
from tests.audit.bodies import draw, small


@pytest.fixture(scope="module")
def known() -> Fingerprints:
    """Return 90 fingerprints of random coefficients, some of them alike."""
    random = np.random.default_rng(0)
    coefficients = random.normal(0, 1, (90, 144)).astype(np.float32)
    coefficients[45:] = coefficients[:45] + random.normal(0, 0.6, (45, 144))
    return Weighing([coefficients]).fingerprints(coefficients)


def _all_pairs(known: Fingerprints, floor: float) -> set[tuple[int, int]]:
    first, second = np.triu_indices(len(known), 1)
    score, _ = likeness_scores(known.values[first], known.values[second])
    keys = np.abs((known.keys[first] * known.keys[second]).sum(axis=1))
    alike = (score >= floor) & (keys >= floor)
    return set(zip(first[alike].tolist(), second[alike].tolist(), strict=True))


def test_every_pair_above_the_floor_is_found_once(
    known: Fingerprints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_ROWS", 16)
    monkeypatch.setattr(search, "_COLUMNS", 32)
    monkeypatch.setattr(search, "_COMPARED_AT_ONCE", 7)
    found = likely_pairs(known, floor=0.4)
    named = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(named) == len(set(named)) >= 40
    assert set(named) == _all_pairs(known, 0.4)


def test_queries_are_compared_with_every_picture_but_their_own(known: Fingerprints) -> None:
    found = likely_pairs(known, known.rows, floor=0.4)
    named = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    once = _all_pairs(known, 0.4)
    assert named == once | {(second, first) for first, second in once}


def test_cells_find_what_is_alike_among_the_likeliest_of_them(
    known: Fingerprints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_CELL", 6)
    exact = _all_pairs(known, 0.4)
    for cells, least in ((15, 1.0), (4, 0.9)):
        monkeypatch.setattr(search, "_NEAREST_CELLS", cells)
        found = likely_pairs(known, known.rows, floor=0.4, cells=Cells(known.keys))
        named = {
            tuple(sorted(pair)) for pair in zip(found.first.tolist(), found.second.tolist(), strict=True)
        }
        assert named <= exact
        assert len(named) >= least * len(exact)


def test_of_many_alike_only_the_nearest_are_kept_for_each() -> None:
    random = np.random.default_rng(0)
    coefficients = random.normal(0, 1, (1, 144)) + random.normal(0, 0.01, (200, 144))
    known = Weighing([np.eye(144, dtype=np.float32)]).fingerprints(coefficients.astype(np.float32))
    found = likely_pairs(known, floor=0.5)
    counts = np.bincount(found.first, minlength=200)
    assert counts[0] == KEPT_PER_IMAGE
    assert counts[-2] == 1


@pytest.mark.parametrize("number", range(8))
def test_the_fingerprint_of_a_changed_picture_names_the_likeness(number: int) -> None:
    likeness = LIKENESSES[number]
    pictures = np.stack([small(draw(seed)) for seed in range(20)])
    changed = np.stack([likeness.undo(picture.astype(np.float32)) for picture in pictures]).astype(np.uint8)
    coefficients = reduced(pictures) @ transform()
    weighing = Weighing([coefficients])
    altered = reduced(changed) @ transform()
    others = weighing.fingerprints(altered)
    score, found = likeness_scores(weighing.fingerprints(coefficients).values, others.values)
    assert score.min() > 0.98
    assert [LIKENESSES[place] for place in found] == [likeness] * 20


def test_a_likeness_says_in_words_what_was_done() -> None:
    assert Likeness().words == ""
    assert Likeness(mirrored=True, inverted=True).words == "mirrored, inverted"
    assert Likeness(mirrored=True, upside_down=True).words == "turned by half"
