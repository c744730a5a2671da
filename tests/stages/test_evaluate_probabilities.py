"""evaluate: calibration, abstention and conformal sets of a trained network, in the file that others read."""

import json

import pandas as pd
import pytest

from medimg_cli.runs.run_folders import find_run
from medimg_cli.workspace.workspace import Workspace


def test_what_probabilities_are_worth_stands_in_the_metrics_file(trained: Workspace) -> None:
    run = find_run(trained, "first")
    written = json.loads(run.metrics_path("test").read_text(encoding="utf-8"))
    calibration = written["calibration"]
    for name in ("brier", "log_loss", "ece"):
        assert calibration[name] == pytest.approx(written["metrics"][name]["value"], abs=1e-6)
        assert calibration["uncalibrated"][name] >= 0
    assert calibration["temperature"] == run.read_card().temperature
    nothing_referred = written["abstention"]["referrals"][0]
    assert nothing_referred["recall"] == written["metrics"]["recall"]
    assert nothing_referred["missed"] == written["missed"]["count"]
    on_val = pd.read_csv(run.predictions_path("val"))["y_true"].value_counts()
    assert written["conformal"]["calibrated_on"] == on_val.to_dict()
    assert written["conformal"]["alpha"] == written["asked"]["alpha"] == 0.1
