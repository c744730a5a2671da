"""Few figures of few images: recall, specificity and AUROC, and what each image adds to the error of each.

Where one class is positive they are of that class. Else they are means over classes, or over labels where an image may
carry several.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.metrics import METRICS, OneVsRest, bounded, even_size
from medimg_cli.evaluation.metrics.ranking import Rows, mean_area
from medimg_cli.evaluation.summary import mean_recall
from medimg_cli.statistics.areas import auroc_influence
from medimg_cli.statistics.estimate import Estimate

OF_ONE = ("recall", "specificity", "auroc")


@dataclass(frozen=True)
class Brief:
    """The figures of some images.

    Args:
        answered: the images, N.
        over: the classes that the figures are of: the positive one, or those that are averaged over. All of them
            occur, and images without them as well.
    """

    answered: Answered
    over: tuple[str, ...]

    @property
    def recall(self) -> str:
        """Return the name of the first of the figures: "recall", or "macro_recall" of a mean."""
        return self._names[0]

    @cached_property
    def figures(self) -> dict[str, Estimate]:
        """Return the figures by name, each with its interval."""
        answered, views = self.answered, self._views
        if self._one:
            return {name: METRICS.get(name)(views[0]) for name in OF_ONE}
        area = mean_area(self._placed, answered.sampling, auroc_influence)
        if not answered.labels.several:
            return {"macro_recall": mean_recall(answered, "a class does not occur"), "macro_auroc": area}
        shares = {f"macro_{name}": self._mean_share(name) for name in ("recall", "specificity")}
        return shares | {"macro_auroc": area}

    @cached_property
    def influences(self) -> Mapping[str, NDArray[np.float64]]:
        """Return by name what each image (N,) adds to the error of a figure; the sum is 0.

        The covariance of two figures that share patients is the sum, patient by patient, of the products.
        """
        of_figure: dict[str, Callable[[OneVsRest], NDArray[np.float64]]] = {
            "recall": lambda view: _of_share(view, True),
            "specificity": lambda view: _of_share(view, False),
            "auroc": lambda view: auroc_influence(view.truth, view.score)[1],
        }
        return {name: self._spread(of_figure[name.removeprefix("macro_")]) for name in self._names}

    def rights(self) -> NDArray[np.float64]:
        """Return (N, C'), C' the classes of `over`: 1 called, 0 missed, NaN where an image is none of the class."""
        answered = self.answered
        found = np.full((answered.n, len(self.over)), np.nan)
        for column, (name, view) in enumerate(zip(self.over, self._views, strict=True)):
            found[answered.rows_of(name)[view.truth], column] = view.called[view.truth]
        return found

    @property
    def _names(self) -> tuple[str, ...]:
        if self._one:
            return OF_ONE
        return tuple(
            f"macro_{name}" for name in OF_ONE if self.answered.labels.several or name != "specificity"
        )

    @property
    def _one(self) -> bool:
        return self.over == (self.answered.labels.positive,)

    @property
    def _views(self) -> list[OneVsRest]:
        return [self.answered.view_of(name) for name in self.over]

    @property
    def _placed(self) -> list[tuple[OneVsRest, Rows]]:
        return [
            (view, self.answered.rows_of(name)) for name, view in zip(self.over, self._views, strict=True)
        ]

    def _spread(self, of_view: Callable[[OneVsRest], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the mean over the classes of what each image (N,) adds; nothing where it was not judged."""
        whole = np.zeros(self.answered.n)
        for view, rows in self._placed:
            whole[rows] += of_view(view) / len(self.over)
        return whole

    def _mean_share(self, name: str) -> Estimate:
        """Return the mean recall or specificity over labels; images that nobody judged count for none."""
        sides = [view.truth == (name == "recall") for view in self._views]
        value = float(np.mean([METRICS.get(name)(view).value or 0.0 for view in self._views]))
        units = [view.sampling.units_among(side) for view, side in zip(self._views, sides, strict=True)]
        influence = self.influences[f"macro_{name}"]
        return bounded(value, influence, self.answered.sampling, size=even_size(units))


def asked_about(answered: Answered, least: int) -> tuple[tuple[str, ...], str]:
    """Return the classes that figures of these images can be of, or none and the reason.

    Args:
        least: images of a class that it takes; fewer say next to nothing.

    Returns:
        The positive class where one is stated. Else every class, of which none may be rare; of several labels an image
        those that are not rare.
    """
    positive = answered.labels.positive
    if positive is not None:
        return _of_positive(answered.view_of(positive), positive, least)
    images = {name: int(view.truth.sum()) for name, view in answered.views.items()}
    if answered.labels.several:
        enough = tuple(
            name for name, view in answered.views.items() if images[name] >= least and not view.truth.all()
        )
        return (
            enough,
            ""
            if enough
            else f"no label that at least {least} images carry and another does not; counts only",
        )
    rarest = min(images, key=lambda name: (images[name], name))
    if images[rarest] < least:
        return (), f"images of {rarest}: {images[rarest]}, fewer than {least}; counts only"
    return tuple(images), ""


def _of_positive(view: OneVsRest, positive: str, least: int) -> tuple[tuple[str, ...], str]:
    positives = int(view.truth.sum())
    if positives < least:
        return (), f"images of {positive}: {positives}, fewer than {least}; counts only"
    if positives == view.n:
        return (), f"no image without {positive}: counts only"
    return (positive,), ""


def _of_share(view: OneVsRest, truth: bool) -> NDArray[np.float64]:
    among = view.truth == truth
    right = (view.called == truth)[among]
    whole = np.zeros(view.n)
    whole[among] = (right - right.mean()) / len(right)
    return whole
