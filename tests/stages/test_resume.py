"""train --resume: after a stop anywhere, the same model to the bit as if nothing had happened."""

import pickle
from pathlib import Path

import pandas as pd
import pytest

from medimg_cli.errors import RunError
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run, find_unfinished
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.train import train
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg

pytestmark = pytest.mark.usefixtures("weights_only")


def settings(**options: object) -> Settings:
    quick: dict[str, object] = {"epochs": 4, "batch_size": 8, "patience": 9}
    return Settings(train=TrainSettings.model_validate(quick | options))


@pytest.fixture
def cache(workspace: Workspace) -> PixelCache:
    return preprocess(workspace, Settings().preprocess).cache


class StopsIn(SilentProgress):
    """Ends training somewhere in an epoch, as a signal would."""

    def __init__(self, epoch: int, images: int) -> None:
        self._epoch, self._images = epoch, images
        self._here, self._seen = False, 0

    def start(self, task: str, total: int | None) -> None:  # noqa: ARG002
        self._here, self._seen = task.startswith(f"epoch {self._epoch}/"), 0

    def advance(self, steps: int = 1) -> None:
        self._seen += steps
        if self._here and self._seen > self._images:
            raise KeyboardInterrupt


def weights_of(run: Run) -> tuple[str, list[float], int | None]:
    history = pd.read_csv(run.history_path)["val_loss"].tolist()
    return run.read_card().weights_sha256, history, run.read_record().best_epoch


PLAIN: dict[str, object] = {}
WITHOUT_MEAN: dict[str, object] = {"ema": 0.0}
TRANSFERRED: dict[str, object] = {"arch": "squeezenet1_1", "epochs": 3}


@pytest.mark.parametrize(
    ("options", "epoch", "images"),
    [
        (PLAIN, 3, 20),
        (TRANSFERRED, 2, 0),
        pytest.param(PLAIN, 2, 0, marks=pytest.mark.slow),
        pytest.param(WITHOUT_MEAN, 2, 0, marks=pytest.mark.slow),
        pytest.param(WITHOUT_MEAN, 3, 20, marks=pytest.mark.slow),
        pytest.param(TRANSFERRED, 3, 20, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_training_comes_to_the_same_bits(
    workspace: Workspace, cache: PixelCache, options: dict[str, object], epoch: int, images: int
) -> None:
    whole = train(workspace, settings(**options), cache).run
    stopped = train(workspace, settings(**options), cache, StopsIn(epoch, images))
    assert stopped.interrupted
    assert stopped.run.state_path.is_file()
    resumed = train(workspace, settings(**options), cache, resume=stopped.run)
    assert not resumed.interrupted
    assert weights_of(resumed.run) == weights_of(whole)
    assert resumed.run.read_record().resumed == 1


def test_a_complete_run_keeps_no_state(workspace: Workspace, cache: PixelCache) -> None:
    run = train(workspace, settings(epochs=2), cache).run
    assert not run.state_path.exists()
    before = weights_of(run)
    again = train(workspace, settings(epochs=2), cache, resume=run)  # a kill may come after the last write
    assert (weights_of(again.run), again.epochs_run) == (before, 2)
    with pytest.raises(RunError, match="no training to go on with"):
        find_unfinished(workspace, None)


def test_a_training_killed_within_its_first_epoch_begins_anew(
    workspace: Workspace, cache: PixelCache
) -> None:
    whole = train(workspace, settings(), cache).run
    with pytest.raises(KeyboardInterrupt):
        train(workspace, settings(name="killed"), cache, StopsIn(1, 8))
    assert medimg(workspace.root, "train", "--resume") == 0
    assert weights_of(find_run(workspace, "killed")) == weights_of(whole)


def test_a_training_killed_before_its_first_step_can_be_gone_on_with(
    workspace: Workspace, cache: PixelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("medimg_cli.stages.train.train_run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(workspace, settings(name="killed", epochs=1), cache)
    assert medimg(workspace.root, "train", "--resume", "killed") == 0
    assert find_run(workspace, "killed").read_record().status == "complete"


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_the_command_goes_on_with_the_run_that_was_begun_last(
    workspace: Workspace, cache: PixelCache
) -> None:
    stopped = train(workspace, settings(name="mine"), cache, StopsIn(3, 0)).run
    assert medimg(workspace.root, "train", "--resume") == 0
    assert find_run(workspace, "mine").read_record().status == "complete"
    assert len(pd.read_csv(stopped.history_path)) == 4


def test_a_run_may_be_named(workspace: Workspace, cache: PixelCache) -> None:
    train(workspace, settings(name="mine"), cache, StopsIn(2, 0))
    assert medimg(workspace.root, "train", "--resume", "mien") == 6
    assert medimg(workspace.root, "train", "--resume", "mine", "--lr", "0.1") == 2
    assert medimg(workspace.root, "train", "--resume", "mine") == 0


def test_other_data_or_settings_are_refused(workspace: Workspace, cache: PixelCache) -> None:
    run = train(workspace, settings(), cache, StopsIn(2, 0)).run
    with pytest.raises(RunError, match="begun with other data, pixels or settings"):
        train(workspace, settings(lr=0.5), cache, resume=run)
    rows = pd.read_csv(workspace.manifest_path, dtype=str)
    rows.loc[rows.index[0], "label"] = next(name for name in rows["label"] if name != rows["label"][0])
    rows.to_csv(workspace.manifest_path, index=False)
    with pytest.raises(RunError, match="begun with other data, pixels or settings"):
        train(workspace, settings(), cache, resume=run)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half", None])
def test_a_damaged_state_is_one_line(workspace: Workspace, cache: PixelCache, damage: bytes | None) -> None:
    run = train(workspace, settings(), cache, StopsIn(2, 0)).run
    content = run.state_path.read_bytes()
    run.state_path.write_bytes(content[: len(content) // 2] if damage is None else damage)
    with pytest.raises(RunError, match="cannot be read") as caught:
        train(workspace, settings(), cache, resume=run)
    assert "\n" not in caught.value.what


def test_a_state_holds_no_code(workspace: Workspace, cache: PixelCache, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "ran"),))

    run = train(workspace, settings(), cache, StopsIn(2, 0)).run
    run.state_path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(RunError, match="cannot be read"):
        train(workspace, settings(), cache, resume=run)
    assert not (tmp_path / "ran").exists()
