"""Commands in shards: what is merged is, byte for byte, what one undivided call leaves; and what cannot be merged."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.cli.app import run
from medimg_cli.errors import ExitCode
from medimg_cli.workspace.lock import claim
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg
from tests.images.dicom_file import dicom_image


def ingest_of(folder: Path) -> tuple[str, ...]:
    return ("ingest", str(folder / "raw"), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")


def contents(folder: Path, *without: str) -> dict[str, bytes]:
    """Return every file below a folder by its name."""
    files = (
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in (".lock", *without)
    )
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_dicom(path: Path, *, frames: int = 1, **attributes: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name) + frames).integers(0, 255, (frames, 16, 16), dtype=np.uint8)
    dicom_image(pixels, **attributes).save_as(path, enforce_file_format=True)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Return a folder of which one file is no image."""
    folder = draw_cohort(tmp_path / "raw", patients=6)
    (folder / "SPOT" / "notes.png").write_text("no image")
    return folder


@pytest.fixture
def two(tmp_path: Path, raw: Path) -> tuple[Path, Path]:
    """Return two workspaces with the same data set."""
    for name in ("whole", "parts"):
        assert medimg(tmp_path / name, *ingest_of(raw.parent)) == 0
    return tmp_path / "whole", tmp_path / "parts"


def in_shards(workspace: Path, count: int, *call: str) -> int:
    """Run all shards in an odd order and merge them."""
    for number in (count, *range(1, count)):
        assert medimg(workspace, *call, "--shard", f"{number}/{count}") == ExitCode.DONE
    return medimg(workspace, "merge", call[0])


@pytest.mark.usefixtures("raw")
@pytest.mark.parametrize("count", [1, 3, 20])
def test_an_ingest_in_shards_is_the_undivided_one(tmp_path: Path, count: int) -> None:
    assert medimg(tmp_path / "whole", *ingest_of(tmp_path)) == 0
    assert in_shards(tmp_path / "parts", count, *ingest_of(tmp_path)) == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert not (tmp_path / "parts" / "shards").exists()


def test_ingest_again_and_of_several_images_a_file_is_the_undivided_one(tmp_path: Path) -> None:
    for label in ("CLEAR", "SPOT"):
        for number in range(3):
            write_dicom(tmp_path / "raw" / label / f"patient{label}{number}.dcm", frames=4)
    call = (*ingest_of(tmp_path), "--frames", "all")
    assert medimg(tmp_path / "whole", *call) == 0
    assert in_shards(tmp_path / "parts", 5, *call) == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    write_dicom(tmp_path / "raw" / "SPOT" / "patientNew.dcm", frames=2)
    assert medimg(tmp_path / "whole", *call) == 0
    assert in_shards(tmp_path / "parts", 2, *call) == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_cache_and_an_audit_in_shards_are_the_undivided_ones(two: tuple[Path, Path]) -> None:
    whole, parts = two
    preprocess = ("preprocess", "--size", "24")
    audit = ("label-audit", "--quick", "--fail-on", "never")
    for call in (preprocess, audit):
        assert medimg(whole, *call) == 0
        assert in_shards(parts, 3, *call) == 0
    assert contents(parts / "cache") == contents(whole / "cache")
    differing = ("audit.html", "audit.json")  # they say when they were made
    assert contents(parts / "audit", *differing) == contents(whole / "audit", *differing)
    assert medimg(parts, *preprocess, "--shard", "1/3") == 0  # up to date: nothing is divided any more
    assert not (parts / "shards").exists()


