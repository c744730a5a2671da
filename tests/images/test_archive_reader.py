"""Images inside archives look as they do beside them."""

import io
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.images.image import ReadOptions, UnreadableImage
from medimg_cli.images.readers import frame_count, read_image
from tests.images.dicom_file import dicom_image, write

KINDS = ("zip", "tar", "tar.gz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of one image of each kind of file, and one text."""
    source = tmp_path / "source"
    (source / "pictures").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for name in ("a.png", "b.jpg", "c.bmp", "d.webp", "e #1.tiff"):
        Image.fromarray(noise).save(source / "pictures" / name)
    Image.new("L", (3, 3)).save(
        source / "pages.tiff", save_all=True, append_images=[Image.new("L", (3, 3), 90)]
    )
    frames = np.stack([np.full((4, 4), value, dtype="u1") for value in (10, 20, 30)])
    write(dicom_image(frames, PatientID="P1"), source / "cine.dcm")
    (source / "notes.txt").write_text("words")
    return source


def pack(folder: Path, kind: str) -> Path:
    path = folder.parent / f"set.{kind}"
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder).as_posix())
        return path
    with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as tar:
        for file in files:
            tar.add(file, file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_read_inside_as_outside(folder: Path, kind: str) -> None:
    path = pack(folder, kind)
    for name in ("pictures/a.png", "pictures/b.jpg", "pictures/c.bmp", "pictures/d.webp", "cine.dcm"):
        inside, outside = read_image(f"{path}#{name}"), read_image(f"{folder}/{name}")
        assert inside.pixel_sha256() == outside.pixel_sha256()
        assert inside.facts == outside.facts


@pytest.mark.parametrize("kind", KINDS)
def test_frames_and_pages_inside_are_counted_and_read(folder: Path, kind: str) -> None:
    path = pack(folder, kind)
    assert frame_count(f"{path}#cine.dcm") == 3
    assert frame_count(f"{path}#pages.tiff") == 2
    assert frame_count(f"{path}#pictures/a.png") == 1
    assert read_image(f"{path}#cine.dcm#frame/2").pixels.max() == 30
    assert read_image(f"{path}#pages.tiff#page/1").pixels.max() == 90


def test_a_member_whose_name_holds_a_hash_is_found(folder: Path) -> None:
    assert read_image(f"{pack(folder, 'zip')}#pictures/e #1.tiff").width == 30


def test_threads_read_one_archive(folder: Path) -> None:
    path = pack(folder, "tar.gz")
    names = ["pictures/a.png", "pictures/c.bmp", "cine.dcm", "pages.tiff"] * 10
    expected = [read_image(f"{folder}/{name}").pixel_sha256() for name in names]
    with ThreadPoolExecutor(6) as pool:
        images = list(pool.map(lambda name: read_image(f"{path}#{name}"), names))
    assert [image.pixel_sha256() for image in images] == expected


def test_options_reach_a_member(folder: Path) -> None:
    image = read_image(f"{pack(folder, 'zip')}#cine.dcm", ReadOptions(window=(20.5, 2)))
    assert image.facts["window"] == "20.5,2 (given)"


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("", "an archive; its images are named as"),
        ("#no.png", "the archive has no such file"),
        ("#notes.txt", "not an image of a known format"),
        ("#cine.dcm#frame/3", "the file has no frame/3; its frames are frame/0 to frame/2"),
        ("#pictures/a.png#page/1", "the picture has no"),
        ("#pictures", "the archive has no such file"),
    ],
)
def test_what_an_archive_does_not_hold_is_refused(folder: Path, member: str, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        read_image(f"{pack(folder, 'zip')}{member}")


def test_archives_and_arrays_inside_archives_are_refused(tmp_path: Path) -> None:
    inner, arrays = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.png", b"")
    np.savez(arrays, train_images=np.zeros((1, 2, 2), dtype=np.uint8))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
        archive.writestr("set.npz", arrays.getvalue())
    with pytest.raises(UnreadableImage, match="an archive inside an archive"):
        read_image(f"{tmp_path}/outer.zip#inner.zip")
    with pytest.raises(UnreadableImage, match="arrays inside an archive"):
        read_image(f"{tmp_path}/outer.zip#set.npz")


def test_a_plain_gzip_file_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b\x08\x00" + bytes(20))
    with pytest.raises(UnreadableImage, match=r"^compressed by gzip"):
        read_image((tmp_path / "a.nii.gz").as_posix())


def test_a_real_archive_of_dicom_opens(shared_data: Path) -> None:
    path = shared_data / "dicom" / "deid-data" / "ultrasounds" / "GREYSCALE_CINE.zip"
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dcm") and "MACOSX" not in name)
    image = read_image(f"{path}#{name}")
    assert image.facts["modality"] == "US"
    assert frame_count(f"{path}#{name}") > 1
