"""predict: one row per input, the same numbers as evaluate."""

import json
from pathlib import Path

import pandas as pd
import pytest

from medimg_cli.core.manifest import read_dataset
from medimg_cli.core.run_folders import find_run
from medimg_cli.core.settings import PredictSettings
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.stages.predict import predict

SETTINGS = PredictSettings(batch_size=4)


def test_it_answers_as_evaluate_does(trained: Workspace) -> None:
    run = find_run(trained, "first")
    known = pd.read_csv(run.predictions_path("test"))
    paths = [Path(trained.absolute(path)) for path in known["path"]]
    found = predict(run, paths, SETTINGS).table
    assert found["path"].tolist() == [path.as_posix() for path in paths]
    assert found["decision"].tolist() == known["decision"].tolist()
    assert found["prob_SPOT"].to_numpy() == pytest.approx(known["prob_SPOT"].to_numpy(), abs=1e-5)


def test_every_input_has_its_row_in_order_also_the_unreadable(trained: Workspace, tmp_path: Path) -> None:
    good = Path(trained.absolute(read_dataset(trained).usable["path"].iloc[0]))
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"")
    (folder / "below" / "b.png").write_bytes(good.read_bytes())
    (folder / "c.png").write_bytes(good.read_bytes()[:200])
    (folder / ".hidden.png").write_bytes(good.read_bytes())
    result = predict(find_run(trained, None), [tmp_path / "none.png", folder, good], SETTINGS)
    assert result.table["status"].tolist() == ["unreadable", "unreadable", "ok", "unreadable", "ok"]
    assert result.unreadable == 3
    broken = result.table[result.table["status"] == "unreadable"]
    assert broken["message"].str.len().min() > 0
    assert broken["prob_SPOT"].isna().all()
    assert (broken["y_pred"] == "").all()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_rows_are_written_where_asked(trained: Workspace, tmp_path: Path, suffix: str) -> None:
    good = Path(trained.absolute(read_dataset(trained).usable["path"].iloc[0]))
    out = tmp_path / f"rows{suffix}"
    result = predict(find_run(trained, None), [good, tmp_path / "no"], SETTINGS, out=out)
    if suffix == ".csv":
        written = pd.read_csv(out).to_dict("records")
    else:
        written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["status"] for row in written] == ["ok", "unreadable"]
    assert written[0]["prob_SPOT"] == result.table["prob_SPOT"].iloc[0]


def test_a_wrong_suffix_is_refused_before_work(trained: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neither \.csv nor \.jsonl"):
        predict(find_run(trained, None), [tmp_path], SETTINGS, out=tmp_path / "rows.xlsx")


def test_an_empty_folder_is_one_line(trained: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file in"):
        predict(find_run(trained, None), [tmp_path], SETTINGS)


def test_weights_that_changed_since_training_are_refused(trained: Workspace, tmp_path: Path) -> None:
    run = find_run(trained, "first")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("model.json", "run.json"):
        (copy / name).write_bytes((run.folder / name).read_bytes())
    (copy / "model.safetensors").write_bytes(run.weights_path.read_bytes()[:-1] + b"\0")
    with pytest.raises(RunError, match="is not the file this run wrote"):
        predict(find_run(trained, str(copy)), [copy], SETTINGS)


def test_a_model_card_of_something_else_names_the_field(trained: Workspace, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"arch": "small-cnn"}')
    with pytest.raises(RunError, match=r"model\.json: classes"):
        predict(find_run(trained, str(tmp_path)), [tmp_path], SETTINGS)
