"""What `medimg evaluate` shows of several classes: each one's recall, and accuracy once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.cli.app import run


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