def test_a_cache_that_grows_in_shards_is_the_undivided_one(two: tuple[Path, Path], raw: Path) -> None:
    draw_cohort(raw, patients=8)
    for workspace in two:
        assert medimg(workspace, "preprocess", "--size", "24") == 0
        assert medimg(workspace, *ingest_of(raw.parent)) == 0
    whole, parts = two
    draw_cohort(raw, patients=10)
    for workspace in two:
        assert medimg(workspace, *ingest_of(raw.parent)) == 0
    assert medimg(whole, "preprocess", "--size", "24") == 0
    assert in_shards(parts, 2, "preprocess", "--size", "24") == 0
    assert contents(parts / "cache") == contents(whole / "cache")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_predictions_in_shards_are_the_undivided_ones(
    tmp_path: Path, raw: Path, trained: Workspace, suffix: str
) -> None:
    run = ("--run", str(trained.runs_dir / "first"), "--batch-size", "2")
    call = ("predict", str(raw), *run, "--out")
    assert medimg(tmp_path / "whole", *call, str(tmp_path / f"whole.{suffix}")) == ExitCode.PARTIAL
    assert in_shards(tmp_path / "parts", 3, *call, str(tmp_path / f"parts.{suffix}")) == ExitCode.PARTIAL
    assert (tmp_path / f"parts.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()


def test_copies_in_shards_are_the_undivided_ones(tmp_path: Path, raw: Path) -> None:
    write_dicom(raw / "SPOT" / "Quintrell.dcm", PatientName="Quintrell^Zeb")
    key = ("--key", str(tmp_path / "keys" / "study.key"))
    assert medimg(tmp_path, "deidentify", str(raw), str(tmp_path / "whole"), *key) == ExitCode.PARTIAL
    call = ("deidentify", str(raw), str(tmp_path / "parts"), *key)
    (tmp_path / "parts").mkdir()
    assert in_shards(tmp_path, 3, *call) == ExitCode.PARTIAL
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def last_words(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


@pytest.mark.usefixtures("raw")
@pytest.mark.parametrize("shard", ["0/4", "5/4", "a/b", "3", "1/0", "-1/4", "1/2/3", "1.5/4", "", "1 / 4"])
def test_what_is_no_part_is_refused(tmp_path: Path, shard: str) -> None:
    assert medimg(tmp_path / "w", *ingest_of(tmp_path), f"--shard={shard}") == ExitCode.USAGE
    assert not (tmp_path / "w").exists()


@pytest.mark.usefixtures("raw")
def test_a_shard_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert medimg(tmp_path / "whole", *ingest_of(tmp_path)) == 0
    call = (*ingest_of(tmp_path), "--shard")
    for number in (1, 2):
        assert medimg(tmp_path / "parts", *call, f"{number}/2") == 0
    lines = tmp_path / "parts" / "shards" / "ingest" / "examine.2-of-2.jsonl"
    whole = lines.read_bytes()
    for cut in (len(whole) - 5, len(whole) // 2, len(whole) // 3, 40, 0):
        lines.write_bytes(whole[:cut])
        capsys.readouterr()
        assert medimg(tmp_path / "parts", "merge") == ExitCode.DATA
        error = last_words(capsys)
        assert error.count("\n") == 2 and "2" in error, error
        assert medimg(tmp_path / "parts", *call, "2/2") == 0
        assert lines.read_bytes() == whole
    assert medimg(tmp_path / "parts", "merge") == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_killed_shard_of_pixels_goes_on_where_it_was(two: tuple[Path, Path]) -> None:
    whole, parts = two
    assert medimg(whole, "preprocess", "--size", "24") == 0
    for number in (1, 2):
        assert medimg(parts, "preprocess", "--size", "24", "--shard", f"{number}/2") == 0
    arrays = parts / "shards" / "preprocess" / "preprocess.1-of-2.bin"
    content = arrays.read_bytes()
    arrays.write_bytes(content[: 24 * 24 * 2 + 7])
    assert medimg(parts, "preprocess", "--size", "24", "--shard", "1/2") == 0
    assert arrays.read_bytes() == content
    assert medimg(parts, "merge") == 0
    assert contents(parts / "cache") == contents(whole / "cache")


@pytest.mark.usefixtures("raw")
def test_all_shards_have_to_be_there_and_of_one_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, call = tmp_path / "parts", ingest_of(tmp_path)
    assert medimg(work, "merge") == ExitCode.DATA
    for number in (1, 2, 4):
        assert medimg(work, *call, "--shard", f"{number}/4") == 0
    capsys.readouterr()
    assert medimg(work, "merge") == ExitCode.DATA
    assert "lacks 1 shard of 4: 3/4" in last_words(capsys)
    assert medimg(work, *call, "--shard", "3/5") == ExitCode.USAGE
    assert "holds shards of 4, and this is one of 5" in last_words(capsys)
    assert medimg(work, *call, "--seed", "7", "--shard", "3/4") == ExitCode.USAGE
    assert "other arguments" in last_words(capsys)
    (work / "medimg.yaml").write_text("ingest: {seed: 7}\n")
    assert medimg(work, *call, "--shard", "3/4") == ExitCode.USAGE
    assert "other settings" in last_words(capsys)
    (work / "medimg.yaml").unlink()
    assert medimg(work, "merge", "predict") == ExitCode.DATA
    assert not (work / "dataset").exists()
    assert medimg(work, *call, "--shard", "3/4") == 0
    assert medimg(work, "merge") == 0


@pytest.mark.usefixtures("raw")
def test_shards_of_two_calls_that_ran_at_once_are_not_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    assert medimg(tmp_path / "parts", *ingest_of(tmp_path), "--shard", "1/2") == 0
    assert medimg(other, *ingest_of(tmp_path), "--seed", "7", "--shard", "2/2") == 0
    assert medimg(other, *ingest_of(tmp_path), "--seed", "7", "--shard", "1/2") == 0
    folder = tmp_path / "parts" / "shards" / "ingest"
    for path in (other / "shards" / "ingest").glob("*2-of-2*"):
        path.rename(folder / path.name)
    capsys.readouterr()
    assert medimg(tmp_path / "parts", "merge") == ExitCode.DATA
    assert "--seed 7" in last_words(capsys)
    for path in folder.glob("*2-of-2*"):
        path.unlink()
    (folder / "examine.1-of-3.jsonl").write_bytes((folder / "examine.1-of-2.jsonl").read_bytes())
    assert medimg(tmp_path / "parts", "merge") == ExitCode.DATA
    assert "shards of 2 and of 3" in last_words(capsys)


@pytest.mark.parametrize("change", ["gone", "new", "another label"])
def test_a_source_that_changed_between_shards_and_merge_is_told(
    tmp_path: Path, raw: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        assert medimg(tmp_path / "parts", *ingest_of(tmp_path), "--shard", f"{number}/2") == 0
    image = raw / "SPOT" / "patient005_1.png"
    if change == "gone":
        image.unlink()
    elif change == "new":
        (raw / "SPOT" / "patient006_0.png").write_bytes(image.read_bytes())
    else:
        image.rename(raw / "CLEAR" / image.name)
    capsys.readouterr()
    assert medimg(tmp_path / "parts", "merge") == ExitCode.DATA
    assert "source" in last_words(capsys)
    assert not (tmp_path / "parts" / "dataset" / "manifest.csv").exists()
    for number in (1, 2):  # told apart, what still holds is kept
        assert medimg(tmp_path / "parts", *ingest_of(tmp_path), "--shard", f"{number}/2") == 0
    assert medimg(tmp_path / "parts", "merge") == 0
    assert medimg(tmp_path / "whole", *ingest_of(tmp_path)) == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.usefixtures("raw")
@pytest.mark.usefixtures("raw")
def test_settings_are_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = (*ingest_of(tmp_path), "--verbose", "--workspace", str(tmp_path / "w"))
    assert run(call) == 0
    assert capsys.readouterr().err.count("settings of ingest:") == 1


@pytest.mark.usefixtures("raw")
def test_two_tasks_of_one_number_do_not_write_one_shard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = (*ingest_of(tmp_path), "--shard", "1/2")
    assert medimg(tmp_path / "parts", *call) == 0
    lines = tmp_path / "parts" / "shards" / "ingest" / "examine.1-of-2.jsonl"
    whole = lines.read_bytes()
    with lines.open("ab") as stream:
        claim(stream.fileno(), doing="testing")
        assert medimg(tmp_path / "parts", *call) == ExitCode.MACHINE
    assert "shard 1/2" in last_words(capsys)
    assert medimg(tmp_path / "parts", *call) == 0
    assert lines.read_bytes() == whole


@pytest.mark.usefixtures("raw")
def test_a_shard_runs_no_code_that_it_names(tmp_path: Path) -> None:
    for number in (1, 2):
        assert medimg(tmp_path / "parts", *ingest_of(tmp_path), "--shard", f"{number}/2") == 0
    lines = tmp_path / "parts" / "shards" / "ingest" / "examine.1-of-2.jsonl"
    kind = "medimg_cli.dataset.ingest.examine:Examined"
    whole = lines.read_text()
    for other in (
        "os:system",
        "subprocess:run",
        "medimg_cli.workspace.files:write_text",
        "medimg_cli.cli.app:run",
    ):
        lines.write_text(whole.replace(kind, other))
        assert medimg(tmp_path / "parts", "merge") == ExitCode.DATA
    head = json.loads(whole.splitlines()[0])
    head["arguments"][0] = "serve"
    lines.write_text("\n".join([json.dumps(head), *whole.splitlines()[1:]]) + "\n")
    other_lines = lines.with_name("examine.2-of-2.jsonl")
    other_lines.write_text("\n".join([json.dumps(head), *other_lines.read_text().splitlines()[1:]]) + "\n")
    assert medimg(tmp_path / "parts", "merge") == ExitCode.DATA


def _flip_a_pixel(folder: Path) -> None:
    path = folder / "preprocess.1-of-2.bin"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)


def _break_a_line(folder: Path) -> None:
    path = folder / "preprocess.1-of-2.jsonl"
    path.write_text(path.read_text().replace('"result": ', '"result" ', 1))


def _be_a_folder(folder: Path) -> None:
    (folder / "preprocess.1-of-2.bin").unlink()
    (folder / "preprocess.1-of-2.bin").mkdir()


@pytest.mark.parametrize("damage", [_flip_a_pixel, _break_a_line, _be_a_folder])
def test_a_damaged_shard_is_told_and_the_same_shard_again_mends_it(
    two: tuple[Path, Path], damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = two
    call = ("preprocess", "--size", "16")
    assert medimg(whole, *call) == 0
    for number in (1, 2):
        assert medimg(parts, *call, "--shard", f"{number}/2") == 0
    folder = parts / "shards" / "preprocess"
    damage(folder)
    capsys.readouterr()
    assert medimg(parts, "merge") == ExitCode.DATA
    error, hint = capsys.readouterr().err.splitlines()
    assert "unfinished or damaged" in error or "is no file" in error
    assert "again" in hint
    if damage is _be_a_folder:
        (folder / "preprocess.1-of-2.bin").rmdir()
    for number in (1, 2):
        assert medimg(parts, *call, "--shard", f"{number}/2") == 0
    assert medimg(parts, "merge") == 0
    assert contents(parts / "cache") == contents(whole / "cache")


def test_shards_in_a_folder_of_another_user_are_not_said_to_be_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shards" / "preprocess"
    folder.mkdir(parents=True)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", refuse)
        assert medimg(tmp_path, "merge", "preprocess") == ExitCode.MACHINE
    assert f"{folder}: Permission denied" in capsys.readouterr().err
    assert medimg(tmp_path, "merge", "preprocess") == ExitCode.DATA
