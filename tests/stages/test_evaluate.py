"""evaluate: honest numbers from the predictions, and no leaky split."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from medimg_cli.api.prerequisites import answering
from medimg_cli.audit.duplicates.across_splits import known_leak
from medimg_cli.cli.app import run
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import GateError, RunError
from medimg_cli.evaluation.evaluation import read_evaluation
from medimg_cli.reporting.verdict import leakage_line
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run
from medimg_cli.stages.evaluate import evaluate
from medimg_cli.stages.preprocess import preprocess_with
from medimg_cli.workspace import table_form
from medimg_cli.workspace.operating_settings import EvaluateSettings
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg


@pytest.fixture(scope="module")
def quickly_trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickly")
    raw = str(draw_cohort(folder / "raw"))
    assert medimg(folder, "ingest", raw, "--positive", "SPOT", "--patient-regex", r"(patient\d+)") == 0
    assert medimg(folder, "train", "--epochs", "2", "--batch-size", "8") == 0
    return folder


@pytest.fixture
def own(quickly_trained: Path, tmp_path: Path) -> tuple[Workspace, Run]:
    """Return a small trained workspace a test may change."""
    shutil.copytree(quickly_trained, tmp_path, dirs_exist_ok=True)
    workspace = Workspace(tmp_path)
    return workspace, find_run(workspace, None)


def evaluated(  # type: ignore[no-untyped-def]
    own: tuple[Workspace, Run], *, progress: Progress | None = None, **options: object
):
    workspace, run = own
    cache = preprocess_with(workspace, run.read_card().recipe).cache
    settings = EvaluateSettings.model_validate(options)
    return evaluate(
        workspace, run, answering(run, tta=settings.tta), cache, settings, progress or SilentProgress()
    )


def test_the_numbers_follow_from_the_predictions_table(trained: Workspace) -> None:
    run = find_run(trained, "first")
    evaluation = read_evaluation(run, "test")
    assert evaluation is not None and evaluation.threshold is not None and evaluation.missed is not None
    table = pd.read_csv(run.predictions_path("test"))
    assert sorted(table["image_id"]) == sorted(read_dataset(trained).of_split("test")["image_id"])
    ill = table[table["y_true"] == "SPOT"]
    missed = ill[ill["prob_SPOT"] < evaluation.threshold.value]
    assert (evaluation.missed.count, evaluation.missed.of) == (len(missed), len(ill))
    assert set(evaluation.missed.ids) == set(missed["image_id"])
    assert evaluation.metrics["recall"].value == 1 - len(missed) / len(ill)
    assert evaluation.metrics["recall"].method == "Wilson by patient, 4 patients"
    assert evaluation.confusion is not None
    (_, _), (false_negatives, true_positives) = evaluation.confusion.matrix
    assert (false_negatives, true_positives) == (len(missed), len(ill) - len(missed))


def test_the_tiny_task_is_learnt(trained: Workspace) -> None:
    evaluation = read_evaluation(find_run(trained, "first"), "test")
    assert evaluation is not None
    auroc = evaluation.metrics["auroc"].value
    assert auroc is not None and auroc > 0.9


def test_nothing_is_done_twice(own: tuple[Workspace, Run]) -> None:
    assert [evaluated(own).reused, evaluated(own).reused] == [False, True]


def test_a_table_that_is_not_as_it_was_written_is_made_again_and_that_is_said(
    own: tuple[Workspace, Run],
) -> None:
    said: list[str] = []

    class Heard(SilentProgress):
        def warn(self, message: str) -> None:
            said.append(message)

    evaluated(own)
    path = own[1].predictions_path("test")
    right = path.read_bytes()
    path.write_bytes(right[: len(right) // 2])
    evaluated(own, progress=Heard())
    assert said == [f"{path} is not as medimg wrote it: damaged, or edited by hand: it is made again"]
    assert path.read_bytes() == right


def test_another_target_recall_is_chosen_on_validation(own: tuple[Workspace, Run]) -> None:
    threshold = evaluated(own, target_recall=0.5).evaluation.threshold
    assert threshold is not None
    assert (threshold.split, threshold.target_recall) == ("val", 0.5)
    trained_with = own[1].read_card().threshold
    assert trained_with is not None and threshold.value >= trained_with.value


def test_an_unmet_requirement_is_named(own: tuple[Workspace, Run]) -> None:
    (unmet,) = evaluated(own, require=("recall>=0", "auroc>1")).unmet
    assert unmet.startswith("auroc>1 (it is ") and unmet.endswith(" short)")


def move_a_test_image_to_training(workspace: Workspace) -> None:
    rows = pd.read_csv(workspace.manifest_path, dtype=str, keep_default_na=False)
    first = rows.index[rows["split"] == "test"][0]
    rows.loc[first, "split"] = "train"
    rows.to_csv(workspace.manifest_path, index=False)


def test_a_data_set_that_changed_since_training_is_refused(own: tuple[Workspace, Run]) -> None:
    move_a_test_image_to_training(own[0])
    with pytest.raises(RunError, match="changed since this run was trained"):
        evaluated(own)


def test_another_positive_class_is_told_by_ingest_and_named_by_evaluate(
    own: tuple[Workspace, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = next(name for name in read_dataset(own[0]).info.classes if name != "SPOT")
    capsys.readouterr()
    assert run(["ingest", str(tmp_path / "raw"), "--positive", other, "-C", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"the positive class changed from SPOT to {other}: runs trained before" in said
    assert "no image is new, changed or gone" in said and "as it was" not in said
    with pytest.raises(RunError, match=f"the positive class changed from SPOT to {other}") as caught:
        evaluated(own)
    assert "ingest again with --positive SPOT" in caught.value.hint
    assert run(["ingest", str(tmp_path / "raw"), "--positive", "SPOT", "-C", str(tmp_path)]) == 0
    assert evaluated(own).evaluation.split == "test"


def test_a_leaky_split_is_refused_unless_allowed_or_left_out_and_one_number_says_how_leaky(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_cohort(tmp_path / "raw")
    medimg(
        tmp_path, "ingest", str(tmp_path / "raw"), "--positive", "SPOT", "--patient-regex", r"(patient\d+)"
    )
    workspace = Workspace(tmp_path)
    move_a_test_image_to_training(workspace)
    assert run(["train", "--epochs", "1", "--batch-size", "8", "--workspace", str(tmp_path)]) == 0
    leak = known_leak(workspace, read_dataset(workspace))
    assert leak.images == leak.patient > 0
    assert leak.line() in capsys.readouterr().err
    assert medimg(tmp_path, "label-audit", "--checks", "patients-across-splits", "--json") == 1
    assert json.loads(capsys.readouterr().out)["leak"]["images"] == leak.images
    own = (workspace, find_run(workspace, None))
    with pytest.raises(GateError, match="shares 1 patient and") as caught:
        evaluated(own)
    assert leak.line() in caught.value.what
    assert "--without-leaked" in caught.value.hint
    rest = evaluated(own, without_leaked=True).evaluation
    assert (rest.n, rest.leakage.left_out) == (leak.of - leak.images, leak.images)
    assert (rest.leakage.shared_patients, rest.leakage.leak) == (0, replace(leak, ids=()))
    assert leak.line("tested") in leakage_line(rest.leakage)
    assert not set(pd.read_csv(own[1].predictions_path("test"))["image_id"]) & set(leak.ids)
    allowed = evaluated(own, allow_leak=True).evaluation
    assert allowed.leakage.shared_patients == 1
    assert any("figures are too good" in warning for warning in allowed.warnings)


def test_names_from_files_of_a_published_split_are_evaluated_and_doubted(tmp_path: Path) -> None:
    for split, seed in (("train", 1), ("test", 2)):
        draw_cohort(tmp_path / "raw" / split, patients=16, seed=seed)
    medimg(
        tmp_path, "ingest", str(tmp_path / "raw"), "--positive", "SPOT", "--patient-regex", r"(patient\d+)"
    )
    medimg(tmp_path, "train", "--epochs", "1", "--batch-size", "8")
    workspace = Workspace(tmp_path)
    leakage = evaluated((workspace, find_run(workspace, None))).evaluation.leakage
    assert (leakage.shared_patients, leakage.patients_certain, leakage.allowed) == (16, False, False)


def test_without_a_positive_class_means_over_classes_are_given(tmp_path: Path) -> None:
    raw = draw_cohort(tmp_path / "raw")
    (raw / "CLEAR").rename(raw / "left")
    (raw / "SPOT").rename(raw / "right")
    medimg(tmp_path, "ingest", str(raw), "--patient-regex", r"(patient\d+)")
    medimg(tmp_path, "train", "--epochs", "1", "--batch-size", "8")
    assert medimg(tmp_path, "evaluate") == 0
    content = json.loads(find_run(Workspace(tmp_path), None).metrics_path("test").read_text())
    assert content["positive"] is content["threshold"] is content["missed"] is None
    assert content["metrics"]["macro_recall"]["value"] is not None
    assert any("no positive class" in warning for warning in content["warnings"])


def test_tables_kept_as_parquet_give_the_same_numbers_and_hashes(
    own: tuple[Workspace, Run],
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(table_form, "_parquet_from", [0])  # what it is set to here ends here
    plain, large = own[0].root, tmp_path_factory.mktemp("large") / "study"
    shutil.copytree(plain, large)
    found = []
    for folder, rows, suffix in ((plain, 0, ".csv"), (large, 4, ".parquet")):
        known = ("--set", f"tables.parquet_from={rows}", "--workspace", str(folder))
        again = ("--fresh", "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
        assert run(["ingest", str(folder / "raw"), *again, *known]) == 0
        place = Workspace(folder)
        assert place.manifest_path.suffix == suffix
        capsys.readouterr()
        for command in (["evaluate", "--json"], ["evaluate", "--json"]):  # the second finds all up to date
            assert run([*command, *known]) == 0
        assert find_run(place, None).predictions_path("test").suffix == suffix
        said = capsys.readouterr()
        assert run(["predict", str(folder / "raw" / "SPOT"), "--json", *known]) == 0
        learnt = [line for line in capsys.readouterr().err.splitlines() if "learn" in line]
        assert run(["report", "--out", str(folder / "r.html"), *known]) == 0
        assert run(["label-audit", "--quick", "--fail-on", "never", *known]) == 0
        monkeypatch.setenv("MEDIMG_WORKSPACE", str(folder))
        assert run([]) == 0
        step = capsys.readouterr().out.splitlines()[-2:]
        metrics = json.loads(find_run(place, None).metrics_path("test").read_text())
        info = json.loads(place.dataset_path.read_text())
        text = re.sub(r"\d\d:\d\d", "", (folder / "r.html").read_text()).replace(str(folder), "")
        found.append((said.out, "damaged" in said.err, learnt, step, metrics, info, text))
    assert found[0][2]
    for plainly, largely in zip(*found, strict=True):
        assert plainly == largely
