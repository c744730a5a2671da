"""Settings: order of sources, and errors a user can act on."""

from pathlib import Path

import pytest

from medimg_cli.errors import UsageError
from medimg_cli.workspace.config import load_settings
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_later_sources_go_over_earlier_ones(workspace: Workspace, tmp_path: Path) -> None:
    workspace.settings_path.write_text("train: {epochs: 3, seed: 1, lr: 0.1, patience: 2}\n")
    more = tmp_path / "more.yaml"
    more.write_text("train: {seed: 2, lr: 0.2, patience: 3}\n")
    settings = load_settings(
        workspace,
        config=more,
        assignments=["train.lr=0.3", "train.patience=4"],
        options={"train": {"patience": 5, "name": None}},
    ).train
    assert (settings.epochs, settings.seed, settings.lr, settings.patience) == (3, 2, 0.3, 5)
    assert settings.name is None


def test_defaults_hold_without_any_file(workspace: Workspace) -> None:
    assert load_settings(workspace) == Settings()


@pytest.mark.parametrize(
    ("assignment", "what", "hint"),
    [
        ("train.epoch=3", "unknown setting 'train.epoch'", "did you mean 'epochs'?"),
        ("trian.epochs=3", "unknown setting 'trian'", "did you mean 'train'?"),
        ("train.epochs=0", "train: --epochs cannot be 0", "greater than 0"),
        ("ingest.split=0.9,0.9,0.1", "ingest: --split cannot be", "sum to 1"),
        ("preprocess.size=3", "preprocess: --size cannot be 3", "8 and 4096"),
        ("serve.dicom-reserve-mb=1", "serve: dicom_reserve_mb cannot be 1", "50"),
        ("label-audit.fail-on=maybe", "label-audit: --fail-on cannot be 'maybe'", "error"),
        ("epochs=3", "cannot read --set 'epochs=3'", "SECTION.KEY=VALUE"),
    ],
)
def test_a_wrong_setting_says_what_and_how(
    workspace: Workspace, assignment: str, what: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(workspace, assignments=[assignment])
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_broken_file_names_its_line(workspace: Workspace) -> None:
    workspace.settings_path.write_text("train:\n  epochs: [3\n")
    with pytest.raises(UsageError, match=r"medimg\.yaml is not valid YAML at line 3"):
        load_settings(workspace)


def test_a_missing_config_file_is_named(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml"):
        load_settings(workspace, config=tmp_path / "none.yaml")


def test_texts_of_numbers_and_lists_are_read(workspace: Workspace) -> None:
    settings = load_settings(
        workspace,
        options={"preprocess": {"size": "64", "channels": "1"}, "label_audit": {"checks": "a,b"}},
    )
    assert (settings.preprocess.size, settings.preprocess.channels) == (64, 1)
    assert settings.label_audit.checks == ("a", "b")
