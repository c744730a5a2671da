"""Two models on the same images."""

from pydantic import BaseModel, ConfigDict

from medimg_cli.core.results.estimate import Estimate


class Difference(BaseModel):
    """One figure of both, and how they differ.

    Args:
        name: "recall", "specificity", "accuracy", "auroc", …
        first, second: of this run and of the other one.
        difference: first − second, with its paired interval.
        test: that gives `p`: "McNemar, exact", "DeLong, paired", …
        p: two-sided; None where there is nothing to test.
        p_adjusted: by Holm (Scand J Stat 1979;6:65-70) over the tests of this comparison.
        only_first, only_second: images that only one of the two decided rightly; None where that is no question.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    first: float | None
    second: float | None
    difference: Estimate
    test: str = ""
    p: float | None = None
    p_adjusted: float | None = None
    only_first: int | None = None
    only_second: int | None = None


class Comparison(BaseModel):
    """This run against another one, image by image.

    Args:
        against: name of the other.
        n, patients: images and patients that both answered.
        same_images: SHA-256 over image ids and reference standard, equal for both.
        predictions_sha256: of the other's predictions file.
    """

    model_config = ConfigDict(frozen=True)

    against: str
    n: int
    patients: int
    same_images: str
    predictions_sha256: str
    differences: tuple[Difference, ...]
