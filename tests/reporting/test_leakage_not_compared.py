"""What could not be compared with other splits is never called free of leaks."""

from medimg_cli.evaluation.evaluation import Leakage
from medimg_cli.reporting.verdict import leakage_line


def test_nothing_shared_means_nothing_where_it_was_not_compared() -> None:
    leakage = Leakage(patients_known=True, shared_patients=0, shared_files=0)
    assert leakage_line(leakage).startswith("none:")
    line = leakage_line(leakage.model_copy(update={"not_compared": "the table names no other split"}))
    assert line.startswith("not excluded: the table names no other split")
