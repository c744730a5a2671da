"""The answers that travel with a report: nothing in them names a place or a patient."""

from io import BytesIO

import pandas as pd

from medimg_cli.reporting.cases import predictions_csv


def test_paths_are_left_out_and_patients_numbered_so_that_they_still_belong_together() -> None:
    table = pd.DataFrame(
        {
            "image_id": ["a", "b", "c"],
            "path": ["/home/someone/a.png"] * 3,
            "patient_id": ["Doe^Jane", "Roe^John", "Doe^Jane"],
            "message": ["", "/home/someone/b.png is broken", ""],
            "prob_x": ["0.25", "0.5", "0.125"],
        }
    )
    written = predictions_csv(table)
    assert b"someone" not in written and b"Doe" not in written
    read = pd.read_csv(BytesIO(written))
    assert read["patient_id"].tolist() == ["patient-1", "patient-2", "patient-1"]
    assert read["prob_x"].tolist() == [0.25, 0.5, 0.125]
    assert list(read.columns) == ["image_id", "patient_id", "prob_x"]
    assert table["patient_id"].iloc[0] == "Doe^Jane"


def test_a_table_without_patients_is_kept_as_it_is() -> None:
    assert predictions_csv(pd.DataFrame({"y_true": ["a"]})) == b"y_true\na\n"
