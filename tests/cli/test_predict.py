"""medimg predict at the door: what it loads, what it shows, and how it ends."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from medimg_cli.cli import predict as door
from medimg_cli.cli.app import run
from medimg_cli.cli.views import prediction as prediction_view
from medimg_cli.cli.views.prediction import MOST_ROWS, PredictionJson, PredictionTable
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import ExitCode
from medimg_cli.predictions.prediction import Prediction, unreadable
from medimg_cli.runs.run_folders import find_run
from medimg_cli.stages.predict import PredictResult
from medimg_cli.workspace.workspace import Workspace
from tests.stages.made_up_model import card, judge

HEAVY = (
    "torch",
    "torchvision",
    "pandas",
    "sklearn",
    "scipy",
    "matplotlib",
    "pydicom",
    "highdicom",
    "weasyprint",
    "jinja2",
)
REFUSED = Prediction(
    "refused", None, None, {"CLEAR": 0.1, "SPOT": 0.9}, "refer", None, ("out-of-distribution",), "unlike"
)


def answered(number: int) -> Prediction:
    label, decision = (("SPOT", "positive"), ("CLEAR", "negative"))[number % 2]
    flags = ("uncertain",) if number % 10 == 0 else ()
    return Prediction("ok", label, 0.75, {"CLEAR": 0.25, "SPOT": 0.75}, decision, (label,), flags)  # type: ignore[arg-type]


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let a model that nobody trained answer; return a folder of pictures, 50 of them."""
    monkeypatch.setattr(door, "_opened", lambda *_, **__: (judge(), None))
    monkeypatch.setattr(door, "_place", lambda *_: Path("made-up"))
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(50):
        Image.new("L", (8, 8), 100 + number).save(folder / f"{number:02}.png")
    return folder


def shown(rows: list[Prediction], monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    """Return what people see of rows."""
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=80, color_system=None)
    monkeypatch.setattr(prediction_view, "stdout_console", lambda: console)
    monkeypatch.setattr(prediction_view, "sys", SimpleNamespace(stdout=text))
    view, result = PredictionTable(card()), PredictResult()
    for number, row in enumerate(rows):
        result.count(row, resumed=False)
        view.tell(f"folder/{number:03}.png", row)
    view.end(result, None)
    return text.getvalue()


