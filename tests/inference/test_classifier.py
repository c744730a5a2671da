"""What an answer is worth: refusals, flags and prediction sets of a model of phantoms."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.errors import RunError
from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.predictor import Predictor
from medimg_cli.runs.ood_limits import Sets
from medimg_cli.runs.run import Member, Run
from medimg_cli.workspace.workspace import Workspace
from tests.inference.phantoms import grey, held_out, inverted, judge_of, photograph, train_on_phantoms

UNLIKE = "out-of-distribution"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace with a run on phantoms; tests must leave it as it is."""
    return train_on_phantoms(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(scope="module")
def run(phantoms: Workspace) -> Run:
    return Run(phantoms.root / "runs" / "first")


@pytest.fixture(scope="module")
def judge(run: Run) -> Classifier:
    return judge_of(run)


@pytest.fixture(scope="module")
def test_split(phantoms: Workspace, judge: Classifier) -> list[DecodedImage]:
    return held_out(phantoms, judge)


def test_few_phantoms_that_the_model_has_not_seen_are_refused(
    judge: Classifier, test_split: list[DecodedImage]
) -> None:
    said = judge([judge.prepare(image) for image in test_split])
    assert len(said) >= 20
    assert np.mean([one.status == "refused" for one in said]) <= 0.10
    assert np.mean([bool({"inverted?", "size-unlike-training"} & set(one.flags)) for one in said]) <= 0.10
    assert np.mean(["low-quality" in one.flags for one in said]) <= 0.10


def test_photographs_noise_and_pictures_of_nothing_are_refused(judge: Classifier) -> None:
    generator = np.random.default_rng(0)
    china = photograph("china.jpg")
    strangers = [
        china,
        photograph("flower.jpg"),
        DecodedImage(china.pixels.mean(axis=2, keepdims=True).astype(np.uint8), 8),
        grey(generator.normal(128, 40, (256, 256))),
        grey(generator.uniform(0, 255, (64, 64))),
        grey(np.zeros((256, 256))),
        grey(np.full((256, 256), 255.0)),
        grey(np.linspace(0, 255, 256)[None].repeat(256, axis=0)),
    ]
    for said in judge([judge.prepare(image) for image in strangers]):
        assert (said.status, said.label, said.confidence, said.prediction_set) == (
            "refused",
            None,
            None,
            None,
        )
        assert said.decision == "refer"
        assert UNLIKE in said.flags
        assert "unlike the images this model learnt from" in said.message
        assert sum(value or 0 for value in said.probabilities.values()) == pytest.approx(1)


def test_a_refusal_names_what_is_unlike(judge: Classifier, test_split: list[DecodedImage]) -> None:
    tinted = np.concatenate([test_split[0].as_uint8() // share for share in (1, 2, 4)], axis=2)
    said = judge([judge.prepare(DecodedImage(tinted, 8))])[0]
    assert "its colour" in said.message


def test_most_negatives_are_told_as_such_and_no_stranger_is(
    judge: Classifier, test_split: list[DecodedImage]
) -> None:
    said = judge([judge.prepare(inverted(image)) for image in test_split])
    assert np.mean(["inverted?" in one.flags for one in said]) >= 0.8
    assert np.mean([one.status == "refused" for one in said]) >= 0.8
    assert "inverted?" not in judge([judge.prepare(photograph("china.jpg"))])[0].flags


def test_sizes_far_from_the_trainings_are_flagged(judge: Classifier, test_split: list[DecodedImage]) -> None:
    pixels = test_split[0].as_uint8()
    large = np.kron(pixels, np.ones((3, 3, 1), dtype=np.uint8))
    wide = pixels[: len(pixels) * 2 // 3]
    for other, is_flagged in ((pixels, False), (large, True), (wide, True)):
        said = judge([judge.prepare(DecodedImage(other, 8))])[0]
        assert ("size-unlike-training" in said.flags) is is_flagged


def test_a_size_counts_as_in_the_file_when_it_was_decoded_smaller(
    judge: Classifier, test_split: list[DecodedImage]
) -> None:
    small = test_split[0]
    half = DecodedImage(small.pixels, 8, {"decoded_at": "1/4"}, (float(small.width), float(small.height)))
    assert "size-unlike-training" in judge([judge.prepare(half)])[0].flags


def test_flat_and_clipped_images_are_of_low_quality(
    judge: Classifier, test_split: list[DecodedImage]
) -> None:
    pixels = test_split[0].as_uint8().astype(np.float64)[..., 0]
    flat, clipped = grey(pixels * 0.2 + 100), grey((pixels - 60) * 8)
    for spoilt in (flat, clipped):
        assert "low-quality" in judge([judge.prepare(spoilt)])[0].flags


def test_bars_of_a_letterbox_are_no_clipped_black(judge: Classifier, test_split: list[DecodedImage]) -> None:
    pixels = test_split[0].as_uint8()
    narrow = DecodedImage(np.ascontiguousarray(pixels[:, ::2]), 8)
    padded = np.pad(pixels[:, ::2], ((0, 0), (pixels.shape[1] // 4,) * 2, (0, 0)))
    assert "low-quality" not in judge([judge.prepare(narrow)])[0].flags
    assert "low-quality" in judge([judge.prepare(DecodedImage(padded, 8))])[0].flags


def test_an_answer_does_not_hang_on_its_batch(judge: Classifier, test_split: list[DecodedImage]) -> None:
    prepared = [judge.prepare(image) for image in (*test_split[:7], photograph("china.jpg"))]
    alone = [judge([one])[0] for one in prepared]
    assert judge(prepared) == alone


def test_a_set_holds_the_classes_that_reach_their_least_probability(
    run: Run, judge: Classifier, test_split: list[DecodedImage]
) -> None:
    sets = run.read_card().sets
    assert sets is not None
    assert (sets.alpha, sets.split) == (0.1, "val")
    likely = [one for one in judge([judge.prepare(image) for image in test_split]) if one.status == "ok"]
    assert likely
    for said in likely:
        expected = tuple(
            name for name, value in said.probabilities.items() if (value or 0) >= sets.least[name]
        )
        assert said.prediction_set == expected
        assert ("uncertain" in said.flags) is (len(expected) != 1)


def test_an_uncertain_positive_stays_positive(judge: Classifier, test_split: list[DecodedImage]) -> None:
    card = judge.card
    both = Sets(alpha=0.1, least=dict.fromkeys(card.classes, 0.0), counts={}, split="val")
    unsure = with_card(judge, {"sets": both})
    prepared = [judge.prepare(image) for image in test_split]
    for before, after in zip(judge(prepared), unsure(prepared), strict=True):
        assert after.decision == before.decision
        assert ("uncertain" in after.flags) is (after.status == "ok")


def with_card(judge: Classifier, update: dict[str, object]) -> Classifier:
    predictor = Predictor(judge.card.model_copy(update=update), judge.predictor.networks)
    return Classifier(predictor, judge.references)


def test_a_set_for_other_classes_is_refused(judge: Classifier) -> None:
    other = Sets(alpha=0.1, least={"CAT": 0.5}, counts={}, split="val")
    with pytest.raises(RunError, match="sets"):
        with_card(judge, {"sets": other})


def test_a_run_of_before_answers_without_flags_and_says_so(judge: Classifier) -> None:
    predictor = Predictor(judge.card.model_copy(update={"sets": None}), judge.predictor.networks)
    plain = Classifier(predictor, None)
    said = plain([plain.prepare(photograph("china.jpg"))])[0]
    assert (said.status, said.flags, said.prediction_set) == ("ok", (), None)
    assert "train again" in plain.remark
    assert judge.remark == ""


def test_an_ensemble_of_one_network_twice_says_what_the_network_says(
    run: Run, judge: Classifier, test_split: list[DecodedImage], tmp_path: Path
) -> None:
    card, whole = run.read_card(), Run(tmp_path / "whole")
    members = []
    for name in ("one", "two"):
        folder = whole.members_path / name
        shutil.copytree(run.folder, folder)
        members.append(Member(folder=f"members/{name}", weights_sha256=card.weights_sha256))
    without = dict.fromkeys(("onnx_sha256", "reference_sha256", "limits"))
    whole.write_card(card.model_copy(update=without | {"members": tuple(members)}))
    together = judge_of(whole)
    assert together.references is not None
    assert len(together.references.members) == 2
    prepared = [judge.prepare(image) for image in (*test_split[:5], photograph("china.jpg"))]
    assert together(prepared) == judge(prepared)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_reference_is_refused(run: Run, tmp_path: Path, damage: str) -> None:
    copy = Run(tmp_path / "run")
    copy.folder.mkdir()
    for path in (run.card_path, run.onnx_path, run.reference_path):
        (copy.folder / path.name).write_bytes(path.read_bytes())
    if damage == "missing":
        copy.reference_path.unlink()
    else:
        copy.reference_path.write_bytes(copy.reference_path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RunError, match=r"reference\.safetensors"):
        judge_of(copy)
