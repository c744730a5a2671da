"""predict: one row per input, the same numbers as evaluate."""

import csv
import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.load import open_classifier
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.runs.run_folders import find_run
from medimg_cli.stages.predict import PredictResult, model_key, predict
from medimg_cli.training.networks.torch_network import open_in_torch, predictor_of
from medimg_cli.workspace.settings import PredictSettings
from medimg_cli.workspace.workspace import Workspace
from tests.stages.made_up_model import card, judge

SETTINGS = PredictSettings(batch_size=4)
Rows = list[tuple[str, Prediction]]


def told(by: Classifier, *named: str | Path, **options: object) -> tuple[PredictResult, Rows]:
    rows: Rows = []
    tell = {"tell": lambda path, prediction: rows.append((path, prediction))}
    return predict(by, list(named), SETTINGS, **(tell | options)), rows  # type: ignore[arg-type]


def draw(folder: Path, *names: str) -> list[Path]:
    """Write a picture of one grey for each name, each darker than the last."""
    paths = [folder / name for name in names]
    for place, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 7), 250 - place).save(path, format="PNG")
    return paths


def test_it_answers_as_evaluate_does(trained: Workspace) -> None:
    run = find_run(trained, "first")
    known = pd.read_csv(run.predictions_path("test"), keep_default_na=False)
    paths = [Path(trained.absolute(path)) for path in known["path"]]
    opened = open_classifier(run.folder)
    assert opened is not None
    _, rows = told(opened, *paths)
    assert [path for path, _ in rows] == [path.as_posix() for path in paths]
    for (_, found), probability, decision in zip(rows, known["prob_SPOT"], known["decision"], strict=True):
        assert found.probabilities["SPOT"] == pytest.approx(float(probability), abs=1e-5)
        assert found.decision == decision or found.status == "refused"


def test_every_input_has_its_row_in_order_also_the_unreadable(tmp_path: Path) -> None:
    good = draw(tmp_path, "good.png")[0]
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"")
    (folder / "below" / "b.png").write_bytes(good.read_bytes())
    (folder / "c.png").write_bytes(good.read_bytes()[:60])
    (folder / ".hidden.png").write_bytes(good.read_bytes())
    (folder / "up").symlink_to(folder)
    result, rows = told(judge(), tmp_path / "none.png", folder, good)
    assert [Path(path).name for path, _ in rows] == ["none.png", "a.png", "b.png", "c.png", "up", "good.png"]
    statuses = ["unreadable", "unreadable", "ok", "unreadable", "unreadable", "ok"]
    assert [prediction.status for _, prediction in rows] == statuses
    assert (result.rows, result.unreadable, dict(result.decisions)) == (6, 4, {"positive": 2})
    for _, prediction in rows:
        assert (prediction.label is None) == (prediction.status == "unreadable") == bool(prediction.message)
        assert set(prediction.probabilities) == {"CLEAR", "SPOT"}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_file_has_the_columns_of_the_design_and_every_digit(tmp_path: Path, suffix: str) -> None:
    good = draw(tmp_path, 'a "b", c.png')[0]
    out = tmp_path / "to" / f"rows{suffix}"
    _, rows = told(judge(), good, "missing.png", out=out)
    if suffix == ".csv":
        with out.open(newline="") as stream:
            written: list[dict[str, object]] = list(csv.DictReader(stream))
    else:
        written = [json.loads(line) for line in out.read_text().splitlines()]
    design = "image_id path patient_id split y_true y_pred confidence decision status flags message"
    expected = [*design.split(), "prediction_set", "model", "prob_CLEAR", "prob_SPOT"]
    assert [list(row) for row in written] == [expected, expected]
    first, second = written
    assert (first["path"], first["y_pred"], first["decision"]) == (good.as_posix(), "SPOT", "positive")
    assert float(str(first["prob_SPOT"])) == rows[0][1].probabilities["SPOT"]
    assert (second["status"], second["message"]) == ("unreadable", "file not found")
    assert second["prob_SPOT"] in (None, "")


def test_a_step_of_other_images_changes_no_bit_of_an_answer(tmp_path: Path) -> None:
    draw(tmp_path / "set", *(f"{number:02}.png" for number in range(11)))
    outs = [tmp_path / f"{size}.csv" for size in (1, 4, 32)]
    for size, out in zip((1, 4, 32), outs, strict=True):
        predict(judge(), [tmp_path / "set"], PredictSettings(batch_size=size, workers=3), out=out)
    assert outs[0].read_bytes() == outs[1].read_bytes() == outs[2].read_bytes()
    assert outs[0].read_bytes().count(b"\n") == 12


