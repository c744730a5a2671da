"""Prediction tables, ours and those of other software."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.errors import DataError
from medimg_cli.predictions.predictions import (
    classes_of,
    probabilities_of,
    read_predictions,
    write_predictions,
)

ROWS = pd.DataFrame(
    {
        "image_id": ["a", "b"],
        "path": ["a.png", "b.png"],
        "patient_id": ["1", "2"],
        "split": ["test", "test"],
        "label": ["ill", "well"],
    }
)
PROBABILITIES = np.array([[0.1 + 0.2, 0.7], [1 / 3, 2 / 3]])


def test_probabilities_keep_every_digit_on_disk(tmp_path: Path) -> None:
    table = ROWS.rename(columns={"label": "y_true"}).assign(
        prob_well=PROBABILITIES[:, 0], prob_ill=PROBABILITIES[:, 1]
    )
    write_predictions(tmp_path / "p.csv", table)
    found = read_predictions(tmp_path / "p.csv")
    assert classes_of(found) == ("well", "ill")
    assert np.array_equal(probabilities_of(found), PROBABILITIES)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("prob_a,prob_b\n0.5,0.5\n", "y_true"),
        ("y_true,prob_a\na,0.5\n", "prob_<class>"),
        ("y_true,prob_a,prob_b\na,0.5,0.5\nb,1.5,0\n", "row 3: prob_a is '1.5'"),
        ("y_true,prob_a,prob_b\na,0.5,x\n", "row 2: prob_b is 'x'"),
    ],
)
def test_a_wrong_table_names_row_and_column(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_predictions(tmp_path / "p.csv")
    assert what in caught.value.what
