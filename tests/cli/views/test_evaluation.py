"""The lines under evaluate's figures: calibration, what is left for the model, sets of classes."""

from io import StringIO

from rich.console import Console

from medimg_cli.cli.views.evaluation import draw_certainty
from medimg_cli.evaluation.evaluation import Evaluation, Leakage
from medimg_cli.evaluation.results.calibration import Abstention, Calibration, Conformal, Referral
from medimg_cli.statistics.estimate import Estimate

BARE = Evaluation(
    run="r",
    split="test",
    n=100,
    patients=100,
    classes=("well", "ill"),
    class_counts={"well": 60, "ill": 40},
    positive="ill",
    threshold=None,
    metrics={},
    per_class={},
    confusion=None,
    leakage=Leakage(patients_known=True, shared_patients=0, shared_files=0),
    dataset_hash="",
    predictions_sha256="",
    weights_sha256="",
)
COVERAGE = Estimate(value=0.88, low=0.80, high=0.93, method="Wilson", n=100, count=88)
RECALL = Estimate(value=0.975, low=0.87, high=0.9956, method="Wilson", n=40, count=39)
FULL = BARE.model_copy(
    update={
        "calibration": Calibration(ece=0.0412, temperature=1.8, uncalibrated={"ece": 0.0933}),
        "abstention": Abstention(
            certainty="",
            coverage=(1.0,),
            risk=(0.1,),
            aurc=0.1,
            referrals=(Referral(share=0.1, referred=10, recall=RECALL, missed=1, error=COVERAGE),),
        ),
        "conformal": Conformal(
            alpha=0.1,
            thresholds={},
            calibrated_on={},
            coverage=COVERAGE,
            by_class={},
            mean_size=1.234,
            singletons=COVERAGE,
            empties=COVERAGE,
        ),
    }
)


def drawn(evaluation: Evaluation) -> list[str]:
    console = Console(file=StringIO(), width=200)
    draw_certainty(console, evaluation)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_error_before_and_after_recall_of_the_rest_and_sets_are_told() -> None:
    assert drawn(FULL) == [
        "calibration error 0.0412 (0.0933 without the temperature of 1.8)",
        "10 % to a reader: recall of the rest 0.9750 (0.8700 to 0.9956), missed 1 of 40",
        "sets meant to hold the right class 0.9 of the time do 0.8800 (0.8000 to 0.9300), 1.23 classes on average",
    ]


def test_a_class_whose_sets_miss_too_often_is_withheld_with_the_reason() -> None:
    assert FULL.conformal is not None
    sets = FULL.conformal.model_copy(update={"withheld": {"well": "holds the class too seldom"}})
    line = drawn(BARE.model_copy(update={"conformal": sets}))[0]
    assert line.endswith("; sets that leave out well are withheld: such a set holds the class too seldom")


def test_what_was_not_run_is_not_told() -> None:
    assert drawn(BARE) == []
    without = Calibration(ece=0.05, remark="the temperature is not known")
    assert drawn(BARE.model_copy(update={"calibration": without})) == ["calibration error 0.0500"]