def test_rows_stand_in_the_file_before_the_work_is_done(tmp_path: Path) -> None:
    draw(tmp_path / "set", *(f"{number:02}.png" for number in range(12)))
    out, seen = tmp_path / "rows.csv", []
    predict(
        judge(),
        [tmp_path / "set"],
        SETTINGS,
        out=out,
        tell=lambda *_: seen.append(out.read_bytes().count(b"\n") if out.exists() else 0),
    )
    assert seen[4] >= 5 and seen[8] >= 9


def test_several_labels_are_joined_and_none_of_them_is_no_missing_answer(tmp_path: Path) -> None:
    bright, dark = tmp_path / "bright.png", tmp_path / "dark.png"
    Image.new("L", (9, 7), 250).save(bright)
    Image.new("L", (9, 7), 1).save(dark)
    several = judge(answers="sigmoid", positive=None, threshold=None, classes=("a", "b"))
    result, rows = told(several, bright, dark)
    assert [prediction.label for _, prediction in rows] == ["a|b", "a"]
    assert (dict(result.labels), dict(result.decisions)) == ({"a": 2, "b": 1}, {})


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    def peak(images: int, out: Path) -> int:
        named: Iterator[str] = (f"no/such/{number}.png" for number in range(images))
        tracemalloc.start()
        result = predict(judge(), named, SETTINGS, out=out)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert result.rows == images
        return most

    peak(100, tmp_path / "warm.csv")
    few, many = peak(200, tmp_path / "few.csv"), peak(2000, tmp_path / "many.csv")
    assert (
        many - few < 100_000
    )  # a row takes 150 bytes as text and far more as objects: 1,800 of them would show


def test_a_wrong_suffix_is_refused_before_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neither \.csv nor \.jsonl"):
        told(judge(), tmp_path, out=tmp_path / "rows.xlsx")


def test_an_empty_folder_is_one_line_and_leaves_an_older_file_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "rows.csv").write_text("kept")
    with pytest.raises(DataError, match="no file in"):
        told(judge(), tmp_path / "empty", out=tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text() == "kept"


def test_a_model_is_told_from_one_of_another_threshold_and_from_its_own_answers_to_several_views() -> None:
    assert card().threshold is not None
    other = card().threshold.model_copy(update={"value": 0.41})  # type: ignore[union-attr]
    keys = {
        model_key(card(), SETTINGS),
        model_key(card(), PredictSettings(tta=True)),
        model_key(card(threshold=other), SETTINGS),
    }
    assert len(keys) == 3
    assert model_key(card(), SETTINGS) == model_key(card(), PredictSettings(batch_size=1, workers=1))


def test_weights_that_changed_since_training_are_refused(trained: Workspace, tmp_path: Path) -> None:
    run = find_run(trained, "first")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("model.json", "run.json"):
        (copy / name).write_bytes((run.folder / name).read_bytes())
    (copy / "model.safetensors").write_bytes(run.weights_path.read_bytes()[:-1] + b"\0")
    assert open_classifier(copy) is None  # it has no ONNX copy
    with pytest.raises(RunError, match="is not the file this run wrote"):
        open_in_torch(copy)


def test_a_model_card_of_something_else_names_the_field(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"arch": "small-cnn"}')
    with pytest.raises(RunError, match=r"model\.json: classes"):
        open_classifier(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_a_device_and_a_folder_that_goes_away_cost_a_row_and_no_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    _, rows = told(judge(), tmp_path / "pipe.png", os.devnull)
    assert [prediction.message for _, prediction in rows] == ["not a regular file"] * 2


def test_an_answer_through_torch_and_through_onnx_are_the_same(trained: Workspace) -> None:
    run = find_run(trained, "first")
    images = [trained.absolute(path) for path in read_dataset(trained).usable["path"].iloc[:5]]
    quick = open_classifier(run.folder)
    assert quick is not None
    _, by_onnx = told(quick, *images)
    _, by_torch = told(Classifier(predictor_of(run, quick=False), quick.references), *images)
    for (_, one), (_, two) in zip(by_onnx, by_torch, strict=True):
        assert list(one.probabilities.values()) == pytest.approx(list(two.probabilities.values()), abs=1e-4)
