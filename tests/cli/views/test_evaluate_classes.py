"""What `medimg evaluate` shows of several classes: each one's recall, and accuracy once."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from medimg_cli.cli.app import run
from medimg_cli.cli.views.evaluation import _draw_table
from medimg_cli.reporting.tables.tables import Table


def test_every_class_has_its_recall_and_accuracy_stands_there_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator, truth = np.random.default_rng(0), np.arange(90) % 3
    chances = generator.dirichlet(np.ones(3), 90) + 2 * np.eye(3)[truth]
    chances /= chances.sum(axis=1, keepdims=True)
    table = pd.DataFrame(chances, columns=[f"prob_{name}" for name in ("glioma", "none", "pituitary")])
    table["y_true"] = np.array(["glioma", "none", "pituitary"])[truth]
    table.to_csv(tmp_path / "answers.csv", index=False)
    assert run(["evaluate", "--predictions", str(tmp_path / "answers.csv"), "-q"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    heads = next(place for place, line in enumerate(lines) if line[:3] == ["Class", "Images", "Sensitivity"])
    assert sorted(line[:2] for line in lines[heads + 1 : heads + 4]) == [
        [name, "30"] for name in ("glioma", "none", "pituitary")
    ]
    firsts = [" ".join(line[:2]) for line in lines if line]
    assert sum(line[0] == "accuracy" for line in lines if line) == 1
    assert not {"micro recall", "micro precision", "micro f1", "weighted recall"} & set(firsts)


def test_a_table_wider_than_the_terminal_stands_on_its_side() -> None:
    head = ("Patients by the", *(f"a figure of long name {number}" for number in range(6)))
    table = Table("By patient", head, (("highest", *"abcdef"), ("mean", *"ghijkl")), figures=(1, 2))
    shown = {}
    for width in (80, 300):
        _draw_table(Console(file=(text := StringIO()), width=width), table)
        shown[width] = [line.split() for line in text.getvalue().splitlines()]
    assert ["a", "figure", "of", "long", "name", "3", "d", "j"] in shown[80]
    assert ["highest", *"abcdef"] in shown[300]
