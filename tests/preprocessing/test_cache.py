"""The pixel cache: what the index names is there, whatever happened to the process that wrote it."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from medimg_cli.errors import DataError, MachineError
from medimg_cli.preprocessing import cache_writer
from medimg_cli.preprocessing.cache import FeatureCache, PixelCache, cache_folder, digest_of, open_cache
from medimg_cli.preprocessing.cache_writer import writing
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.workspace.workspace import Workspace

RECIPE = Recipe(size_px=8, channels=1)
ROWS = pd.DataFrame({"image_id": ["a", "b"], "sha256": ["1", "2"], "label": ["x", "y"]})
PIXELS = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8, 1)


def many(count: int) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    ids = [f'im age "{number}",\n{number}.png' for number in range(count)]
    pixels = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    return pd.DataFrame({"image_id": ids, "sha256": [str(number) for number in range(count)]}), pixels


def write(
    workspace: Workspace, rows: pd.DataFrame, pixels: NDArray[np.uint8], recipe: Recipe = RECIPE
) -> PixelCache:
    """Bring a cache up to date with `rows`, as the stage does it."""
    with writing(workspace, recipe) as writer:
        missing = writer.missing(rows)
        writer.append(missing, ((pixels[place], "") for place in missing.index))
        return writer.finish()


def broken_off(pixels: NDArray[np.uint8], after: int) -> Iterator[tuple[NDArray[np.uint8], str]]:
    for one in pixels[:after]:
        yield one, ""
    raise KeyboardInterrupt


def file_bytes(workspace: Workspace) -> bytes:
    return (cache_folder(workspace, RECIPE) / "pixels.npy").read_bytes()


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    written = write(Workspace(tmp_path), ROWS, PIXELS)
    assert written.holds(ROWS)
    assert np.array_equal(written.pixels[written.positions(["b", "a"])], PIXELS[::-1])
    assert not written.holds(ROWS.assign(sha256="3"))
    assert not written.holds(ROWS.assign(image_id=["a", "c"]))


def test_the_array_is_the_one_numpy_would_have_saved(tmp_path: Path) -> None:
    write(Workspace(tmp_path), ROWS, PIXELS)
    np.save(tmp_path / "plain.npy", PIXELS)
    assert file_bytes(Workspace(tmp_path)) == (tmp_path / "plain.npy").read_bytes()


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    cache = write(Workspace(tmp_path), ROWS, PIXELS)
    with pytest.raises(DataError, match="'c' is not in"):
        cache.positions(["a", "c"])


def test_an_interrupted_write_leaves_no_cache_to_trust_and_is_continued(tmp_path: Path) -> None:
    rows, pixels = many(20)
    whole = write(Workspace(tmp_path / "whole"), rows, pixels)
    workspace = Workspace(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt), writing(workspace, RECIPE) as writer:
        writer.append(rows, broken_off(pixels, 7))
    assert open_cache(workspace, RECIPE) is None
    with writing(workspace, RECIPE) as writer:
        assert len(writer.missing(rows)) == 13
    continued = write(workspace, rows, pixels)
    assert file_bytes(workspace) == file_bytes(Workspace(tmp_path / "whole"))
    assert continued.index.equals(whole.index)
    assert {path.name for path in continued.folder.iterdir()} == {
        ".lock",
        "index.csv",
        "pixels.npy",
        "recipe.json",
    }


def test_a_cache_stays_readable_while_rows_are_appended(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rows, pixels = many(20)
    before = write(workspace, rows[:5], pixels)
    with pytest.raises(KeyboardInterrupt), writing(workspace, RECIPE) as writer:
        writer.append(rows[5:], broken_off(pixels[5:], 9))
    now = open_cache(workspace, RECIPE)
    assert now is not None
    assert len(now.index) == 5
    after = write(workspace, rows, pixels)
    assert np.array_equal(after.pixels, pixels)
    assert np.array_equal(before.pixels, pixels[:5])


@pytest.mark.parametrize("torn", [b'"torn', b'"torn","5",'])
def test_a_journal_line_that_was_cut_short_does_not_count(tmp_path: Path, torn: bytes) -> None:
    workspace = Workspace(tmp_path)
    rows, pixels = many(12)
    with pytest.raises(KeyboardInterrupt), writing(workspace, RECIPE) as writer:
        writer.append(rows, broken_off(pixels, 5))
    with (cache_folder(workspace, RECIPE) / "journal.csv").open("ab") as journal:
        journal.write(torn)
    assert np.array_equal(write(workspace, rows, pixels).pixels, pixels)


def test_pixels_without_a_line_that_names_them_are_written_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rows, pixels = many(12)
    write(workspace, rows[:4], pixels)
    with (cache_folder(workspace, RECIPE) / "pixels.npy").open("ab") as array:
        array.write(b"half a row")
    assert np.array_equal(write(workspace, rows, pixels).pixels, pixels)


def test_a_changed_image_gets_a_new_row_and_a_vanished_one_keeps_its_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(workspace, ROWS, PIXELS)
    changed = ROWS.assign(sha256=["1", "new"])
    cache = write(workspace, changed, PIXELS[::-1])
    assert cache.positions(["a", "b"]).tolist() == [0, 2]
    assert np.array_equal(cache.pixels[2], PIXELS[0])
    assert write(workspace, ROWS[:1], PIXELS).holds(changed)


def test_damaged_pixels_are_no_cache_and_are_made_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(workspace, ROWS, PIXELS)
    (cache_folder(workspace, RECIPE) / "pixels.npy").write_bytes(b"\x93NUMPY")
    assert open_cache(workspace, RECIPE) is None
    assert np.array_equal(write(workspace, ROWS, PIXELS).pixels, PIXELS)


def test_a_cache_written_before_caches_could_grow_is_read_and_appended_to(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = cache_folder(workspace, RECIPE)
    folder.mkdir(parents=True)
    array = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=PIXELS.shape)
    array[:] = PIXELS
    array.flush()
    ROWS[["image_id", "sha256"]].to_csv(folder / "index.csv", index=False)
    (folder / "recipe.json").write_text(
        '{"version": 1, "size_px": 8, "channels": 1, "resize_mode": "pad", "interpolation": "bilinear, antialiased"}'
    )
    assert open_cache(workspace, RECIPE) is not None
    more = pd.concat([ROWS, pd.DataFrame({"image_id": ["c"], "sha256": ["3"]})], ignore_index=True)
    cache = write(workspace, more, np.concatenate([PIXELS, PIXELS[:1]]))
    assert np.array_equal(cache.pixels, np.concatenate([PIXELS, PIXELS[:1]]))


def test_a_full_disk_is_one_error_and_leaves_the_cache_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    rows, pixels = many(400)
    write(workspace, rows[:100], pixels)
    monkeypatch.setattr(cache_writer, "CHECKPOINT_SECONDS", 0.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 + 200 * 64 + 30, limits[1]))
    try:
        with pytest.raises(MachineError, match=r"cannot write .*pixels\.npy"):
            write(workspace, rows, pixels)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    there = open_cache(workspace, RECIPE)
    assert there is not None
    assert np.array_equal(there.pixels, pixels[:100])
    with writing(workspace, RECIPE) as writer:
        assert 200 <= len(writer.missing(rows)) < 300
    assert np.array_equal(write(workspace, rows, pixels).pixels, pixels)


def test_a_second_writer_is_refused_in_one_line(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with writing(workspace, RECIPE):
        script = (
            "import sys; from pathlib import Path; from medimg_cli.preprocessing.cache_writer import writing\n"
            "from medimg_cli.preprocessing.recipe import Recipe; from medimg_cli.workspace.workspace import Workspace\n"
            "from medimg_cli.errors import MachineError\n"
            "try:\n"
            "    with writing(Workspace(Path(sys.argv[1])), Recipe(size_px=8, channels=1)): pass\n"
            "except MachineError as error: print(error.what)\n"
        )
        said = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
        )
    assert said.stdout.startswith(f"another medimg (process {os.getpid()}) is writing ")
    assert len(said.stdout.splitlines()) == 1


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    recipe = Recipe(size_px=8, channels=1, bits=16)
    pixels = np.arange(128, dtype=np.uint16).reshape(2, 8, 8, 1) * 500
    with writing(Workspace(tmp_path), recipe) as writer:
        writer.append(ROWS, ((one, "") for one in pixels))
        cache = writer.finish()
    assert cache.pixels.dtype == np.uint16
    assert np.array_equal(cache.pixels, pixels)


def test_what_was_cut_of_an_image_stands_in_the_index(tmp_path: Path) -> None:
    recipe = Recipe(size_px=8, channels=1, border_crop=True)
    with writing(Workspace(tmp_path), recipe) as writer:
        writer.append(ROWS, zip(PIXELS, ("", "0.1000,0.0000,0.0000,0.0000"), strict=True))
        cache = writer.finish()
    assert cache.index["border"].tolist() == ["", "0.1000,0.0000,0.0000,0.0000"]


def test_another_recipe_has_another_folder() -> None:
    workspace = Workspace(Path("w"))
    assert cache_folder(workspace, RECIPE) != cache_folder(
        workspace, RECIPE.model_copy(update={"size_px": 9})
    )


def test_features_are_found_again_by_what_they_rest_on(tmp_path: Path) -> None:
    FeatureCache(tmp_path, ["weights", 1]).add(["a", "b"], np.array([[1, 2], [3, 4]], dtype=np.float32))
    again = FeatureCache(tmp_path, ["weights", 1])
    found = again.get("b")
    assert found is not None and found.tolist() == [3, 4]
    assert again.get("c") is None
    assert FeatureCache(tmp_path, ["weights", 2]).get("b") is None


def test_a_damaged_file_is_let_go_and_others_stay(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, [1])
    cache.add(["a"], np.ones((1, 3), dtype=np.float32))
    first = next(cache.folder.iterdir())
    cache.add(["b"], np.zeros((1, 3), dtype=np.float32))
    first.write_bytes(first.read_bytes()[:40])
    again = FeatureCache(tmp_path, [1])
    assert again.get("a") is None
    assert again.get("b") is not None
    assert not first.exists()


def test_a_digest_tells_pixels_shape_and_type() -> None:
    image = np.zeros((2, 3, 1), dtype=np.uint8)
    others: list[NDArray[Any]] = [
        image + 1,
        image.reshape(3, 2, 1),
        image.astype(np.uint16),
        np.zeros((6,), dtype=np.uint8),
    ]
    assert len({digest_of(each) for each in [image, *others]}) == 5
    assert digest_of(image) == digest_of(np.zeros((4, 3, 1), dtype=np.uint8)[::2])
