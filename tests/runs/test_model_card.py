"""A model card is read with suspicion: one that contradicts itself answers nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.errors import RunError
from medimg_cli.runs.run import Run
from tests.inference.small_runs import THRESHOLD, card_of

CARD: dict[str, Any] = card_of(
    "small-cnn", classes=("NORMAL", "SPOT"), positive="SPOT", threshold=THRESHOLD
).model_dump(mode="json")


def read(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    Run(folder).read_card()


def changed(place: str, value: object) -> str:
    card = json.loads(json.dumps(CARD))
    *path, last = place.split(".")
    inner = card
    for name in path:
        inner = inner[name]
    inner[last] = value
    return json.dumps(card)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(
            ("threshold.value", value)
            for value in (1.5, -0.1, float("nan"), float("inf"), "x", "0.5", True, None)
        ),
        *(("temperature", value) for value in (0, -1, True, float("nan"), float("inf"))),
        ("positive", "OTHER"),
        ("positive", None),
        ("answers", "sigmoid"),
        ("classes", []),
        ("classes", ["SPOT", "SPOT"]),
        ("classes", ["", "SPOT"]),
        ("classes", [" ", "SPOT"]),
        ("classes", ["a\nb", "SPOT"]),
        ("version", 2),
        ("version", 0),
        ("recipe.size_px", 0),
        ("recipe.size_px", 1_000_000),
        ("recipe.version", 9),
        ("recipe.window", [40, 0]),
        ("recipe.window", [float("nan"), 400]),
        ("recipe.channels", 2),
        ("normalisation.std", [0]),
        ("normalisation.mean", [float("nan")]),
        ("normalisation.mean", [0.1, 0.1, 0.1]),
        ("thresholds", {"OTHER": THRESHOLD.model_dump()}),
        ("thresholds", {"SPOT": THRESHOLD.model_dump() | {"value": 2}}),
        ("threshold.achieved_recall", 1.7),
        ("sets", {"alpha": 0.1, "least": {"OTHER": 0.1}, "counts": {}, "split": "val"}),
        ("answers", "magic"),
        ("recalibration", {"scale": 1.0, "shift": [0.1]}),
        ("recalibration", {"scale": float("nan"), "shift": [0.1, 0.1]}),
        ("over_views", {"threshold": THRESHOLD.model_dump() | {"value": -1}}),
        ("members", [{"folder": "../x", "weights_sha256": ""}]),
        ("members", [{"folder": "a", "weights_sha256": ""}] * 2),
    ],
)
def test_a_card_that_contradicts_itself_is_refused_with_the_field(
    tmp_path: Path, place: str, value: object
) -> None:
    with pytest.raises(RunError) as error:
        read(tmp_path, changed(place, value))
    assert "\n" not in error.value.what
    finite = "NaN" not in changed(place, value) and "Infinity" not in changed(place, value)
    assert not finite or place.split(".")[0] in error.value.what


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"version": 1, "version": 1}',
        json.dumps(CARD).replace("0.4,", "1e999,", 1),
        json.dumps(CARD).replace('"temperature": 1.7', '"temperature": ' + "9" * 5000),
        json.dumps(CARD)[:-5],
        "\ufeff" + json.dumps(CARD),
        json.dumps(CARD).replace("NORMAL", "\\ud800"),
    ],
    ids=range(11),
)
def test_what_is_no_card_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(RunError) as error:
        read(tmp_path, text)
    assert "\n" not in error.value.what


def test_the_card_that_these_are_changes_of_is_taken(tmp_path: Path) -> None:
    read(tmp_path, json.dumps(CARD))
