"""Bad input of train: each case one clear error, or one clear line."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors import SafetensorError

from medimg_cli.errors import MachineError
from medimg_cli.runs.run_folders import find_unfinished
from medimg_cli.training import checkpoint
from medimg_cli.training.fitting.loop import divergence
from medimg_cli.workspace import progress
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg

pytestmark = pytest.mark.usefixtures("weights_only")

QUICK = ("train", "--epochs", "2", "--batch-size", "8")


def train(workspace: Workspace, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """Return the exit code and what was said on stderr; not quiet, so that warnings are there."""
    from medimg_cli.cli.app import run

    capsys.readouterr()
    code = run([*QUICK, *more, "--workspace", str(workspace.root)])
    return code, capsys.readouterr().err


def with_val(workspace: Workspace, label: str) -> None:
    """Leave only images of one class in the validation split."""
    rows = pd.read_csv(workspace.manifest_path, dtype=str)
    rows.loc[(rows["split"] == "val") & (rows["label"] != label), "split"] = "train"
    rows.to_csv(workspace.manifest_path, index=False)


def test_no_disease_in_val_is_told_before_training(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with_val(workspace, "CLEAR")
    code, said = train(workspace, capsys)
    assert code == 3
    assert "no image of 'SPOT' in the validation split, so no threshold can be chosen there" in said
    assert not workspace.runs_dir.exists()


def test_what_a_small_val_cannot_tell_is_said(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with_val(workspace, "SPOT")
    code, said = train(workspace, capsys)
    assert code == 0
    assert "the threshold rests on 6 images of 'SPOT' in val" in said
    assert "the val split has no image of CLEAR" in said


def test_a_learning_rate_that_explodes_is_warned_of(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = train(workspace, capsys, "--lr", "10")
    assert code == 0
    assert "the training loss never fell below" in said
    assert "lower --lr" in said


@pytest.mark.parametrize(
    ("losses", "classes", "is_one"),
    [([5.0, 2.0], 2, False), ([5.0, 2.2], 2, True), ([5.0, 2.2], 3, False), ([], 2, False)],
)
def test_a_loss_far_above_guessing_is_divergence(losses: list[float], classes: int, is_one: bool) -> None:
    assert bool(divergence([{"train_loss": loss} for loss in losses], classes)) is is_one


def _full(error: Exception) -> Any:
    def fail(*_args: object, **_more: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [RuntimeError("[enforce fail] unexpected pos 195264 vs 195160"), OSError(28, "No space left on device")],
)
def test_a_disk_that_is_full_keeps_the_epochs_saved_before(
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    save, calls = torch.save, []

    def fails_later(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise error
        save(*args)

    monkeypatch.setattr(torch, "save", fails_later)
    code, said = train(workspace, capsys, "--epochs", "3", "--name", "mine")
    assert code == 5
    assert "last.ckpt: " in said
    assert "free some disk space" in said
    monkeypatch.undo()
    assert find_unfinished(workspace, None).name == "mine"
    assert medimg(workspace.root, "train", "--resume") == 0


def test_a_model_that_cannot_be_written_is_one_line(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "save_file", _full(SafetensorError("IoError: StorageFull")))
    code, said = train(workspace, capsys)
    assert code == 5
    assert "model.safetensors: the disk may be full" in said


def test_a_step_of_one_image_is_refused_by_a_network_that_needs_more(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = train(workspace, capsys, "--arch", "mobilenet_v3_small", "--batch-size", "1")
    assert code == 2
    assert "normalises by its batch" in said


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    logged = progress.LoggedProgress(progress.SilentProgress(), tmp_path / "gone" / "log.txt")
    with pytest.raises(MachineError, match=r"cannot write .*log\.txt"):
        logged.note("something")


def test_a_name_that_is_taken_is_refused(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(workspace, capsys, "--name", "mine")[0] == 0
    code, said = train(workspace, capsys, "--name", "mine")
    assert code == 2
    assert "run 'mine' exists already" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--arch", "resnet19"), "unknown architecture 'resnet19'"),
        (("--batch-size", "few"), "--batch-size cannot be 'few'"),
        (("--time-limit", "soon"), "--time-limit cannot be 'soon'"),
        (("--augment", "cxray"), "unknown --augment 'cxray'"),
        (("--time-limit", "20m", "--seeds", "2"), "--time-limit fits one training"),
    ],
)
def test_a_wrong_option_leaves_no_run(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    code, error = train(workspace, capsys, *options)
    assert code == 2
    assert said in error
    assert not workspace.runs_dir.exists()
