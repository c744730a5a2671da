"""sample-size: plans without a data set, and with one a learning curve whose test split stays unread."""

import json
from pathlib import Path

import pytest

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg


def asked(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    capsys.readouterr()
    assert medimg(folder, "sample-size", "--weights", "none", "--json", *options) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_plan_needs_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(tmp_path, capsys, "--recall", "0.9", "--width", "0.2", "--prevalence", "0.25")
    recall = found["test"][0]  # type: ignore[index]
    assert (recall["figure"], recall["cases"], recall["images"]) == ("recall", 46, 46)
    assert recall["in_all"] == 184
    assert found["without_curve"] == "there is no data set in this workspace"


def test_several_images_a_patient_need_more_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(
        tmp_path, capsys, "--recall", "0.9", "--width", "0.2", "--images-per-patient", "3", "--icc", "0.5"
    )
    recall = found["test"][0]  # type: ignore[index]
    assert (recall["cases"], recall["images"], recall["patients"]) == (46, 92, 31)


def test_the_curve_rises_is_forecast_and_leaves_test_alone(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in read_dataset(workspace).of_split("test")["path"]:
        Path(workspace.absolute(path)).unlink()
    found = asked(workspace.root, capsys)
    assert found["without_curve"] == ""
    curve = found["curve"]
    assert [point["patients"] for point in curve] == sorted(point["patients"] for point in curve)  # type: ignore[attr-defined]
    assert curve[-1]["auroc"] >= curve[0]["auroc"] - 0.05  # type: ignore[index]
    forecasts = found["forecasts"]
    assert [each["patients"] for each in forecasts] == [26, 52, 104]  # type: ignore[attr-defined]
    assert all(0.5 < each["low"] <= each["value"] <= each["high"] <= 1 for each in forecasts)  # type: ignore[attr-defined]


def test_an_auroc_without_a_prevalence_is_one_line(tmp_path: Path) -> None:
    assert medimg(tmp_path, "sample-size", "--auroc", "0.9") == 2


@pytest.mark.parametrize(
    ("options", "place", "why"),
    [
        (("--recall", "0.9", "--lower-bound", "0.95"), 1, ": never, as 0.9 is expected"),
        (("--recall", "0.9", "--lower-bound", "0.9"), 1, ": never, as 0.9 is expected"),
        (("--recall", "0.9", "--lower-bound", "0.8999"), 1, ": more than 1,000,000 cases"),
        (("--recall", "0.9", "--width", "0.0005"), 0, ": more than 1,000,000 cases"),
        (("--auroc", "0.9", "--prevalence", "0.001", "--width", "0.001"), -1, ": more than 1,000,000 cases"),
    ],
)
def test_an_aim_that_cannot_be_reached_says_why(
    options: tuple[str, ...], place: int, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = asked(tmp_path, capsys, *options)["test"][place]  # type: ignore[index]
    assert (size["cases"], size["images"], size["patients"], size["in_all"]) == (None,) * 4
    assert size["aim"].endswith(why)