def test_an_answer_loads_no_library_that_it_does_not_need(trained: Workspace) -> None:
    image = trained.absolute(read_dataset(trained).usable["path"].iloc[0])
    code = (
        "import sys\n"
        "from medimg_cli.cli.app import run\n"
        f"code = run(['predict', {image!r}, '-C', {str(trained.root)!r}, '-q'])\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(code or ', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(image).name in done.stdout.replace("\n", "")


def test_the_json_is_the_same_whether_it_is_written_at_once_or_row_by_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [answered(0), REFUSED, unreadable(("CLEAR", "SPOT"), 'no "image"')]
    view, result = PredictionJson({"schema": 1, "model": {"run": "ü"}}), PredictResult()
    for number, row in enumerate(rows):
        result.count(row, resumed=False)
        view.tell(f"{number}.png", row)
    view.end(result, Path("a.csv"))
    view.cut_short()
    written = capsys.readouterr().out
    whole = json.loads(written)
    assert written == json.dumps(whole, ensure_ascii=False) + "\n"
    assert whole["predictions"] == [row.entry(f"{number}.png") for number, row in enumerate(rows)]
    assert whole["statuses"] == {"ok": 1, "refused": 1, "unreadable": 1}


def test_json_that_was_cut_short_is_still_one_object(
    made_up: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tell = PredictionJson.tell

    def stop(self: PredictionJson, path: str, prediction: Prediction) -> None:
        if path.endswith("40.png"):
            raise KeyboardInterrupt
        tell(self, path, prediction)

    monkeypatch.setattr(PredictionJson, "tell", stop)
    out = made_up.parent / "rows.csv"
    assert run(["predict", str(made_up), "--json", "--out", str(out), "-q"]) == ExitCode.INTERRUPTED
    content = json.loads(capsys.readouterr().out)
    assert content["interrupted"] is True and len(content["predictions"]) == 40
    assert out.read_bytes().count(b"\n") == 42  # the header, and the row that could not be told


def test_nothing_stands_on_stdout_where_there_was_nothing_to_predict(
    made_up: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made_up / "empty").mkdir()
    assert run(["predict", str(made_up / "empty"), "--json"]) == ExitCode.DATA
    assert capsys.readouterr().out == ""


def test_few_rows_are_a_table_with_what_to_know_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown([answered(0), REFUSED, unreadable(("CLEAR",), "file not found")], monkeypatch, terminal=True)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "folder/000.png SPOT 0.7500 positive uncertain" in lines
    assert "folder/001.png refer refused: unlike" in lines
    assert "folder/002.png unreadable: file not found" in lines
    assert "3 images: 1 answered, 1 unlike the training and refused, 1 could not be read" in lines
    assert "decision: SPOT at a probability of 0.4000 or more" in lines
    assert max(map(len, text.splitlines())) <= 80 and "not for diagnosis" in text


@pytest.mark.parametrize("times", [1, 60])
def test_each_probability_reads_on_its_own_side_of_the_threshold(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    chances = {0.39996: "negative", 0.4000004: "positive", 0.4: "positive", 0.2: "negative"}
    rows = [
        Prediction("ok", "SPOT", chance, {"CLEAR": 1 - chance, "SPOT": chance}, decision)  # type: ignore[arg-type]
        for chance, decision in chances.items()
    ]
    lines = [line.split() for line in shown(rows * times, monkeypatch, terminal=False).splitlines()]
    told = {cells[2]: cells[3] for cells in lines if cells and cells[0].startswith("folder/")}
    assert told == {
        "0.39996": "negative",
        "0.4000004": "positive",
        "0.4000": "positive",
        "0.2000": "negative",
    }
    assert "decision: SPOT at a probability of 0.4000000 or more".split() in lines


def test_of_many_rows_a_terminal_is_shown_how_many_are_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown([answered(number) for number in range(100)] + [REFUSED] * 7, monkeypatch, terminal=True)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert {"CLEAR 50 46.7", "SPOT 50 46.7", "refused 7 6.5", "uncertain 10 9.3", "refer 7 6.5"} <= set(lines)
    assert "… and 4 more refused" in lines
    assert len(lines) < 30 and "folder/003.png" not in text


def test_of_many_rows_a_pipe_gets_each_as_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [answered(number) for number in range(MOST_ROWS + 30)]
    lines = shown(rows, monkeypatch, terminal=False).splitlines()
    assert [line.split()[0] for line in lines[1 : len(rows) + 1]] == [
        f"folder/{number:03}.png" for number in range(len(rows))
    ]
    assert len({line.index("0.7500") for line in lines[1 : len(rows) + 1]}) == 1


def test_refused_images_are_no_failure_and_unreadable_ones_are(
    made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "medimg_cli.inference.classifier.Classifier.__call__", lambda _, given: [REFUSED] * len(given)
    )
    assert run(["predict", str(made_up), "-q"]) == ExitCode.DONE
    (made_up / "bad.png").write_bytes(b"no picture")
    assert run(["predict", str(made_up), "-q"]) == ExitCode.PARTIAL


def test_resume_is_an_option_without_a_value_and_needs_a_file(
    made_up: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = made_up.parent / "rows.csv"
    assert run(["predict", str(made_up), "--resume", "-q"]) == ExitCode.USAGE
    assert "name it: --out FILE.csv --resume" in capsys.readouterr().err
    for _ in range(2):
        assert run(["predict", str(made_up), "--out", str(out), "--resume", "--json", "-q"]) == ExitCode.DONE
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["images"], last["resumed"], len(last["predictions"])) == (50, 50, 50)


def test_a_list_on_stdin_names_inputs_beside_those_of_the_call(
    made_up: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = io.TextIOWrapper(io.BytesIO(f"{made_up / '01.png'}\nnone.png\n".encode()))
    monkeypatch.setattr("sys.stdin", listed)
    assert run(["predict", str(made_up / "00.png"), "-", "--json", "-q"]) == ExitCode.PARTIAL
    paths = [Path(row["path"]).name for row in json.loads(capsys.readouterr().out)["predictions"]]
    assert paths == ["00.png", "01.png", "none.png"]


@pytest.mark.slow
def test_ctrl_c_keeps_the_rows_that_are_done(trained: Workspace, tmp_path: Path) -> None:
    image = trained.absolute(read_dataset(trained).usable["path"].iloc[0])
    out = tmp_path / "rows.jsonl"
    call = [
        sys.executable,
        "-m",
        "medimg_cli",
        "predict",
        "-",
        "-C",
        str(trained.root),
        "--out",
        str(out),
        "-q",
    ]
    process = subprocess.Popen(call, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None and process.stderr is not None
    with process:
        process.stdin.write(f"{image}\n".encode() * 200)
        process.stdin.flush()
        ends = time.monotonic() + 120
        while not (out.exists() and out.read_bytes().count(b"\n") >= 32):
            assert time.monotonic() < ends and process.poll() is None
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert b"--resume" in said
    lines = out.read_text().splitlines()
    assert len(lines) >= 32 and all(json.loads(line)["status"] for line in lines)


def test_a_run_without_its_copy_answers_through_torch(trained: Workspace, tmp_path: Path) -> None:
    run_folder = find_run(trained, "first").folder
    copy = tmp_path / "old"
    copy.mkdir()
    for name in ("run.json", "model.json", "model.safetensors", "reference.safetensors"):
        if (run_folder / name).is_file():
            (copy / name).write_bytes((run_folder / name).read_bytes())
    image = trained.absolute(read_dataset(trained).usable["path"].iloc[0])
    assert run(["predict", image, "--run", str(copy), "-q", "-C", str(trained.root)]) == ExitCode.DONE


def test_several_views_are_asked_for_through_torch(
    trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    image = trained.absolute(read_dataset(trained).usable["path"].iloc[0])
    answers = []
    for more in ([], ["--tta"]):
        assert run(["predict", image, "-C", str(trained.root), "--json", "-q", *more]) == ExitCode.DONE
        answers.append(json.loads(capsys.readouterr().out)["predictions"][0]["probabilities"]["SPOT"])
    assert answers[0] != answers[1]
    assert answers[0] == pytest.approx(answers[1], abs=0.5)


def test_the_figures_beside_the_decision_are_those_of_test(
    trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    image = trained.absolute(read_dataset(trained).usable["path"].iloc[0])
    capsys.readouterr()
    assert run(["predict", image, "--run", "first", "-C", str(trained.root), "-q"]) == ExitCode.DONE
    text = " ".join(capsys.readouterr().out.split())
    found = json.loads((trained.runs_dir / "first" / "metrics-test.json").read_text())
    missed = f"missed {found['missed']['count']} of {found['missed']['of']}"
    assert f"(test: recall {found['metrics']['recall']['value']:.3f}" in text
    assert missed in text
    assert "on val" not in text


def test_the_probability_that_decides_is_shown_and_images_learnt_from_are_counted(
    trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read_dataset(trained).usable
    paths = [rows[rows["split"] == split]["path"].iloc[0] for split in ("train", "val", "test")]
    images = [trained.absolute(path) for path in paths]
    capsys.readouterr()
    call = ("predict", *images, "--run", "first", "-C", str(trained.root))
    assert run([*call, "--json"]) == ExitCode.DONE
    said = capsys.readouterr()
    answers = json.loads(said.out)["predictions"]
    assert "2 of 3 images stand in train or val of this data set" in " ".join(said.err.split())
    assert run(list(call)) == ExitCode.DONE
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "class", "P(SPOT)", "decision", "note"]
    for answer, line in zip(answers, lines, strict=False):
        assert f"{answer['probabilities']['SPOT']:.4f}" in line
    assert run(["predict", images[2], "--run", "first", "-C", str(trained.root)]) == ExitCode.DONE
    assert "stand in train" not in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["image_id\n", "cut", '"', "\0", "a folder"])
def test_a_manifest_that_cannot_be_read_is_said_where_images_learnt_from_are_counted(
    trained: Workspace, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Workspace(Path(shutil.copytree(trained.root, tmp_path / "study")))
    image = trained.absolute(read_dataset(trained).usable["path"].iloc[0])
    whole = study.manifest_path.read_text()
    study.manifest_path.unlink()
    if damage == "a folder":
        study.manifest_path.mkdir()
    else:
        rows = whole.splitlines(keepends=True)
        study.manifest_path.write_text("".join([*rows[:3], rows[3][:30] if damage == "cut" else damage]))
    if damage == "image_id\n":
        study.manifest_path.write_text(damage * 2)
    assert run(["predict", image, "--run", "first", "-C", str(study.root)]) == ExitCode.DONE
    assert "which of these images the model learnt from is not known" in " ".join(
        capsys.readouterr().err.split()
    )
