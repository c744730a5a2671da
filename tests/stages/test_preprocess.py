"""preprocess: decoded once, by the model's recipe, never more than asked for."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import DataError, ExitCode, UsageError
from medimg_cli.images.readers import read_image
from medimg_cli.inference.load import open_classifier
from medimg_cli.runs.run_folders import find_run
from medimg_cli.stages.predict import predict
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.preprocess_preview import draw_preview
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import PredictSettings, PreprocessSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import SIDE_PX, draw_cohort, medimg
from tests.images.dicom_file import dicom_image, write

SETTINGS = PreprocessSettings(size=16)


def test_cached_pixels_are_the_recipe_applied_to_the_file(workspace: Workspace) -> None:
    cache = preprocess(workspace, SETTINGS).cache
    row = read_dataset(workspace).usable.iloc[5]
    image = read_image(workspace.absolute(row["path"]))
    assert np.array_equal(cache.pixels[cache.positions([row["image_id"]])[0]], cache.recipe.apply(image))


def test_a_second_call_decodes_nothing(workspace: Workspace) -> None:
    first, second = preprocess(workspace, SETTINGS), preprocess(workspace, SETTINGS)
    assert (first.reused, first.decoded) == (False, 60)
    assert (second.reused, second.decoded) == (True, 0)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.999])
def test_a_flipped_byte_of_the_cache_is_noticed_told_and_decoded_again(
    workspace: Workspace, place: float
) -> None:
    class Heard(SilentProgress):
        said: str = ""

        def warn(self, message: str) -> None:
            self.said += message

    cache = preprocess(workspace, SETTINGS).cache
    names = cache.index["image_id"].tolist()
    expected = cache.pixels[cache.positions(names)].copy()
    pixels = cache.folder / "pixels.npy"
    content = bytearray(pixels.read_bytes())
    content[128 + int(place * (len(content) - 129))] ^= 0x40
    del cache
    pixels.write_bytes(content)
    heard = Heard()
    again = preprocess(workspace, SETTINGS, progress=heard)
    assert (again.reused, again.decoded) == (False, 1)
    assert heard.said.startswith("1 of 60 images in the cache do not match their checksum, such as '")
    assert np.array_equal(again.cache.pixels[again.cache.positions(names)], expected)
    assert preprocess(workspace, SETTINGS).reused


def test_a_cache_of_an_earlier_version_without_checksums_is_used(workspace: Workspace) -> None:
    folder = preprocess(workspace, SETTINGS).cache.folder
    index = pd.read_csv(folder / "index.csv", dtype=str)
    index.drop(columns="crc32").to_csv(folder / "index.csv", index=False)
    assert preprocess(workspace, SETTINGS).reused


def test_training_leaves_test_images_undecoded(workspace: Workspace) -> None:
    dataset = read_dataset(workspace)
    test_rows = dataset.of_split("test")
    for path in test_rows["path"]:
        Path(workspace.absolute(path)).unlink()
    result = preprocess(workspace, SETTINGS, splits=("train", "val"))
    assert result.images == 60 - len(test_rows)


def test_further_splits_join_without_decoding_the_first_again(workspace: Workspace) -> None:
    before = preprocess(workspace, SETTINGS, splits=("train",))
    after = preprocess(workspace, SETTINGS)
    assert after.decoded == 60 - before.images
    ids = read_dataset(workspace).usable["image_id"].tolist()
    joined = after.cache.pixels[after.cache.positions(ids)]
    shutil.rmtree(workspace.cache_dir)
    assert np.array_equal(preprocess(workspace, SETTINGS).cache.pixels, joined)


def test_auto_takes_the_images_own_size_and_one_channel(workspace: Workspace) -> None:
    recipe = preprocess(workspace, PreprocessSettings()).cache.recipe
    assert (recipe.size_px, recipe.channels, recipe.resize_mode) == (SIDE_PX, 1, "pad")


def test_an_image_that_broke_since_ingest_is_named(workspace: Workspace) -> None:
    row = read_dataset(workspace).of_split("train").iloc[0]
    Path(workspace.absolute(row["path"])).write_bytes(b"")
    with pytest.raises(DataError, match=str(row["image_id"])):
        preprocess(workspace, SETTINGS)


def test_new_images_are_added_without_opening_the_old_ones(
    workspace: Workspace, cohort: Path, tmp_path: Path
) -> None:
    before = preprocess(workspace, SETTINGS).cache
    old = before.pixels.copy()
    draw_cohort(cohort, patients=32)
    medimg(tmp_path, "ingest", str(cohort), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    for path in cohort.rglob("patient00*.png"):
        path.unlink()
    after = preprocess(workspace, SETTINGS)
    assert (after.decoded, after.images) == (4, 64)
    assert np.array_equal(after.cache.pixels[:60], old)
    assert np.array_equal(before.pixels, old)


def test_a_file_that_is_another_one_since_ingest_is_named(workspace: Workspace) -> None:
    rows = read_dataset(workspace).of_split("train")
    shutil.copyfile(workspace.absolute(rows["path"].iloc[0]), workspace.absolute(rows["path"].iloc[1]))
    with pytest.raises(DataError, match=f"'{rows['image_id'].iloc[1]}' is another file than") as refused:
        preprocess(workspace, SETTINGS)
    assert "medimg ingest" in refused.value.hint


def test_what_was_decoded_before_an_error_is_kept(workspace: Workspace) -> None:
    rows = read_dataset(workspace).usable
    broken = Path(workspace.absolute(rows["path"].iloc[-1]))
    content = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(DataError, match="can no longer be read: the file is empty"):
        preprocess(workspace, SETTINGS)
    broken.write_bytes(content)
    assert preprocess(workspace, SETTINGS).decoded < 60


def test_a_killed_run_is_continued_to_the_same_bytes(workspace: Workspace) -> None:
    preprocess(workspace, SETTINGS)
    wanted = [path.read_bytes() for path in cache_files(workspace)]
    shutil.rmtree(workspace.cache_dir)
    script = (
        "import sys, os, signal; from pathlib import Path\n"
        "from medimg_cli.preprocessing import cache_writer; from medimg_cli.workspace.settings import PreprocessSettings\n"
        "from medimg_cli.workspace.workspace import Workspace; from medimg_cli.stages import preprocess as stage\n"
        "from medimg_cli.preprocessing import probe_images\n"
        "cache_writer.CHECKPOINT_SECONDS = 0.0\n"
        "read, seen = probe_images.read_image, []\n"
        "def counting(path, options):\n"
        "    seen.append(path)\n"
        "    if len(seen) == 37: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return read(path, options)\n"
        "probe_images.read_image = counting\n"
        "stage.preprocess(Workspace(Path(sys.argv[1])), PreprocessSettings(size=16, workers=1))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(workspace.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    after = preprocess(workspace, SETTINGS)
    assert 0 < after.decoded < 60
    assert [path.read_bytes() for path in cache_files(workspace)] == wanted


def cache_files(workspace: Workspace) -> list[Path]:
    return [path for name in ("pixels.npy", "index.csv") for path in workspace.cache_dir.glob(f"*/{name}")]


def test_sixteen_bits_are_kept_only_where_there_are_some(tmp_path: Path, workspace: Workspace) -> None:
    wide = PreprocessSettings(size=16, bits=16)
    assert preprocess(workspace, wide).cache.recipe.bits == 8
    generator = np.random.default_rng(0)
    for number in range(20):
        pixels = generator.integers(0, 65536, (20, 20)).astype(np.uint16)
        target = tmp_path / "deep" / ("a", "b")[number % 2] / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target)
    assert medimg(tmp_path / "w16", "ingest", str(tmp_path / "deep")) == 0
    cache = preprocess(Workspace(tmp_path / "w16"), wide).cache
    assert cache.recipe.bits == 16
    assert cache.pixels.dtype.name == "uint16"
    assert len(np.unique(cache.pixels)) > 1000


def test_window_and_sixteen_bits_go_the_whole_way_from_training_to_prediction(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(24):
        samples = generator.integers(0, 60, (20, 20)) + 1000 + (number % 2) * 30
        target = tmp_path / "ct" / ("dark", "light")[number % 2] / f"{number}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        slope = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400}
        write(dicom_image(samples.astype(np.int16), **slope), target)
    assert medimg(tmp_path, "ingest", str(tmp_path / "ct"), "--positive", "light", "--layout", "folders") == 0
    recipe = ("--set", "preprocess.bits=16", "--set", "preprocess.window=30,120")
    assert medimg(tmp_path, "train", *recipe, "--epochs", "2", "--batch-size", "4", "--name", "r") == 0
    assert medimg(tmp_path, "evaluate") == 0
    run = find_run(Workspace(tmp_path), "r")
    assert (run.read_card().recipe.bits, run.read_card().recipe.window) == (16, (30, 120))
    known = pd.read_csv(run.predictions_path("test"))
    paths = [tmp_path / path for path in known["path"]]
    found: list[float | None] = []
    judge = open_classifier(run.folder)
    assert judge is not None
    predict(judge, paths, PredictSettings(), tell=lambda _, said: found.append(said.probabilities["light"]))
    assert found == pytest.approx(known["prob_light"].tolist(), abs=1e-5)
    assert medimg(tmp_path, "report", "--out", str(tmp_path / "report.html")) == 0
    assert "DICOM window centre 30 width 120" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_cut_frames_are_counted_and_recorded(workspace: Workspace, cohort: Path, tmp_path: Path) -> None:
    for path in sorted(cohort.rglob("patient00[0-3]_0.png")):
        framed = np.zeros((SIDE_PX + 8, SIDE_PX), dtype=np.uint8)
        framed[4:-4] = np.asarray(Image.open(path))
        Image.fromarray(framed).save(path)
    medimg(tmp_path, "ingest", str(cohort), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    result = preprocess(workspace, PreprocessSettings(size=16, border_crop=True))
    assert result.cropped == 4
    assert set(result.cache.index["border"]) == {"", "0.0000,0.1000,0.0000,0.1000"}


def test_a_preview_shows_samples_of_every_class_and_is_the_same_for_a_seed(
    workspace: Workspace, tmp_path: Path
) -> None:
    cache = preprocess(workspace, SETTINGS).cache
    for name, seed in (("one.png", 0), ("two.png", 0), ("other.png", 1)):
        draw_preview(workspace, cache, tmp_path / name, augment="light", seed=seed)
    one, two, other = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("one", "two", "other"))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert one.shape[0] > 16 * 168  # eight rows of two classes


def test_a_preview_of_no_picture_format_or_no_augmentation_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    cache = preprocess(workspace, SETTINGS).cache
    with pytest.raises(UsageError, match="no name of a picture"):
        draw_preview(workspace, cache, tmp_path / "sheet.txt", augment="light")
    with pytest.raises(UsageError, match="unknown --augment 'ligth'"):
        draw_preview(workspace, cache, tmp_path / "sheet.png", augment="ligth")


def test_the_command_tells_what_it_did(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    call = ("preprocess", "--size", "16", "--clahe", "--preview", str(tmp_path / "sheet.png"))
    assert medimg(workspace.root, *call, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["images"], answer["decoded"], answer["reused"], answer["cropped"]) == (60, 60, False, 0)
    assert answer["recipe"]["clahe"] is True
    assert (tmp_path / "sheet.png").is_file()
    assert medimg(workspace.root, *call) == 0
    assert "60 images, 16 x 16, grey, pad, CLAHE; 0 MB: up to date" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--window", "40"), "--window cannot be '40'"),
        (("--window", "40,0"), "--window cannot be '40,0'"),
        (("--window", "wide,400"), "--window cannot be 'wide,400'"),
        (("--bits", "12"), "--bits cannot be"),
        (("--bits", "16", "--clahe"), "--bits cannot be '16'"),
        (("--preview", "sheet"), "sheet is no name of a picture"),
    ],
)
def test_wrong_options_are_named(
    workspace: Workspace, option: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert medimg(workspace.root, "preprocess", *option) == ExitCode.USAGE
    assert said in capsys.readouterr().err
