"""Histograms of the probability of a class."""

from medimg_cli.evaluation.analyses import ANALYSES
from medimg_cli.evaluation.results.decisions import Histograms
from tests.evaluation.subjects import two_classes


def test_images_are_counted_in_twentieths_by_true_class_the_positive_one_first() -> None:
    found = ANALYSES.get("histograms")(two_classes([True, True, False, False], [1.0, 0.05, 0.050001, 0.0]))
    assert isinstance(found, Histograms)
    (histogram,) = found.by_class.values()
    assert list(histogram.counts) == ["ill", "well"]
    ill, well = histogram.counts.values()
    assert (ill[0], ill[19], sum(ill)) == (1, 1, 2)  # an edge belongs to the bin below it
    assert (well[0], well[1], sum(well)) == (1, 1, 2)
    assert histogram.bins == len(ill) == 20
