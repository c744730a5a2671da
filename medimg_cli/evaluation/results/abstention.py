"""What becomes of the rest when uncertain images go to a reader, and sets of classes instead of one."""

from pydantic import BaseModel, ConfigDict

from medimg_cli.statistics.estimate import Estimate


class Referral(BaseModel):
    """The least certain images go to a reader.

    Args:
        share: of the images that are referred, 0..1.
        referred: how many these are.
        recall: of the positive class among the rest (mean over classes where none is positive).
        missed: cases of the positive class missed among the rest; None where no class is positive.
        error: share of wrong decisions among the rest.
    """

    model_config = ConfigDict(frozen=True)

    share: float
    referred: int
    recall: Estimate
    missed: int | None
    error: Estimate


class Abstention(BaseModel):
    """Risk against coverage (El-Yaniv R, Wiener Y. JMLR 2010;11:1605-1641).

    Args:
        certainty: what images are ordered by, in words.
        coverage: share of the images that are answered, rising.
        risk: share of wrong decisions among them.
        aurc: area under that curve; lower is better.
        referrals: at 0, 5, 10, 20, 30 and 50 %.
    """

    model_config = ConfigDict(frozen=True)

    certainty: str
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    aurc: float
    referrals: tuple[Referral, ...]


class Conformal(BaseModel):
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

    model_config = ConfigDict(frozen=True)

    alpha: float
    thresholds: dict[str, float]
    calibrated_on: dict[str, int]
    coverage: Estimate
    by_class: dict[str, Estimate]
    withheld: dict[str, str] = {}
    mean_size: float
    singletons: Estimate
    empties: Estimate
