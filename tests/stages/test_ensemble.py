"""train --folds and --seeds: several networks that everything after training takes for one model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import DataError, RunError
from medimg_cli.inference.ood_reference import references_of
from medimg_cli.inference.predictor import members_of
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run, find_unfinished, list_runs
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.runs import runs
from medimg_cli.stages.train import TrainResult, train
from medimg_cli.training.networks.torch_network import predictor_of
from medimg_cli.workspace.files import sealed
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg
from tests.stages.test_freeze import weights
from tests.stages.training_stops import StopsIn


def settings(**options: object) -> Settings:
    quick: dict[str, object] = {"epochs": 2, "batch_size": 8}
    return Settings(train=TrainSettings.model_validate(quick | options))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace with an ensemble of two folds, and one of two seeds; tests must leave them as they are."""
    folder = tmp_path_factory.mktemp("ensembles")
    raw = draw_cohort(folder / "raw", patients=20)
    ingest = ("ingest", str(raw), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    assert medimg(folder, *ingest) == 0
    options = ("--epochs", "2", "--batch-size", "8")
    assert medimg(folder, "train", *options, "--folds", "2", "--name", "folds") == 0
    assert medimg(folder, "train", *options, "--seeds", "2", "--seed", "5", "--name", "seeds") == 0
    return Workspace(folder)


@pytest.fixture
def own(study: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the study that a test may change."""
    shutil.copytree(study.root, tmp_path / "own")
    return Workspace(tmp_path / "own")


def val_of(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.predictions_path("val"), dtype={"fold": str})


def member(run: Run, name: str) -> Run:
    return Run(run.members_path / name)


def test_every_image_is_answered_by_the_network_that_had_not_learnt_from_it(study: Workspace) -> None:
    run = find_run(study, "folds")
    table = val_of(run)
    rows = read_dataset(study).of_split("train", "val")
    assert table["image_id"].tolist() == rows["image_id"].tolist()
    assert table.groupby("patient_id")["fold"].nunique().max() == 1
    for fold in ("0", "1"):
        held = val_of(member(run, f"fold-{fold}"))
        mine = table[table["fold"] == fold]
        assert held["image_id"].tolist() == mine["image_id"].tolist()
        np.testing.assert_array_equal(held["prob_SPOT"], mine["prob_SPOT"])
        learnt = member(run, f"fold-{fold}").read_card().fingerprint
        assert learnt.train_images == len(rows) - len(held)


def test_sets_are_the_ensembles_and_references_its_members(study: Workspace) -> None:
    for name, split in (("folds", "out-of-fold"), ("seeds", "val")):
        run = find_run(study, name)
        card = run.read_card()
        assert card.sets is not None
        assert card.sets.split == split
        assert sum(card.sets.counts.values()) == len(val_of(run))
        assert (card.limits, card.reference_sha256, card.onnx_sha256) == (None, None, None)
        assert not run.reference_path.exists()
        references = references_of(members_of(run, card))
        assert references is not None
        assert len(references.members) == 2


def test_threshold_and_figures_are_those_of_the_out_of_fold_predictions(study: Workspace) -> None:
    run = find_run(study, "folds")
    card, record, table = run.read_card(), run.read_record(), val_of(run)
    assert card.threshold is not None
    ill = table["y_true"] == "SPOT"
    assert card.threshold.split == "out-of-fold"
    recall = (table[ill]["prob_SPOT"] >= card.threshold.value).mean()
    assert recall == card.threshold.achieved_recall
    assert recall >= 0.95
    called = table["prob_SPOT"] > 0.5
    assert record.val["recall"] == pytest.approx((called & ill).sum() / ill.sum())
    assert [fold["n"] for fold in record.folds] == table["fold"].value_counts().sort_index().tolist()
    for fold in record.folds:
        here = table["fold"] == str(fold["fold"])
        assert fold["recall"] == pytest.approx((called & ill & here).sum() / (ill & here).sum())
    assert (record.members, record.best_epoch, record.epochs_run) == (2, None, 4)


def test_networks_of_several_seeds_answer_with_their_mean(study: Workspace) -> None:
    run = find_run(study, "seeds")
    names = [one.folder for one in run.read_card().members]
    assert names == ["members/seed-5", "members/seed-6"]
    held = [val_of(Run(run.folder / name))["prob_SPOT"] for name in names]
    assert held[0].tolist() != held[1].tolist()
    np.testing.assert_allclose(val_of(run)["prob_SPOT"], np.mean(held, axis=0))
    assert find_run(study, "seeds").read_card().threshold is not None
    assert not run.weights_path.exists()


def test_a_member_is_the_network_that_its_seed_gives_alone(study: Workspace, own: Workspace) -> None:
    assert (
        medimg(own.root, "train", "--epochs", "2", "--batch-size", "8", "--seed", "6", "--name", "one") == 0
    )
    alone = find_run(own, "one").read_card()
    assert alone.weights_sha256 == member(find_run(study, "seeds"), "seed-6").read_card().weights_sha256
    assert alone.temperature != 1.0


def test_two_architectures_with_weights_are_one_model_and_both_licences_are_told(
    own: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archs = ("squeezenet1_1", "mobilenet_v2")
    first, second = (Path(weights(tmp_path, name)) for name in archs)
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    asked: tuple[str, ...] = ("--arch", archs[0], "--weights", str(first), "--freeze", "backbone")
    asked += ("--head", "logistic", "--size", "64", "--set", f"train.also={archs[1]}", "--name", "both")
    assert medimg(own.root, "train", *asked) == 0
    run = find_run(own, "both")
    card = run.read_card()
    assert card.arch == run.read_record().arch == "squeezenet1_1 + mobilenet_v2"
    assert card.began_with is not None and card.began_with.source == f"{first.name}, {second.name}"
    assert "no commercial use" in card.began_with.restriction
    parts = [val_of(member(run, name))["prob_SPOT"] for name in archs]
    np.testing.assert_allclose(val_of(run)["prob_SPOT"], np.mean(parts, axis=0), atol=1e-12)
    quick, torch = (predictor_of(run, quick=each) for each in (True, False))
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64, card.recipe.channels)).astype(np.uint8)
    np.testing.assert_allclose(quick.of_pixels(pixels), torch.of_pixels(pixels), atol=1e-4)
    assert torch.answer(pixels, maps=True).maps is not None  # one map is finer than the other
    second.unlink()
    capsys.readouterr()
    assert medimg(own.root, "train", *asked[:-1], "again") == 2
    assert f"no weights of {archs[1]} lie beside" in capsys.readouterr().err


def test_the_predictor_gives_the_mean_of_calibrated_probabilities(study: Workspace) -> None:
    run = find_run(study, "seeds")
    rows = read_dataset(study).of_split("val")
    cache = preprocess(study, Settings().preprocess).cache
    answers = predictor_of(run).of_rows(
        cache.pixels, cache.positions(rows["image_id"].tolist()), batch_size=4
    )
    np.testing.assert_allclose(answers[:, 1], val_of(run)["prob_SPOT"], atol=1e-6)


def test_everything_after_training_takes_it_for_one_model(own: Workspace, tmp_path: Path) -> None:
    image = str(own.root / "raw" / "SPOT" / "patient001_0.png")
    for name in ("folds", "seeds"):
        assert medimg(own.root, "evaluate", name) == 0
        assert medimg(own.root, "predict", image, "--run", name) == 0
    assert medimg(own.root, "report", "folds", "--out", str(tmp_path / "report.html")) == 0
    assert "ensemble of 2 networks" in (tmp_path / "report.html").read_text()
    assert [row["run"] for row in runs(own)] == [run.name for run in list_runs(own)] == ["folds", "seeds"]
    assert all(row["problem"] is None and not row["resumable"] for row in runs(own))
    assert medimg(own.root, "runs", "--diff", "folds", "seeds") == 0
    assert medimg(own.root, "runs", "--remove", "folds", "--yes") == 0
    assert not (own.runs_dir / "folds").exists()


def test_an_ensemble_may_be_moved_but_not_taken_apart(own: Workspace) -> None:
    moved = own.root / "elsewhere"
    shutil.move(own.runs_dir / "seeds", moved)
    assert medimg(own.root, "evaluate", str(moved)) == 0
    shutil.copytree(
        own.runs_dir / "folds" / "members" / "fold-0", moved / "members" / "seed-5", dirs_exist_ok=True
    )
    with pytest.raises(RunError, match="is not the member this ensemble was made of"):
        predictor_of(Run(moved))
    shutil.move(moved, own.runs_dir / "seeds")
    shutil.rmtree(own.runs_dir / "seeds" / "members" / "seed-6")
    assert "seed-6" in next(row["problem"] for row in runs(own) if row["run"] == "seeds")


@pytest.mark.parametrize("folder", ["../first", "/etc", ".", "members\\seed-5"])
def test_a_card_that_points_out_of_its_folder_is_refused(own: Workspace, folder: str) -> None:
    run = find_run(own, "seeds")
    card = json.loads(run.card_path.read_text())
    card["members"][0]["folder"] = folder
    run.card_path.write_text(json.dumps(sealed(card)))
    with pytest.raises(RunError, match="lies inside its run's"):
        predictor_of(run)


def test_the_out_of_fold_evaluation_covers_train_and_val(own: Workspace) -> None:
    run = find_run(own, "folds")
    before = val_of(run)
    assert medimg(own.root, "evaluate", "folds", "--split", "val") == 0
    metrics = json.loads(run.metrics_path("val").read_text())
    assert metrics["n"] == len(before)
    assert any("did not learn from it" in warning for warning in metrics["warnings"])
    pd.testing.assert_frame_equal(val_of(run), before)
    assert medimg(own.root, "evaluate", "folds", "--split", "val", "--tta") == 2
    assert medimg(own.root, "evaluate", "folds", "--target-recall", "0.5", "--keep-threshold") == 0
    assert json.loads(run.metrics_path("test").read_text())["threshold"]["split"] == "out-of-fold"


def whole(run: Run) -> tuple[object, ...]:
    return run.read_card().weights_sha256, run.predictions_path("val").read_text(), run.read_record().val


class Workplace:
    """A workspace with its pixels, in which ensembles are trained, stopped and gone on with."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.cache: PixelCache = preprocess(workspace, Settings().preprocess).cache

    def train(self, progress: SilentProgress = SilentProgress(), **options: object) -> TrainResult:
        resume = options.pop("resume", None)
        assert resume is None or isinstance(resume, Run)
        chosen = settings(folds=2, name="again", **options)
        return train(self.workspace, chosen, self.cache, progress, resume=resume)


@pytest.fixture
def workplace(own: Workspace) -> Workplace:
    return Workplace(own)


@pytest.mark.slow
def test_an_ensemble_stopped_in_its_second_member_goes_on_to_the_same_bits(workplace: Workplace) -> None:
    stopped = workplace.train(StopsIn(1, images=0, training=2))
    run = stopped.run
    assert (stopped.interrupted, stopped.members) == (True, 1)
    assert (run.read_record().status, len(run.read_card().members)) == ("interrupted", 1)
    assert set(val_of(run)["fold"]) == {"0"}
    assert medimg(workplace.workspace.root, "evaluate", "again") == 0
    with pytest.raises(RunError, match="is a member of an ensemble"):
        workplace.train(resume=member(run, "fold-1"))
    assert not member(run, "fold-1").members_path.exists()
    first = member(run, "fold-0").weights_path.stat().st_mtime_ns
    assert find_unfinished(workplace.workspace, None).name == "again"
    resumed = workplace.train(resume=run)
    assert (resumed.interrupted, resumed.members, run.read_record().resumed) == (False, 2, 1)
    assert member(run, "fold-0").weights_path.stat().st_mtime_ns == first
    assert whole(run) == whole(find_run(workplace.workspace, "folds"))


def test_an_ensemble_stopped_in_its_first_member_has_no_model_yet(workplace: Workplace) -> None:
    with pytest.raises(KeyboardInterrupt):
        workplace.train(StopsIn(2, images=0))
    row = next(row for row in runs(workplace.workspace) if row["run"] == "again")
    assert (row["status"], row["resumable"]) == ("stopped", True)
    assert medimg(workplace.workspace.root, "train", "--resume") == 0
    run = find_run(workplace.workspace, "again")
    assert whole(run) == whole(find_run(workplace.workspace, "folds"))
    assert workplace.train(resume=run).members == 2


def test_other_folds_than_those_it_was_begun_with_are_refused(workplace: Workplace) -> None:
    workspace = workplace.workspace
    run = workplace.train(StopsIn(2, images=0, training=2)).run
    rows = pd.read_csv(workspace.manifest_path, dtype=str, keep_default_na=False)
    patients = rows["patient_id"].str.slice(-2).astype(int)
    rows["fold"] = (patients // 2 % 2).astype(str)
    rows.to_csv(workspace.manifest_path, index=False)
    info = json.loads(workspace.dataset_path.read_text())
    workspace.dataset_path.write_text(json.dumps(sealed(info | {"folds": 2})))
    with pytest.raises(RunError, match="begun with other data, pixels or settings"):
        workplace.train(resume=run)


def test_too_many_folds_leave_no_run_behind(workplace: Workplace) -> None:
    before = sorted(path.name for path in workplace.workspace.runs_dir.iterdir())
    with pytest.raises(DataError, match="--folds 15: "):
        train(workplace.workspace, settings(folds=15), workplace.cache)
    assert sorted(path.name for path in workplace.workspace.runs_dir.iterdir()) == before


def test_the_json_names_members_and_folds(own: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--epochs", "1", "--batch-size", "8", "--folds", "2", "--json")
    assert medimg(own.root, "train", *options) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["members"] == 2
    assert [fold["fold"] for fold in payload["folds"]] == [0, 1]
    assert {"auroc", "recall", "f1", "loss"} <= set(payload["folds"][0])


def test_views_change_the_answer_and_are_told_apart_from_the_plain_ones(own: Workspace) -> None:
    run = find_run(own, "seeds")

    def evaluated(*options: str) -> tuple[int, list[float], str]:
        assert medimg(own.root, "evaluate", "seeds", *options) == 0
        where = Run(run.folder / "explorations" / "tta") if options else run
        metrics = json.loads(where.metrics_path("test").read_text())
        scores = pd.read_csv(where.predictions_path("test"))["prob_SPOT"].tolist()
        return metrics["views"], scores, " ".join(metrics["warnings"])

    plain, viewed, again = evaluated(), evaluated("--tta"), evaluated()
    assert (plain[0], viewed[0]) == (1, 4)
    assert plain == again
    assert plain[1] != viewed[1]
    np.testing.assert_allclose(plain[1], viewed[1], atol=0.2)
    assert "mean over 4 views" in viewed[2]
    image = str(own.root / "raw" / "SPOT" / "patient001_0.png")
    assert medimg(own.root, "predict", image, "--run", "seeds", "--tta") == 0
