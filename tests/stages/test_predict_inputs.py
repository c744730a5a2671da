"""predict: what counts as an input, and as an image of it."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.predictions.inputs import named_in
from medimg_cli.stages.predict import predict
from medimg_cli.workspace.settings import PredictSettings
from tests.images.dicom_file import dicom_image, write
from tests.stages.made_up_model import judge
from tests.stages.test_predict import draw, told

GREYS = (10, 120, 250)
STACK = np.array(GREYS, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), dtype=np.uint8)


def spot(grey: int) -> float:
    """Return what the made-up model answers to a picture of one grey."""
    return float(1 / (1 + np.exp((128 - grey) / 40)))


def assert_greys(rows: list[tuple[str, float | None]], *expected: tuple[str, int | None]) -> None:
    """Compare paths, and answers with those to pictures of one grey; None is an unreadable one."""
    assert [path for path, _ in rows] == [path for path, _ in expected]
    for (path, found), (_, grey) in zip(rows, expected, strict=True):
        assert found == (None if grey is None else pytest.approx(spot(grey), abs=1e-9)), path


def spots(*named: str | Path) -> list[tuple[str, float | None]]:
    """Return the path of each row and the probability of a spot."""
    return [(path, found.probabilities["SPOT"]) for path, found in told(judge(), *named)[1]]


def png(grey: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (8, 8), grey).save(stream, "PNG")
    return stream.getvalue()


def pages(path: Path) -> Path:
    """Write a TIFF of three pages."""
    first, *others = (Image.new("L", (8, 8), grey) for grey in GREYS)
    first.save(path, save_all=True, append_images=others)
    return path


def test_every_frame_of_a_dicom_file_and_every_page_of_a_tiff_is_a_row(tmp_path: Path) -> None:
    cine = write(dicom_image(STACK), tmp_path / "a cine").as_posix()
    single = write(dicom_image(STACK[1]), tmp_path / "b.dcm").as_posix()
    book = pages(tmp_path / "c.tif").as_posix()
    assert_greys(
        spots(tmp_path),
        *((f"{cine}#frame/{number}", grey) for number, grey in enumerate(GREYS)),
        (single, 120),
        *((f"{book}#frame/{number}", grey) for number, grey in enumerate(GREYS)),
    )
    assert_greys(
        spots(f"{cine}#frame/2", f"{book}#page/1"), (f"{cine}#frame/2", 250), (f"{book}#page/1", 120)
    )


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tgz"])
def test_the_members_of_an_archive_that_is_named_are_rows(tmp_path: Path, name: str) -> None:
    archive, book = tmp_path / name, pages(tmp_path / "book.tif").read_bytes()
    content = {
        "b/1.png": png(120),
        "a.png": png(10),
        "b/no.txt": b"x",
        "c.tif": book,
        "__MACOSX/._a.png": b"x",
    }
    if name == "set.zip":
        with zipfile.ZipFile(archive, "w") as target:
            for member, data in content.items():
                target.writestr(member, data)
    else:
        with tarfile.open(archive, "w:gz" if name == "set.tgz" else "w") as tar:
            for member, data in content.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    assert_greys(
        spots(archive),
        (f"{archive}#a.png", 10),
        (f"{archive}#b/1.png", 120),
        (f"{archive}#b/no.txt", None),
        *((f"{archive}#c.tif#frame/{number}", grey) for number, grey in enumerate(GREYS)),
    )


def test_an_archive_that_lies_in_a_folder_is_one_row_which_says_how_to_name_its_images(
    tmp_path: Path,
) -> None:
    for name in ("inside/set.zip", "letter.docx"):  # a document is a zip too
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / name, "w") as target:
            target.writestr("a.png", png(10))
    _, rows = told(judge(), tmp_path)
    assert [Path(path).name for path, _ in rows] == ["set.zip", "letter.docx"]
    assert all("ARCHIVE#folder/image.png" in found.message for _, found in rows)
    assert len(told(judge(), tmp_path / "letter.docx")[1]) == 1


def test_damaged_and_empty_archives_are_rows_with_their_reason(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as target:
        target.writestr("a.png", png(10))
    (tmp_path / "cut.zip").write_bytes((tmp_path / "whole.zip").read_bytes()[:60])
    _, rows = told(judge(), tmp_path / "empty.zip", tmp_path / "cut.zip")
    assert [Path(path).name for path, _ in rows] == ["empty.zip", "cut.zip"]
    assert rows[0][1].message == "an archive without files"
    assert rows[1][1].message.startswith("cannot be read as an archive: ")


def test_the_images_of_arrays_are_rows(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", val_images=STACK[:1], val_labels=np.zeros(1), train_images=STACK[1:])
    np.save(tmp_path / "stack.npy", STACK)
    np.save(tmp_path / "one.npy", STACK[2])
    np.savez(tmp_path / "other.npz", something=STACK)
    names = [(tmp_path / name).as_posix() for name in ("one.npy", "other.npz", "set.npz", "stack.npy")]
    assert_greys(
        spots(tmp_path),
        (names[0], 250),
        (names[1], None),
        (f"{names[2]}#val/0", 10),
        (f"{names[2]}#train/0", 120),
        (f"{names[2]}#train/1", 250),
        *((f"{names[3]}#{number}", grey) for number, grey in enumerate(GREYS)),
    )


def test_a_list_names_its_inputs_one_a_line(tmp_path: Path) -> None:
    one, two = draw(tmp_path, "a b.png", "ü.png")
    listed = f"{two}\n\n{one}\r\n{tmp_path / 'none.png'}".encode()
    rows: list[str] = []
    predict(
        judge(),
        named_in(io.BytesIO(listed)),
        PredictSettings(),
        tell=lambda path, found: rows.append(f"{Path(path).name} {found.status}"),
    )
    assert rows == ["ü.png ok", "a b.png ok", "none.png unreadable"]


def test_a_name_that_is_no_text_is_a_row_that_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    odd = os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")
    try:
        Path(odd).write_bytes(png(10))
    except OSError:
        pytest.skip("this file system takes no such name")
    result, rows = told(judge(), folder, odd, out=tmp_path / "rows.csv")
    assert [path for path, _ in rows] == [f"{folder.as_posix()}/caf\N{REPLACEMENT CHARACTER}.png"] * 2
    assert {found.message for _, found in rows} == {"the file name is not valid UTF-8"}
    assert result.unreadable == 2


def test_a_real_folder_counts_before_a_link_to_it(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.png", "b/x/2.png")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b" / "x")
    draw(tmp_path.parent / f"{tmp_path.name}-elsewhere", "3.png")
    (tmp_path / "a" / "away").symlink_to(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    _, rows = told(judge(), tmp_path)
    relative = [Path(path).relative_to(tmp_path).as_posix() for path, _ in rows]
    assert relative == ["a/1.png", "b/x/2.png", "a/away/3.png", "a/link"]
    assert rows[-1][1].message == "a link to a folder that was read already"


def test_progress_counts_files_however_many_images_they_hold(tmp_path: Path) -> None:
    pages(tmp_path / "c.tif")
    draw(tmp_path, "d.png", "e.png")
    steps: list[int] = []
    totals: list[int | None] = []

    class Listener:
        def start(self, task: str, total: int | None) -> None:  # noqa: ARG002
            totals.append(total)

        def advance(self, count: int = 1) -> None:
            steps.append(count)

        def finish(self) -> None: ...

    told(judge(), tmp_path, progress=Listener())
    assert (totals, sum(steps)) == ([3], 3)
