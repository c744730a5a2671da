"""How far probabilities can be taken at their word, and what becomes of the rest when uncertain images are held back."""

from pydantic import BaseModel

from medimg_cli.statistics.estimate import Estimate


class ReliabilityBin(BaseModel, frozen=True):
    """Images whose probability lies in one bin.

    Args:
        low, high: edges; a probability on an edge belongs to the bin below it.
        mean: of their probabilities.
        observed: share that has the disease, with its interval.
    """

    low: float
    high: float
    mean: float
    observed: Estimate


class ClassCalibration(BaseModel, frozen=True):
    """Of one class (or label) against the rest.

    Args:
        bins: 15 of equal width, without the empty ones.
        ece: expected calibration error over those bins.
        ece_equal_mass: the same over 15 bins that hold as many images each.
        brier: mean squared gap of probability and outcome (two classes: of the positive one, 0..1).
        slope, intercept: of a logistic regression of the outcome on the logit of the probability; 1 and 0 are perfect.
            A slope below 1 means probabilities too extreme. The intercept is that with the slope held at 1.
    """

    bins: tuple[ReliabilityBin, ...]
    ece: Estimate
    ece_equal_mass: Estimate
    brier: Estimate
    slope: Estimate
    intercept: Estimate


class Calibration(BaseModel, frozen=True):
    """How far probabilities can be taken at their word.

    Args:
        by_class: class → its own calibration; of two classes with a positive one only that one.
        brier: as `definition` says; of several labels an image that of the positive one, None without one.
        log_loss: mean negative log likelihood.
        ece: of the positive class, else of the most probable class and how often it is right (top label); None of
            several labels an image without a positive one.
        class_wise_ece: mean over `by_class`.
        bins: how many bins each ece has.
        bin_rule: which these are.
        definition: of the Brier score, which books define in two ways that differ by a factor of 2.
        temperature: by which the logits were divided, fitted on validation; None where not known.
        uncalibrated: brier, log_loss and ece of the same images without the temperature.
        remark: why there is no `uncalibrated`, "" where there is.
    """

    by_class: dict[str, ClassCalibration] = {}
    brier: float | None = None
    log_loss: float | None = None
    ece: float | None = None
    class_wise_ece: float | None = None
    bins: int = 15
    bin_rule: str = ""
    definition: str = ""
    temperature: float | None = None
    uncalibrated: dict[str, float] = {}
    remark: str = ""


class Referral(BaseModel, frozen=True):
    """The least certain images go to a reader.

    Args:
        share: of the images that are referred, 0..1.
        referred: how many these are.
        recall: of the positive class among the rest (mean over classes where none is positive).
        missed: cases of the positive class missed among the rest; None where no class is positive.
        error: share of wrong decisions among the rest.
    """

    share: float
    referred: int
    recall: Estimate
    missed: int | None
    error: Estimate


class Abstention(BaseModel, frozen=True):
    """Risk against coverage (El-Yaniv R, Wiener Y. JMLR 2010;11:1605-1641).

    Args:
        certainty: what images are ordered by, in words.
        coverage: share of the images that are answered, rising.
        risk: share of wrong decisions among them.
        aurc: area under that curve; lower is better.
        referrals: at 0, 5, 10, 20, 30 and 50 %.
    """

    certainty: str
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    aurc: float
    referrals: tuple[Referral, ...]


class Conformal(BaseModel, frozen=True):
    """Sets of classes that hold the right one with a stated chance, calibrated class by class on validation.

    Class-conditional split conformal prediction (Vovk V. ACML 2012; Sadinle M et al. JASA 2019;114:223-234): score
    1 − p of the true class, quantile of rank ceil((n + 1)(1 − alpha)) among the n validation images of each class.

    Args:
        alpha: chance of missing the right class that is accepted.
        thresholds: class → least probability that puts it into a set; 0 where validation has too few images of it.
        calibrated_on: class → images of it on validation.
        coverage: share of sets that hold the right class; `by_class` likewise.
        withheld: class → why sets that leave it out are withheld: tested, they hold it less often than stated.
        mean_size: classes in a set.
        singletons, empties: shares of sets with one class and with none.
    """

    alpha: float
    thresholds: dict[str, float]
    calibrated_on: dict[str, int]
    coverage: Estimate
    by_class: dict[str, Estimate]
    withheld: dict[str, str] = {}
    mean_size: float
    singletons: Estimate
    empties: Estimate
