"""Images inside .npz archives."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import arrays, image_paths, read_image


def archive(path: Path, **stacks: Any) -> str:
    np.savez(path, **stacks)
    return path.as_posix()


def test_a_member_is_one_image_of_its_split(tmp_path: Path) -> None:
    stack = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = archive(tmp_path / "a.npz", train_images=stack)
    image = read_image(f"{path}#train/1")
    assert np.array_equal(image.pixels[..., 0], stack[1])
    assert image.bit_depth == 8


def test_colour_stays_colour_and_repeated_grey_collapses(tmp_path: Path) -> None:
    colour = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    grey = np.repeat(np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1), 3, axis=3)
    path = archive(tmp_path / "a.npz", train_images=colour, test_images=grey)
    assert np.array_equal(read_image(f"{path}#train/0").pixels, colour[0])
    assert read_image(f"{path}#test/0").channels == 1


def test_floats_are_stretched(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", val_images=np.linspace(0, 1, 100).reshape(1, 10, 10))
    image = read_image(f"{path}#val/0")
    assert image.as_uint8().min() == 0
    assert image.as_uint8().max() == 255
    assert "window" in image.facts


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("", "its images are named as"),
        ("#train/2", "the archive has no image train/2"),
        ("#train/-1", "the archive has no image train/-1"),
        ("#train/x", "the archive has no image train/x"),
        ("#other/0", "the archive has no array other_images"),
        ("#volume/0", "has shape"),
        ("#text/0", "has shape"),
        ("#object/0", "allow_pickle"),
    ],
)
def test_members_that_are_no_image_are_refused(tmp_path: Path, member: str, reason: str) -> None:
    path = archive(
        tmp_path / "a.npz",
        train_images=np.zeros((2, 3, 3), dtype=np.uint8),
        volume_images=np.zeros((2, 3, 3, 3, 3), dtype=np.uint8),
        text_images=np.array(["a", "b"]),
        object_images=np.array([{}], dtype=object),
    )
    with pytest.raises(UnreadableImage, match=reason):
        read_image(path + member)


def test_an_archive_of_other_arrays_names_them(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", image=np.zeros((2, 2)), mask=np.zeros((2, 2)))
    with pytest.raises(UnreadableImage, match="without an array SPLIT_images: it holds image, mask"):
        read_image(str(path))


def test_an_archive_is_unpacked_once_for_all_its_images_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    unpack = arrays._unpack

    def counting(path: Path, name: str) -> NDArray[Any]:
        opened.append(name)
        return unpack(path, name)

    monkeypatch.setattr(arrays, "_unpack", counting)
    path = archive(tmp_path / "a.npz", train_images=np.zeros((30, 2, 2), dtype=np.uint8))
    for number in range(30):
        read_image(f"{path}#train/{number}")
    assert opened == ["train_images"]
    archive(tmp_path / "a.npz", train_images=np.full((30, 2, 2), 7, dtype=np.uint8))
    os.utime(path, ns=(1, 1))
    assert read_image(f"{path}#train/0").pixels.max() == 7


def test_an_array_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "LIMIT_BYTES", 100)
    path = archive(tmp_path / "a.npz", train_images=np.zeros((30, 2, 2), dtype=np.uint8))
    with pytest.raises(UnreadableImage, match="is larger than"):
        read_image(f"{path}#train/0")


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_stack_in_one_file_is_read_by_number(tmp_path: Path, order: Any) -> None:
    stack = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
    np.save(tmp_path / "stack.npy", np.asarray(stack, order=order))
    for number in range(5):
        image = read_image(f"{tmp_path}/stack.npy#{number}")
        assert np.array_equal(image.pixels[..., 0], stack[number])


def test_one_picture_in_one_file_needs_no_number(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0, 40_000, 65_535]], dtype=np.uint16))
    assert read_image(f"{tmp_path}/a.npy").pixels.ravel().tolist() == [0, 40_000, 65_535]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_one_picture_with_channels_is_no_stack_of_strips(tmp_path: Path, channels: int) -> None:
    path, colours = f"{tmp_path}/a.npy", np.arange(30 * channels, dtype=np.uint8).reshape(6, 5, channels)
    np.save(path, colours)
    assert list(image_paths(path)) == [path]
    if channels in (1, 3):
        assert np.array_equal(read_image(path).pixels, colours)
    else:
        with pytest.raises(
            UnreadableImage, match=r"an array of shape \(6, 5, .\); \(H, W\) or \(H, W, 3\) is read"
        ):
            read_image(path)


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("", "a stack of images; they are named as FILE.npy#0"),
        ("#5", "the array has no image 5"),
        ("#x", "the array has no image x"),
        ("#train/0", "the array has no image train/0"),
    ],
)
def test_numbers_a_stack_does_not_have_are_refused(tmp_path: Path, member: str, reason: str) -> None:
    np.save(tmp_path / "stack.npy", np.zeros((5, 3, 4), dtype=np.uint8))
    with pytest.raises(UnreadableImage, match=f"^{reason}$"):
        read_image(f"{tmp_path}/stack.npy{member}")


def test_stacks_of_objects_other_shapes_or_half_a_file_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "b.npy", np.zeros((2, 3, 3, 2), dtype=np.uint8))
    np.save(tmp_path / "c.npy", np.zeros((2, 30, 30), dtype=np.uint8))
    (tmp_path / "c.npy").write_bytes((tmp_path / "c.npy").read_bytes()[:-100])
    for name, reason in (("a", "object|pickle"), ("b", "has shape"), ("c", "mmap|file size")):
        with pytest.raises(UnreadableImage, match=reason):
            read_image(f"{tmp_path}/{name}.npy#0")
