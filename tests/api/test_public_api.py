"""`import medimg_cli as medimg`: what a notebook may rely on."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import medimg_cli as medimg
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.stages.serve import Announced
from medimg_cli.workspace.workspace import Workspace
from tests.test_imports import HEAVY

GUIDE = Path(__file__).resolve().parents[2] / "examples" / "guide" / "how-to" / "script.md"


@pytest.fixture(scope="module")
def model(trained: Workspace) -> medimg.Model:
    return medimg.load_model(workspace=trained)


def pictures(workspace: Workspace) -> list[Path]:
    return sorted((workspace.root / "raw").rglob("*.png"))


def test_importing_it_loads_nothing_heavy_and_every_name_is_there() -> None:
    code = (
        "import sys, medimg_cli as medimg\n"
        f"loaded = [name for name in {(*HEAVY, 'pydantic', 'yaml')!r} if name in sys.modules]\n"
        "assert set(medimg.__all__) <= set(dir(medimg))\n"
        "[getattr(medimg, name) for name in medimg.__all__]\n"
        "loaded += [name for name in ('torch', 'typer', 'rich') if name in sys.modules]\n"
        "sys.exit(', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'predcit'"):
        _ = medimg.predcit


@pytest.mark.usefixtures("weights_only")
def test_the_example_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (block,) = (each for each in blocks if "import medimg_cli" in each)
    names: dict[str, object] = {}
    assert "patients=40" in block
    exec(compile(block.replace("patients=40", "patients=16"), "script.md", "exec"), names)
    assert (tmp_path / "study" / "eval.html").is_file()


def test_a_path_a_picture_and_an_array_of_one_image_are_answered_alike(
    model: medimg.Model, trained: Workspace
) -> None:
    path = pictures(trained)[0]
    with Image.open(path) as picture:
        answers = model.predict([path, str(path), picture, np.asarray(picture)])
    assert len({tuple(answer.probabilities.items()) for answer in answers}) == 1
    assert [answer.path for answer in answers] == [str(path), str(path), "", ""]
    assert model.predict(path)[0].label == answers[0].label


def test_a_folder_is_answered_as_the_command_does_and_what_is_no_image_says_so(
    model: medimg.Model, trained: Workspace, tmp_path: Path
) -> None:
    shutil.copy(pictures(trained)[0], tmp_path / "a.png")
    (tmp_path / "b.png").write_text("not an image")
    first, second = model.predict(tmp_path, batch_size=1)
    assert (first.status, second.status) == ("ok", "unreadable")
    assert second.message
    assert list(model.predict([tmp_path]).to_frame()["status"]) == ["ok", "unreadable"]
    assert model.predict([]) == ()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "I", "YCbCr"])
def test_pictures_of_every_mode_are_taken(model: medimg.Model, mode: str) -> None:
    grey = Image.fromarray(np.linspace(0, 255, 4096).astype(np.uint8).reshape(64, 64))
    (answer,) = model.predict(grey.convert("I").convert(mode) if mode == "I;16" else grey.convert(mode))
    assert answer.status in ("ok", "refused"), answer.message


def test_a_picture_is_turned_as_its_exif_says(
    model: medimg.Model, trained: Workspace, tmp_path: Path
) -> None:
    with Image.open(pictures(trained)[0]) as picture:
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        by_path, by_picture = model.predict([tmp_path / "turned.png", turned])
    assert by_path.probabilities == by_picture.probabilities


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), np.int64),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_an_array_that_is_no_image_is_refused(model: medimg.Model, pixels: np.ndarray) -> None:
    with pytest.raises(DataError, match="is no image"):
        model.predict(pixels)


def test_sixteen_bits_are_the_same_picture_as_eight(model: medimg.Model, trained: Workspace) -> None:
    with Image.open(pictures(trained)[0]) as picture:
        eight = np.asarray(picture)
    narrow, wide = model.predict([eight, eight.astype(np.uint16) * 257])
    assert narrow.probabilities == pytest.approx(dict(wide.probabilities), abs=1e-6)


def test_an_answer_shows_itself_with_a_heat_map_or_says_why_there_is_none(
    model: medimg.Model, trained: Workspace, tmp_path: Path
) -> None:
    (answer,) = model.predict(pictures(trained)[0])
    shown = answer._repr_html_()
    assert "not for diagnosis" in shown
    assert str(answer.label) in shown
    try:
        answer.heat_map().save(BytesIO(), "PNG")
        assert "data:image/png;base64," in shown
    except RunError as error:
        assert error.what[:30] in shown
    broken = tmp_path / "<b>.png"
    broken.write_text("no image")
    (unreadable,) = model.predict(broken)
    with pytest.raises(RunError, match="no heat map"):
        unreadable.heat_map()
    assert "<b>" not in model.predict([broken])._repr_html_()


def test_an_evaluation_shows_headline_matrix_and_curve(trained: Workspace) -> None:
    found = medimg.evaluate(workspace=trained)
    shown = found._repr_html_()
    assert shown.count("<svg") == 2
    assert found.missed is not None
    assert f"{found.missed.count} of {found.missed.of}" in shown
    assert "Not a medical device" in shown
    assert "http" not in shown.replace("http://www.w3.org/2000/svg", "")


def test_settings_are_taken_by_name_over_those_given_and_a_slip_is_told(trained: Workspace) -> None:
    settings = medimg.Settings.model_validate({"evaluate": {"split": "test", "alpha": 0.2}})
    with pytest.raises(UsageError, match=r"evaluate\.splitt"):
        medimg.evaluate(workspace=trained, settings=settings, splitt="val")
    with pytest.raises(UsageError, match="both a run and a table"):
        medimg.evaluate("some-run", trained, predictions="table.csv")
    with pytest.raises(UsageError, match="options of the command"):
        medimg.label_audit(trained, review=True)


def test_commands_that_need_no_torch_load_none(trained: Workspace, tmp_path: Path) -> None:
    study = shutil.copytree(trained.root, tmp_path / "study")
    shutil.rmtree(study / "cache")
    code = (
        "import sys\n"
        "from medimg_cli.cli.app import run\n"
        "for command in (['preprocess'], ['evaluate', '--split', 'val'], ['report'], ['runs']):\n"
        f"    code = run([*command, '-q', '-C', {str(study)!r}])\n"
        "    if code or 'torch' in sys.modules:\n"
        "        sys.exit(f'{command}: code {code}, or torch is loaded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_graphics_card_is_left_to_torch(monkeypatch: pytest.MonkeyPatch, trained: Workspace) -> None:
    from medimg_cli.api import prerequisites
    from medimg_cli.inference import predictor
    from medimg_cli.runs.run_folders import find_run

    asked: list[bool] = []
    monkeypatch.setattr(predictor, "has_graphics_card", lambda: True)
    monkeypatch.setattr(
        "medimg_cli.training.networks.torch_network.predictor_of", lambda _run, *, tta: asked.append(tta)
    )
    prerequisites.answering(find_run(trained, None), tta=False).opened()
    assert asked == [False]


@pytest.fixture
def study(trained: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the study, in which runs may be made."""
    return Workspace(shutil.copytree(trained.root, tmp_path / "study"))


