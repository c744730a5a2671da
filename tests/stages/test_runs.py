"""runs: the table of what was trained, which is best, what sets two apart, and how to be rid of one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.errors import MachineError, RunError, UsageError
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run
from medimg_cli.stages.runs import best, compare, ranked, remove, runs, warnings_of
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.workspace import Workspace

OTHER_DATA = "0" * 64


@pytest.fixture
def study(trained: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace with the run `first`, which tests may change."""
    workspace = Workspace(tmp_path / "study")
    shutil.copytree(trained.runs_dir, workspace.runs_dir)
    return workspace


def unsealed(path: Path) -> dict[str, Any]:
    """Return a JSON file without the seal that would tell that it was changed."""
    content: dict[str, Any] = json.loads(path.read_text())
    content.pop("seal", None)
    return content


def edit(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file; a mapping changes what stands below. An evaluation goes without its seal."""
    content = unsealed(path)
    for key, value in changes.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(content))


def copy_run(workspace: Workspace, name: str, *, minute: int = 0, **record: Any) -> Run:
    """Add a run like `first` that was begun later, with a record changed as said."""
    run = Run(workspace.runs_dir / name)
    shutil.copytree(workspace.runs_dir / "first", run.folder)
    edit(run.record_path, name=name, started=f"2999-01-01T00:{minute:02d}:00Z", **record)
    return run


def row_of(workspace: Workspace, name: str) -> dict[str, Any]:
    return next(row for row in runs(workspace) if row["run"] == name)


def test_a_run_is_listed_with_its_figures(trained: Workspace) -> None:
    (row,) = runs(trained)
    assert (row["run"], row["status"], row["epochs_run"]) == ("first", "complete", 6)
    assert 0 <= row["test_recall"] <= 1


def test_an_empty_workspace_has_none(tmp_path: Path) -> None:
    assert runs(Workspace(tmp_path)) == []


def test_every_figure_is_the_one_of_the_runs_own_files(trained: Workspace) -> None:
    run = find_run(trained, "first")
    (row,), record = runs(trained), run.read_record()
    metrics = json.loads(run.metrics_path("test").read_text())["metrics"]
    assert (row["seed"], row["best_epoch"], row["val"]) == (record.seed, record.best_epoch, record.val)
    assert row["val_auroc"] == record.val["auroc"]
    assert row["test_recall_interval"] == [metrics["recall"]["low"], metrics["recall"]["high"]]
    for name in ("recall", "specificity", "auroc"):
        assert row[f"test_{name}"] == metrics[name]["value"]
    assert row["size_bytes"] == sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    assert (row["problem"], row["resumable"]) == (None, False)


def test_a_run_without_positive_class_shows_the_mean_over_classes(study: Workspace) -> None:
    run = Run(study.runs_dir / "first")
    content = unsealed(run.metrics_path("test"))
    content["metrics"] = {"macro_recall": {"value": 0.75, "low": 0.5, "high": 0.9, "n": 4}}
    run.metrics_path("test").write_text(json.dumps(content))
    row = row_of(study, "first")
    assert (row["test_recall"], row["test_recall_interval"], row["test_auroc"]) == (0.75, [0.5, 0.9], None)
    assert best(ranked(study, "recall", "test"), "recall", "test") == "first"


@pytest.mark.parametrize(
    ("file", "content", "status", "problem"),
    [
        ("run.json", None, "damaged", "run.json does not exist"),
        ("run.json", b"", "damaged", "run.json cannot be read"),
        ("run.json", b'{"name": "first"', "damaged", "run.json cannot be read"),
        ("run.json", b"\xff\x00", "damaged", "run.json cannot be read"),
        ("run.json", b"[" * 100_000, "damaged", "run.json cannot be read: maximum recursion depth"),
        ("run.json", b"[]", "damaged", "run.json: "),
        ("run.json", b'{"name": "x", "status": "fine", "arch": "a"}', "damaged", "run.json: status"),
        ("metrics-test.json", b"{", "complete", "metrics-test.json cannot be read"),
        ("metrics-test.json", b"{}", "complete", "metrics-test.json cannot be read"),
        ("model.json", None, "complete", "model.json does not exist"),
        ("model.safetensors", None, "complete", "model.safetensors does not exist"),
    ],
)
def test_a_damaged_run_is_a_row_that_says_so(
    study: Workspace, file: str, content: bytes | None, status: str, problem: str
) -> None:
    copy_run(study, "whole")
    damaged = study.runs_dir / "first" / file
    damaged.unlink() if content is None else damaged.write_bytes(content)
    assert {row["run"] for row in runs(study)} == {"first", "whole"}
    row = row_of(study, "first")
    assert row["status"] == status
    assert row["problem"].startswith(problem)
    assert best(ranked(study, "auroc"), "auroc") == "whole"


def test_a_figure_that_is_no_number_is_none(study: Workspace) -> None:
    edit(study.runs_dir / "first" / "run.json", val={"auroc": float("nan")})
    assert row_of(study, "first")["val_auroc"] is None
    with pytest.raises(RunError, match="no run has a figure 'auroc' on val"):
        best(ranked(study, "auroc"), "auroc")


def test_a_training_is_running_only_while_somebody_trains_it(study: Workspace) -> None:
    run = copy_run(study, "second", status="running", epochs_run=0, val={"auroc": 0.9})
    edit(study.runs_dir / "first" / "run.json", val={"auroc": 0.8})
    run.state_path.touch()
    with locked(run.lock_path, doing="training"):
        assert row_of(study, "second")["status"] == "running"
    row = row_of(study, "second")
    assert (row["status"], row["resumable"], row["epochs_run"]) == ("stopped", True, 6)
    assert best(ranked(study, "auroc"), "auroc") == "first"


def test_looking_does_not_touch_the_lock(study: Workspace) -> None:
    run = copy_run(study, "second", status="running")
    run.lock_path.unlink(missing_ok=True)
    runs(study)
    assert not run.lock_path.exists()
    with locked(run.lock_path, doing="training"):
        held = run.lock_path.read_bytes()
        runs(study)
        assert run.lock_path.read_bytes() == held


def test_files_and_hidden_folders_are_no_runs(study: Workspace) -> None:
    (study.runs_dir / "notes.txt").touch()
    (study.runs_dir / ".ipynb_checkpoints").mkdir()
    assert [row["run"] for row in runs(study)] == ["first"]


def test_the_best_stands_first_and_the_unmeasured_last(study: Workspace) -> None:
    edit(study.runs_dir / "first" / "run.json", val={"auroc": 0.8, "loss": 0.4})
    copy_run(study, "better", minute=1, val={"auroc": 0.9, "loss": 0.5})
    copy_run(study, "unknown", minute=2, val={"auroc": None, "loss": None})
    copy_run(study, "equal", minute=3, val={"auroc": 0.9, "loss": 0.6})
    assert [row["run"] for row in runs(study)] == ["first", "better", "unknown", "equal"]
    assert [row["run"] for row in ranked(study, "auroc")] == ["better", "equal", "first", "unknown"]
    assert [row["run"] for row in ranked(study, "loss")] == ["first", "better", "equal", "unknown"]


def test_test_figures_sort_only_when_asked_and_then_with_a_warning(study: Workspace) -> None:
    edit(study.runs_dir / "first" / "run.json", val={"auroc": 0.8})
    second = copy_run(study, "second", val={"auroc": 0.7})
    content = unsealed(second.metrics_path("test"))
    for run, value in ((Run(study.runs_dir / "first"), 0.6), (second, 0.9)):
        content["metrics"]["auroc"]["value"] = value
        run.metrics_path("test").write_text(json.dumps(content))
    assert best(ranked(study, "auroc"), "auroc") == "first"
    rows = ranked(study, "auroc", "test")
    assert best(rows, "auroc", "test") == "second"
    (warning,) = warnings_of(rows, "test", chosen=True)
    assert "pick on val" in warning
    assert warnings_of(rows, "val", chosen=True) == []


@pytest.mark.parametrize(
    ("metric", "split", "hint"),
    [
        ("aurok", "val", "did you mean 'auroc'?"),
        ("specifity", "test", "did you mean 'specificity'?"),
        ("recall", "tset", "val or test"),
    ],
)
def test_an_unknown_metric_or_split_gets_a_proposal(
    tmp_path: Path, metric: str, split: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ranked(Workspace(tmp_path), metric, split)
    assert caught.value.hint == hint


def test_runs_that_rest_on_other_data_are_named(study: Workspace) -> None:
    second = copy_run(study, "second", dataset_hash=OTHER_DATA)
    assert warnings_of(runs(study), "test") == []
    edit(second.metrics_path("test"), dataset_hash=OTHER_DATA)
    (warning,) = warnings_of(runs(study), "test")
    assert "2 different test data (first | second)" in warning
    second.metrics_path("test").unlink()
    assert warnings_of(runs(study), "test") == []
    assert warnings_of([row_of(study, "first") | {"dataset_hash": ""}, row_of(study, "second")], "val") == []
    assert [text.split(" (")[0] for text in compare(study, "first", "second").warnings] == [
        "these runs rest on 2 different val data"
    ]


def test_a_difference_names_what_differs_and_nothing_else(study: Workspace) -> None:
    first, second = Run(study.runs_dir / "first"), copy_run(study, "second", recipe_key="other")
    config = first.config_path.read_text().partition("\n")[2]  # as other versions write it: without a seal
    assert "seed: 0\n" in config
    changed = config.replace("batch_size: 8\n", "batch_size: 16\n", 1).replace("name: first", "name: second")
    second.config_path.write_text(changed + "future:\n  option: 3\n")
    edit(first.record_path, val={"auroc": 0.75})
    edit(second.record_path, val={"auroc": 0.5})
    diff = compare(study, "first", str(second.folder)).diff
    assert diff["runs"] == ["first", "second"]
    assert diff["settings"] == {"train.batch_size": [8, 16], "future.option": [None, 3]}
    assert diff["metrics"]["val"]["auroc"] == {
        "values": [0.75, 0.5],
        "difference": -0.25,
        "intervals": [None, None],
    }
    assert diff["metrics"]["test"]["recall"]["difference"] == 0.0
    assert diff["metrics"]["test"]["recall"]["intervals"][0] == row_of(study, "first")["test_recall_interval"]
    differing = [name for name, pair in diff["provenance"].items() if pair[0] != pair[1]]
    assert differing == ["recipe_key"]


def test_a_run_without_evaluation_has_no_difference_on_test(study: Workspace) -> None:
    copy_run(study, "second").metrics_path("test").unlink()
    compared = compare(study, "second", "first").diff["metrics"]["test"]["auroc"]
    assert compared["values"][0] is None
    assert (compared["difference"], compared["intervals"][0]) == (None, None)


def test_a_run_that_cannot_be_compared_is_one_line(study: Workspace) -> None:
    copy_run(study, "second").config_path.write_text("train: [")
    with pytest.raises(RunError, match=r"second.config\.yaml cannot be read"):
        compare(study, "first", "second")
    with pytest.raises(RunError) as caught:
        compare(study, "first", "secnod")
    assert caught.value.hint == "did you mean 'second'?"


def test_a_removed_run_is_gone_and_its_bytes_are_told(study: Workspace) -> None:
    copy_run(study, "second")
    kept = copy_run(study, "third")
    (study.runs_dir / "second" / "extra" / "deep").mkdir(parents=True)
    (study.runs_dir / "second" / "extra" / "deep" / "file").write_bytes(b"x" * 1000)
    size = row_of(study, "second")["size_bytes"]
    names = ["second", str(study.runs_dir / "second"), "first"]
    assert [(one.run, one.bytes > 0) for one in remove(study, names)] == [("second", True), ("first", True)]
    assert [path.name for path in study.runs_dir.iterdir()] == ["third"]
    assert size > 1000
    assert find_run(study, None).folder == kept.folder


def test_a_run_that_is_being_trained_is_not_removed_nor_its_neighbour(study: Workspace) -> None:
    run = copy_run(study, "second", status="running")
    before = sorted(path.name for path in run.folder.iterdir() if path != run.lock_path)
    with locked(run.lock_path, doing="training"), pytest.raises(MachineError) as caught:
        remove(study, ["first", "second"])
    assert "is training run 'second'" in caught.value.what
    assert sorted(path.name for path in run.folder.iterdir() if path != run.lock_path) == before
    assert row_of(study, "first")["status"] == "complete"
    remove(study, ["second"])
    assert not run.folder.exists()


def test_what_is_no_run_of_this_workspace_is_not_removed(study: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere" / "first"
    shutil.copytree(study.runs_dir / "first", outside)
    (study.runs_dir / "linked").symlink_to(outside)
    for name in (str(outside), "../elsewhere/first", "..", "."):
        with pytest.raises(RunError, match="no run"):
            remove(study, [name])
    assert [one.bytes for one in remove(study, ["linked"])] == [0]
    assert (outside / "model.safetensors").is_file()


def test_a_damaged_run_can_be_removed(study: Workspace) -> None:
    (study.runs_dir / "first" / "run.json").write_text("{")
    assert [one.run for one in remove(study, ["first"])] == ["first"]
    assert runs(study) == []


def test_a_half_deleted_run_does_not_look_whole(study: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    (study.runs_dir / "first" / "a-folder").mkdir()  # the first to go
    weights = study.runs_dir / "first" / "model.safetensors"

    def full_stop(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("medimg_cli.stages.runs.shutil.rmtree", full_stop)
    with pytest.raises(MachineError, match="cannot delete"):
        remove(study, ["first"])
    assert row_of(study, "first")["status"] == "damaged"
    monkeypatch.undo()
    remove(study, ["first"])
    assert not weights.exists()
