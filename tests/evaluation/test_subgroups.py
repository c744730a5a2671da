"""Figures of subgroups, and the largest gap between two of them."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import UsageError
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.analyses.subgroups import Brief, subgroups
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics.ranking import macro_auroc
from medimg_cli.evaluation.results.surroundings import Grouping, Subgroup, Subgroups
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import truth_columns
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.areas import delong
from medimg_cli.statistics.intervals import CORRELATED, INDEPENDENT, logit_interval, wilson
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.workspace.operating_settings import EvaluateSettings

GENERATOR = np.random.default_rng(5)
N = 240
ILL = GENERATOR.random(N) < 0.4
SCORE = np.clip(0.25 + 0.4 * ILL + GENERATOR.normal(0, 0.2, N), 0.001, 0.999)
SEX = np.where(np.arange(N) % 3 == 0, "F", "M")
CUT = Threshold(
    value=0.5, rule="", split="val", target_recall=0.9, achieved_recall=0.9, achieved_specificity=0.5
)


def table_of(patients: list[str] | None = None, **columns: object) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"{number}.png" for number in range(N)],
            "patient_id": patients or [f"p{number}" for number in range(N)],
            "y_true": np.where(ILL, "ill", "well"),
            "prob_ill": SCORE,
            "prob_well": 1 - SCORE,
            **columns,
        }
    )


def found_in(table: pd.DataFrame, **settings: object) -> Subgroups:
    answered = ScoredPredictions(
        table, LabelSpace(("ill", "well"), "ill"), OperatingPoint(CUT), sampling_of(table, known=True)
    )
    found = subgroups(Subject(answered, EvaluateSettings.model_validate(settings), metadata=table))
    assert isinstance(found, Subgroups)
    return found


def by_level(grouping: Grouping) -> dict[str, Subgroup]:
    return {group.level: group for group in grouping.groups}


def test_each_level_has_its_own_counts_figures_and_intervals() -> None:
    (grouping,) = found_in(table_of(sex=SEX)).groupings
    assert [group.level for group in grouping.groups] == ["M", "F"]
    for level, group in by_level(grouping).items():
        rows = np.asarray(level == SEX)
        truth, score = ILL[rows], SCORE[rows]
        called = score >= 0.5
        hit = int((truth & called).sum())
        recall, area = group.metrics["recall"], group.metrics["auroc"]
        assert (group.n, group.patients, group.positives) == (rows.sum(), rows.sum(), truth.sum())
        assert recall.value == pytest.approx(reference.recall_score(truth, called))
        assert (recall.low, recall.high) == wilson(hit, int(truth.sum()))
        assert group.metrics["specificity"].value == pytest.approx(reference.recall_score(~truth, ~called))
        assert (area.low, area.high) == logit_interval(*delong(truth, score))


def test_the_largest_gap_is_newcombes_difference_of_the_two_recalls() -> None:
    (grouping,) = found_in(table_of(sex=SEX)).groupings
    lower, higher = sorted(by_level(grouping).values(), key=lambda group: group.metrics["recall"].value or 0)
    low, high = lower.metrics["recall"], higher.metrics["recall"]
    gap = grouping.largest_gap["recall"]
    assert grouping.between["recall"] == (lower.level, higher.level)
    assert None not in (low.value, low.low, low.high, high.value, high.low, high.high)
    assert gap.value == pytest.approx(high.value - low.value)  # type: ignore[operator]
    below = np.hypot(high.value - high.low, low.high - low.value)  # type: ignore[operator]
    above = np.hypot(high.high - high.value, low.value - low.low)  # type: ignore[operator]
    assert [gap.low, gap.high] == pytest.approx([gap.value - below, gap.value + above])
    assert (gap.method, grouping.pairs["recall"]) == (INDEPENDENT, 1)


def test_of_three_levels_the_two_that_differ_most_are_named() -> None:
    site = np.array(["a", "b", "c"])[np.arange(N) % 3]
    (grouping,) = found_in(table_of(site=site)).groupings
    values = {level: group.metrics["recall"].value or 0 for level, group in by_level(grouping).items()}
    assert len(set(values.values())) == 3
    assert grouping.between["recall"] == (
        min(values, key=values.__getitem__),
        max(values, key=values.__getitem__),
    )
    assert grouping.pairs["recall"] == 3


def test_few_positives_show_counts_only_and_take_no_part_in_the_gap() -> None:
    site = np.full(N, "a", dtype=object)
    site[np.flatnonzero(ILL)[:9]] = "b"
    site[np.flatnonzero(~ILL)[:30]] = "b"
    (grouping,) = found_in(table_of(site=site)).groupings
    small = by_level(grouping)["b"]
    assert (small.n, small.positives, small.metrics) == (39, 9, {})
    assert small.suppressed == "images of ill: 9, fewer than 10; counts only"
    assert grouping.largest_gap == {}
    (again,) = found_in(table_of(site=site), min_positives=9).groupings
    assert by_level(again)["b"].suppressed == ""
    assert again.largest_gap["recall"].value is not None


def test_a_level_without_negatives_shows_counts_only() -> None:
    (grouping,) = found_in(table_of(site=np.where(ILL, "clinic", "screening"))).groupings
    assert by_level(grouping)["clinic"].suppressed == "no image without ill: counts only"
    assert by_level(grouping)["screening"].suppressed == "images of ill: 0, fewer than 10; counts only"


def test_images_of_nobody_knows_which_level_are_shown_and_compared_with_nobody() -> None:
    sex = SEX.astype(object)
    sex[::2] = ""
    (grouping,) = found_in(table_of(sex=sex)).groupings
    assert by_level(grouping)["not known"].metrics["recall"].value is not None
    assert all("not known" not in levels for levels in grouping.between.values())
    assert set(grouping.pairs.values()) == {1}


def test_a_patient_with_images_in_both_levels_makes_their_errors_go_together() -> None:
    patients = [f"p{number // 2}" for number in range(N)]
    view = np.where(np.arange(N) % 2, "AP", "PA")
    pair = np.repeat(ILL[::2], 2)
    score = np.clip(np.repeat(SCORE[::2], 2) + GENERATOR.normal(0, 0.02, N), 0, 1)
    columns = {"y_true": np.where(pair, "ill", "well"), "prob_ill": score, "prob_well": 1 - score}
    (shared,) = found_in(table_of(patients, view=view).assign(**columns)).groupings
    (apart,) = found_in(table_of(None, view=view).assign(**columns)).groupings
    for name in ("recall", "auroc"):
        together, alone = shared.largest_gap[name], apart.largest_gap[name]
        assert (together.method, alone.method) == (CORRELATED, INDEPENDENT)
        assert together.value == pytest.approx(alone.value)
        assert (together.high or 0) - (together.low or 0) < 0.6 * ((alone.high or 0) - (alone.low or 0))
    assert by_level(shared)["AP"].patients == N // 2


def test_intersections_cross_each_pair_of_columns() -> None:
    table = table_of(sex=SEX, scanner=np.where(np.arange(N) < 120, "x", "y"), age=["050Y"] * N)
    plain = [grouping.column for grouping in found_in(table).groupings]
    assert plain == ["sex", "scanner", "age"]
    crossed = found_in(table, subgroups="sex,scanner", intersections=True).groupings
    assert [grouping.column for grouping in crossed] == ["sex", "scanner", "sex × scanner"]
    members = (SEX == "F") & (np.arange(N) < 120)
    assert by_level(crossed[2])["F · x"].n == members.sum()
    assert crossed[2].pairs["recall"] == 6


def test_what_readers_look_for_and_the_data_lack_is_named() -> None:
    found = found_in(table_of(sex=SEX, note=SEX))
    assert [grouping.column for grouping in found.groupings] == ["sex"]
    assert found.absent == ("age", "site", "device", "view", "ethnicity", "skin type")
    asked = found_in(table_of(sex=SEX, note=SEX), subgroups="note")
    assert [grouping.column for grouping in asked.groupings] == ["note"]
    assert "sex" not in asked.absent


def test_without_any_such_column_the_reason_is_given_and_an_unknown_one_is_refused() -> None:
    table = table_of()
    answered = ScoredPredictions(
        table, LabelSpace(("ill", "well"), "ill"), OperatingPoint(CUT), sampling_of(table, known=True)
    )
    said = subgroups(Subject(answered, metadata=table))
    assert isinstance(said, str) and said.startswith("the data say nothing of sex, age, site")
    with pytest.raises(UsageError, match="no column 'sex'"):
        subgroups(Subject(answered, EvaluateSettings(subgroups=("sex",)), metadata=table))


def test_without_a_positive_class_means_over_all_classes_are_given() -> None:
    truth = GENERATOR.integers(0, 3, N)
    logits = GENERATOR.normal(0, 1, (N, 3)) + 1.5 * np.eye(3)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame({"image_id": np.arange(N), "patient_id": np.arange(N), "sex": SEX})
    table["y_true"] = np.array(["a", "b", "c"])[truth]
    table = table.assign(**{f"prob_{name}": shares[:, index] for index, name in enumerate("abc")})
    answered = ScoredPredictions(
        table, LabelSpace(("a", "b", "c")), OperatingPoint(), sampling_of(table, known=False)
    )
    found = subgroups(Subject(answered, metadata=table))
    assert isinstance(found, Subgroups)
    (grouping,) = found.groupings
    for level, group in by_level(grouping).items():
        rows = level == SEX
        called = shares[rows].argmax(axis=1)
        assert group.positives is None
        assert group.metrics["macro_recall"].value == pytest.approx(
            reference.balanced_accuracy_score(truth[rows], called)
        )
        assert group.metrics["macro_auroc"].value == pytest.approx(
            reference.roc_auc_score(truth[rows], shares[rows], multi_class="ovr")
        )
    assert grouping.largest_gap["macro_recall"].low is not None
    rare = subgroups(Subject(answered, EvaluateSettings(min_positives=60), metadata=table))
    assert isinstance(rare, Subgroups)
    assert "fewer than 60; counts only" in rare.groupings[0].groups[1].suppressed


def labelled(positive: str | None = None) -> tuple[Subgroups, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(9)
    marks = (generator.random((N, 3)) < 0.3).astype(np.float32)
    marks[generator.random(marks.shape) < 0.1] = np.nan
    marks[:, 2] = np.where(np.arange(N) < 4, 1, 0)
    scores = np.clip(0.3 * np.nan_to_num(marks) + 0.7 * generator.random(marks.shape), 0, 1)
    names = ("bar", "dot", "rare")
    table = pd.DataFrame({"image_id": np.arange(N), "patient_id": np.arange(N), "sex": SEX, "y_true": ""})
    table = table.assign(
        **truth_columns(marks, names), **{f"prob_{name}": scores[:, i] for i, name in enumerate(names)}
    )
    answered = ScoredPredictions(
        table, LabelSpace(names, positive, several=True), OperatingPoint(), sampling_of(table, known=False)
    )
    found = subgroups(Subject(answered, metadata=table))
    assert isinstance(found, Subgroups)
    return found, marks, scores


def test_several_labels_give_means_over_those_that_are_not_rare_in_a_level() -> None:
    found, marks, scores = labelled()
    (grouping,) = found.groupings
    for level, group in by_level(grouping).items():
        assert group.over == ("bar", "dot")
        aurocs, recalls, specificities = [], [], []
        for index in range(2):
            rows = (level == SEX) & ~np.isnan(marks[:, index])
            truth, score = marks[rows, index] == 1, scores[rows, index]
            aurocs.append(reference.roc_auc_score(truth, score))
            recalls.append(reference.recall_score(truth, score >= 0.5))
            specificities.append(reference.recall_score(~truth, score < 0.5))
        assert group.metrics["macro_recall"].value == pytest.approx(np.mean(recalls))
        assert group.metrics["macro_specificity"].value == pytest.approx(np.mean(specificities))
        assert group.metrics["macro_auroc"].value == pytest.approx(np.mean(aurocs))
        for name in ("macro_recall", "macro_specificity", "macro_auroc"):
            figure = group.metrics[name]
            assert figure.value is not None and figure.low is not None and figure.high is not None
            assert figure.low < figure.value < figure.high
    assert set(grouping.largest_gap) == {"macro_recall", "macro_specificity", "macro_auroc"}


def test_labels_that_were_judged_of_every_image_have_the_interval_of_as_many_classes() -> None:
    generator = np.random.default_rng(1)
    marks = (generator.random((N, 2)) < 0.4).astype(np.float32)
    scores = np.clip(0.3 * marks + 0.7 * generator.random(marks.shape), 0, 1)
    table = pd.DataFrame({"image_id": np.arange(N), "patient_id": np.arange(N), "y_true": ""})
    table = table.assign(**truth_columns(marks, "ab"), prob_a=scores[:, 0], prob_b=scores[:, 1])
    labels = LabelSpace(("a", "b"), None, several=True)
    answered = ScoredPredictions(table, labels, OperatingPoint(), sampling_of(table, known=False))
    wanted = macro_auroc(answered.views.values(), answered.sampling)
    found = Brief(answered, ("a", "b")).figures["macro_auroc"]
    assert [found.value, found.low, found.high] == pytest.approx([wanted.value, wanted.low, wanted.high])


def test_a_positive_label_is_the_one_that_counts() -> None:
    found, marks, _ = labelled("dot")
    for level, group in by_level(found.groupings[0]).items():
        assert group.positives == (marks[level == SEX, 1] == 1).sum()
        assert set(group.metrics) == {"recall", "specificity", "auroc"}
        assert group.over == ()