@pytest.fixture
def elsewhere(trained: Workspace, tmp_path: Path) -> Path:
    """Images of another place: those of the study, each with other bytes."""
    for path in pictures(trained):
        target = tmp_path / "elsewhere" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as picture:
            levels = np.asarray(picture).astype(np.int16)
        Image.fromarray(np.clip(levels + 3, 0, 255).astype(np.uint8)).save(target)
    return tmp_path / "elsewhere"


def test_images_from_elsewhere_are_evaluated_and_recalibrated_on_as_the_commands_do(
    study: Workspace, elsewhere: Path
) -> None:
    found = medimg.evaluate(workspace=study, data=elsewhere, reading={"layout": "folders"})
    assert (found.evaluation.split, found.evaluation.n) == ("external-elsewhere", len(pictures(study)))
    adapted = medimg.recalibrate(elsewhere, workspace=study, target_recall=0.9)
    assert adapted.images == found.evaluation.n
    assert medimg.load_model(adapted.run.name, study).predict(pictures(study)[0])[0].status == "ok"
    with pytest.raises(UsageError, match="both images and a table"):
        medimg.evaluate(workspace=study, data=elsewhere, predictions="a.csv")
    with pytest.raises(UsageError, match="--labels cannot be heeded"):
        medimg.evaluate(workspace=study, data=study.root, reading={"labels": "labels.csv"})


def test_a_test_set_is_planned_by_settings_given_by_name(tmp_path: Path) -> None:
    narrow, wide = (medimg.sample_size(tmp_path, recall=0.9, width=width).test[0] for width in (0.1, 0.2))
    assert (narrow.figure, narrow.expected) == ("recall", 0.9)
    assert narrow.cases is not None and wide.cases is not None and narrow.cases > 2 * wide.cases


def test_a_search_keeps_the_best_settings_for_train(study: Workspace) -> None:
    settings = medimg.Settings.model_validate({"train": {"arch": "small-cnn"}, "preprocess": {"size": 32}})
    found = medimg.tune(study, settings=settings, trials=2, epochs=1, space=("lr",), name="wide")
    assert [trial.state for trial in found.trials] == ["complete", "complete"]
    assert found.search.best_path.is_file()


def test_a_model_is_served_until_the_process_is_interrupted(trained: Workspace) -> None:
    answers: list[int] = []

    def interrupt(address: str) -> None:
        answers.append(httpx.get(f"{address}healthz", timeout=60).status_code)
        os.kill(os.getpid(), signal.SIGINT)

    def announce(told: Announced) -> None:
        threading.Thread(target=interrupt, args=(told.address,), daemon=True).start()

    assert medimg.serve(workspace=trained, port=0, announce=announce)
    assert answers == [200]
