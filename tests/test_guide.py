"""The guide: its reference is that of the code, and its first tutorial runs as it is printed."""

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from medimg_cli.cli.app import COMMANDS, run
from medimg_cli.dataset.manifest import COLUMNS
from medimg_cli.errors import ExitCode
from medimg_cli.predictions.predictions import read_predictions
from medimg_cli.workspace.workspace import Workspace
from tests.test_docs import GUIDE, commands_in

REFERENCE = GUIDE / "reference"
TUTORIAL = GUIDE / "tutorials" / "own-folder.md"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", GUIDE / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_that_of_the_code(reference: ModuleType) -> None:
    """Where this fails, `python examples/guide/reference.py` writes it anew."""
    made = {name: content.rstrip("\n") + "\n" for name, content in reference.pages().items()}
    committed = {
        name: (REFERENCE / name).read_text(encoding="utf-8") for name in made if (REFERENCE / name).is_file()
    }
    assert sorted(name for name in made if committed.get(name) != made[name]) == []


def test_every_exit_code_has_its_remedy(reference: ModuleType) -> None:
    assert set(reference.CODES) == set(ExitCode)


@pytest.mark.parametrize(
    "call",
    [
        "demo drawn --patients 4",
        "init fresh",
        "ingest {raw} -C elsewhere --positive SPOT",
        "label-audit --quick --fail-on never",
        "preprocess",
        "evaluate",
        "predict {raw}/SPOT",
        "report --out page.html",
        "bundle --out model.zip",
        "runs",
        "info {image}",
        "doctor",
    ],
)
def test_a_command_writes_the_keys_that_are_promised(
    call: str,
    reference: ModuleType,
    trained: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(trained.root, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDIMG_WORKSPACE", raising=False)
    raw = tmp_path / "raw"
    arguments = call.format(raw=raw, image=next(raw.rglob("*.png"))).split()
    capsys.readouterr()
    run([*arguments, "--json", "--quiet"])
    written = json.loads(capsys.readouterr().out)
    promised = reference.JSON_KEYS[arguments[0]].split(", ")[0].split()
    assert {key for key in promised if key not in written} == set()


def test_every_command_but_none_else_promises_keys(reference: ModuleType) -> None:
    assert set(reference.JSON_KEYS) == set(COMMANDS)


def test_a_message_of_the_code_stands_in_the_catalogue_with_its_hint() -> None:
    text = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    assert "| no data set in … | run `medimg ingest FOLDER` first, or point --workspace to one |" in text


def test_every_column_of_manifest_and_predictions_is_explained(trained: Workspace) -> None:
    page = (REFERENCE / "files.md").read_text(encoding="utf-8")
    (folder,) = trained.runs_dir.iterdir()
    answered = [
        name
        for name in map(str, read_predictions(folder / "predictions-test.csv"))
        if not name.startswith("prob_")
    ]
    assert {name for name in (*COLUMNS, *answered) if f"`{name}`" not in page} == set()


def run_as_printed(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, until: str = "", patients: int | None = None
) -> list[str]:
    """Run the commands of a page in a folder, up to the first that begins with `until`; return those that ended badly.

    Args:
        patients: are drawn by `medimg demo`, None for as many as the page has.
    """
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MEDIMG_WORKSPACE", raising=False)
    blocks = re.findall(r"```console\n.*?```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    bad = []
    for call in commands_in("\n".join(blocks)):
        if until and call.startswith(until):
            break
        fewer = ["--patients", str(patients)] if patients and call.startswith("medimg demo") else []
        if run([*shlex.split(call)[1:], *fewer, "--quiet"]) != ExitCode.DONE:
            bad.append(call)
    return bad


def test_the_first_tutorial_runs_as_printed_up_to_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_as_printed(TUTORIAL, tmp_path, monkeypatch, until="medimg train", patients=60) == []
    assert (tmp_path / "audit" / "audit.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own-folder", "exams"])
def test_a_tutorial_on_drawn_data_runs_as_printed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new-images").mkdir()
    monkeypatch.setenv("MEDIMG_DEBUG", "1")
    source = tmp_path / "cohort" / "images"
    page = GUIDE / "tutorials" / f"{name}.md"
    bad = run_as_printed(page, tmp_path, monkeypatch, until="medimg predict new-images")
    assert bad == []
    if name == "own-folder":
        next(source.rglob("*.png")).replace(tmp_path / "new-images" / "x.png")
        assert run(["predict", "new-images/", "--out", "answers.csv", "--quiet"]) == ExitCode.DONE
        assert (tmp_path / "eval.html").is_file()
