"""One result of every analysis, as `evaluate` would write them, in numbers that can be found again on a page."""

from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.evaluation.results.calibration import (
    Abstention,
    Calibration,
    ClassCalibration,
    Conformal,
    Referral,
    ReliabilityBin,
)
from medimg_cli.evaluation.results.decisions import (
    AtPrevalence,
    Change,
    Comparison,
    Contract,
    DecisionCurve,
    DecisionCurves,
    Difference,
    Expected,
    Histogram,
    Histograms,
    LabelSet,
    Operating,
    OperatingPoints,
    PatientLevel,
    PatientLevels,
    Protocol,
    TradeOff,
)
from medimg_cli.evaluation.results.surroundings import (
    Baseline,
    Baselines,
    Disturbed,
    Grouping,
    Robustness,
    Shift,
    ShiftRow,
    Subgroup,
    Subgroups,
)
from medimg_cli.statistics.estimate import Estimate
from tests.reporting.figures import share

POSITIVE = "PNEUMONIA"


def score(value: float, *, half: float = 0.031, n: int = 80) -> Estimate:
    """Return a number with an interval around it."""
    return Estimate(value=value, low=value - half, high=value + half, method="bootstrap", n=n)


def with_every_result(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation with a result of every analysis that an image with one label can have."""
    return evaluation.model_copy(
        update={
            "calibration": calibration(),
            "histograms": histograms(),
            "operating": operating(),
            "decision_curves": DecisionCurves(by_class={POSITIVE: decision_curve()}),
            "abstention": abstention(),
            "conformal": conformal(),
            "patient_level": patient_level(),
            "subgroups": subgroups(),
            "shift": shift(),
            "robustness": robustness(),
            "baselines": baselines(),
            "comparison": comparison(),
            "contract": contract(),
            "protocol": Protocol(name="medmnist", auc=0.9641, acc=0.9123, definition="ACC at 0.5"),
            "not_run": {"label_set": "each image has one label"},
        }
    )


def calibration() -> Calibration:
    bins = (
        ReliabilityBin(low=0.0, high=1 / 15, mean=0.0312, observed=share(1, 38)),
        ReliabilityBin(low=7 / 15, high=8 / 15, mean=0.5123, observed=share(2, 4)),
        ReliabilityBin(low=14 / 15, high=1.0, mean=0.9712, observed=share(36, 38)),
    )
    of_class = ClassCalibration(
        bins=bins,
        ece=score(0.0312),
        ece_equal_mass=score(0.0345),
        brier=score(0.0421),
        slope=score(0.8123),
        intercept=Estimate(value=-0.2134, low=-0.5123, high=0.1234, method="Wald", n=80),
    )
    return Calibration(
        by_class={POSITIVE: of_class},
        brier=0.0421,
        log_loss=0.1823,
        ece=0.0312,
        class_wise_ece=0.0312,
        definition="mean squared gap, 0 to 1",
        temperature=1.3712,
        uncalibrated={"brier": 0.0512, "log_loss": 0.2514, "ece": 0.0717},
    )


def histograms() -> Histograms:
    ill = (*(0,) * 2, 3, *(0,) * 16, 37)
    well = (36, 2, *(0,) * 17, 2)
    return Histograms(by_class={POSITIVE: Histogram(bins=20, counts={POSITIVE: ill, "NORMAL": well})})


def operating() -> OperatingPoints:
    bare = Estimate(value=0.9, n=40, count=36)
    trade_offs = (
        TradeOff(fixed="specificity", wanted=0.9, threshold=0.4123, recall=share(35, 40), specificity=bare),
        TradeOff(fixed="recall", wanted=0.99, threshold=None, recall=bare, specificity=bare),
    )
    at = AtPrevalence(
        prevalence=0.013,
        precision=score(0.1934),
        npv=score(0.9612),
        alarms_per_100=score(4.91, half=1.27),
        number_needed_to_read=5.171,
    )
    here = at.model_copy(update={"prevalence": 0.5, "observed": True, "number_needed_to_read": None})
    return OperatingPoints(by_class={POSITIVE: Operating(trade_offs=trade_offs, at_prevalences=(here, at))})


def decision_curve() -> DecisionCurve:
    thresholds = tuple(step / 100 for step in range(1, 51))
    model = tuple(0.45 - 0.1 * at for at in thresholds)
    return DecisionCurve(
        thresholds=thresholds,
        model=model,
        low=tuple(value - 0.04 for value in model),
        high=tuple(value + 0.04 for value in model),
        treat_all=tuple(0.5 - 0.5 * at / (1 - at) for at in thresholds),
        useful_from=0.12,
        useful_to=0.47,
        prevalence=0.5,
    )


def abstention() -> Abstention:
    referrals = (
        Referral(share=0.0, referred=0, recall=share(37, 40), missed=3, error=share(5, 80)),
        Referral(share=0.1, referred=8, recall=share(36, 37), missed=1, error=share(2, 72)),
    )
    return Abstention(
        certainty="distance of the probability from the threshold",
        coverage=(0.25, 0.5, 0.9, 1.0),
        risk=(0.0, 0.0, 0.0278, 0.0625),
        aurc=0.01234,
        referrals=referrals,
    )


def conformal() -> Conformal:
    return Conformal(
        alpha=0.1,
        thresholds={POSITIVE: 0.2134, "NORMAL": 0.3456},
        calibrated_on={POSITIVE: 41, "NORMAL": 39},
        coverage=share(73, 80),
        by_class={POSITIVE: share(37, 40), "NORMAL": share(36, 40)},
        mean_size=1.087,
        singletons=share(71, 80),
        empties=share(0, 80),
    )


def patient_level() -> PatientLevels:
    metrics = {"recall": share(17, 20), "specificity": share(21, 22), "auroc": score(0.9514)}
    top = PatientLevel(
        rule="max", n=42, positives=20, metrics=metrics, missed=("person7", "person9", "person12")
    )
    mean = top.model_copy(
        update={"rule": "mean", "missed": top.missed[:2], "metrics": {"recall": share(18, 20)}}
    )
    return PatientLevels(positive=POSITIVE, levels=(top, mean))


def subgroups() -> Subgroups:
    def group(level: str, found: int, of: int, **further: object) -> Subgroup:
        metrics = {"recall": share(found, of), "specificity": share(14, 17), "auroc": score(0.8913)}
        fields = {"level": level, "n": of + 17, "patients": of + 3, "positives": of, "metrics": metrics}
        return Subgroup.model_validate(fields | further)

    sex = Grouping(
        column="sex",
        groups=(
            group("F", 29, 31),
            group("M", 13, 17),
            group("not known", 2, 3, metrics={}, suppressed="fewer than 10 positive images"),
        ),
        largest_gap={"recall": Estimate(value=0.1707, low=-0.0312, high=0.3914, method="difference", n=48)},
        between={"recall": ("M", "F")},
        pairs={"recall": 1},
    )
    return Subgroups(groupings=(sex,), absent=("age", "device"))


def shift() -> Shift:
    return Shift(
        rows=(
            ShiftRow(
                name="share of PNEUMONIA", kind="prevalence", train="74.1 %", here="50.3 %",
                measure="total variation", distance=0.2381, large=True,
            ),
            ShiftRow(
                name="width (px)", kind="size", train="mean 1,302", here="mean 1,289",
                measure="standardised mean difference", distance=0.0419, large=False,
            ),
        )
    )  # fmt: skip


def robustness() -> Robustness:
    blurred = {"recall": share(33, 40), "specificity": share(31, 40)}
    change = Estimate(value=-0.1012, low=-0.1713, high=-0.0214, method="paired bootstrap", n=40)
    row = Disturbed(disturbance="blur", strength="sigma 2 px", severity=2, metrics=blurred, change=change)
    undisturbed = {"recall": share(37, 40), "specificity": share(38, 40)}
    return Robustness(n=80, pixels="64 x 64, grey", undisturbed=undisturbed, rows=(row,))


def baselines() -> Baselines:
    majority = Baseline(name="majority class", metrics={"recall": share(0, 40)}, remark="misses all of them")
    metadata = Baseline(name="metadata only", uses=("width", "sex"), metrics={"auroc": score(0.6217)})
    return Baselines(rows=(majority, metadata))


def contract() -> Contract:
    gap = Estimate(value=-0.1234, low=-0.1811, high=-0.0567, method="Newcombe", n=160)
    moved = Change(val=share(37, 38), here=share(62, 76), difference=gap, beyond_chance=True)
    same = Change(val=score(0.9812), here=score(0.9712), difference=score(-0.0123), beyond_chance=False)
    return Contract(
        positive=POSITIVE,
        target=0.95,
        positives=38,
        patients=38,
        expected=Expected(low=0.8312, high=0.9934),
        reaches=0.4634,
        least_for_bound=73,
        verdict="cannot be told",
        change={"specificity": moved, "auroc": same},
        promise="from 38 positives: expected recall 83 to 99 %",
        outcome="whether the target 0.95 is met cannot be told",
    )


def comparison() -> Comparison:
    recall = Difference(
        name="recall",
        first=0.925,
        second=0.874,
        difference=Estimate(value=0.051, low=-0.0124, high=0.1173, method="bootstrap", n=40),
        test="McNemar, exact",
        p=0.2187,
        p_adjusted=0.4375,
        only_first=5,
        only_second=3,
    )
    auroc = Difference(
        name="auroc", first=0.9731, second=None, difference=Estimate(value=None, n=80, reason="one class")
    )
    return Comparison(
        against="other-run",
        n=80,
        patients=79,
        same_images="0" * 64,
        predictions_sha256="1" * 64,
        differences=(recall, auroc),
    )


def label_set() -> LabelSet:
    return LabelSet(cardinality=(1.4213, 1.6127), exact_match=share(51, 80), together=((40, 13), (13, 54)))
