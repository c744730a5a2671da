"""One image of NumPy's arrays: `set.npz#train/12` (MedMNIST: `train_images[12]`) and `stack.npy#12`."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg_cli.images.decoding import RecentFiles, foreign_decoder, refuse_huge
from medimg_cli.images.greyscale import show_samples
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage, collapse_grey
from medimg_cli.images.readers import READERS, Content, Reader

LIMIT_BYTES = 16 << 30
"""A larger array is refused before it is unpacked: an archive can hold a thousand times its own size."""

_IMAGES = "_images.npy"
_READ_HEADER, _READ_HEADER_2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0


_OPEN = RecentFiles[NDArray[Any]](4)  # three splits of one archive and the beginning of the next


def read_array_image(
    content: Content,
    member: str | None,
    options: ReadOptions,  # noqa: ARG001 -- every reader's signature
) -> DecodedImage:
    """Return image `member` of arrays (N, H, W) or (N, H, W, 1 or 3).

    Of an .npz it is "split/number", of an .npy "number", which is memory-mapped; an .npy of shape (H, W) or (H, W, 1 or 3)
    is an image by itself.

    Raises:
        UnreadableImage: no member is named or there is none such, or the array is no stack of pictures.
    """
    path, zipped = content.path, content.image_format == "npz"
    if path is None:
        raise UnreadableImage("arrays inside an archive; unpack the archive")
    with foreign_decoder():
        if member is None:
            if zipped:
                with zipfile.ZipFile(path) as archive:
                    arrays = [name.removesuffix(".npy") for name in archive.namelist()]
                if not any(name.endswith("_images") for name in arrays):
                    raise UnreadableImage(
                        f"an archive without an array SPLIT_images: it holds {', '.join(arrays[:5])}"
                    )
                raise UnreadableImage("an archive; its images are named as FILE.npz#train/0")
            picture = _map(path)
            if picture.ndim > 2 and not _is_one(picture.shape):
                raise UnreadableImage("a stack of images; they are named as FILE.npy#0")
            if picture.ndim < 2 or picture.shape[2:] not in ((), (1,), (3,)):
                raise UnreadableImage(f"an array of shape {picture.shape}; (H, W) or (H, W, 3) is read")
            return _show(picture)
        split, _, number = member.rpartition("/")
        if split and not zipped:
            raise UnreadableImage(f"the array has no image {member}")
        name = f"{split}_images" if zipped else "of the file"
        stack = _OPEN.get(path, lambda: _unpack(path, name) if zipped else _map(path), name)
        if stack.ndim not in (3, 4) or (stack.ndim == 4 and stack.shape[3] not in (1, 3)):
            raise UnreadableImage(
                f"the array {name} has shape {stack.shape}; (N, H, W) or (N, H, W, 3) is read"
            )
        if not number.isdecimal() or int(number) >= len(stack):
            raise UnreadableImage(f"the {'archive' if zipped else 'array'} has no image {member}")
        return _show(np.asarray(stack[int(number)]))


def members_of(content: Content) -> Iterator[str]:
    """Yield what `read_array_image` takes of a file of arrays, by its headers alone; none where it is one image.

    Raises:
        UnreadableImage: the file is damaged.
    """
    path, zipped = content.path, content.image_format == "npz"
    # By any other suffix, `images.image.split_member` would not take the member's name off again.
    if path is None or path.suffix.lower() != (".npz" if zipped else ".npy"):
        return iter(())
    with foreign_decoder():
        if not zipped:
            shape = _map(path).shape
            return map(str, range(0 if len(shape) < 3 or _is_one(shape) else shape[0]))
        counts = _counts(path)
    return (f"{split}/{number}" for split, count in counts for number in range(count))


def _is_one(shape: tuple[int, ...]) -> bool:
    """Return whether the axes are those of one picture with channels, no stack of pictures four pixels wide at most."""
    return len(shape) == 3 and shape[2] <= 4 < min(shape[:2])


def _counts(path: Path) -> list[tuple[str, int]]:
    """Return (split, images) of each array `split_images` of an .npz, in the order of the archive."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(_IMAGES):
                with archive.open(name) as stream:
                    first = np.lib.format.read_magic(stream) == (1, 0)
                    shape: tuple[int, ...] = (_READ_HEADER if first else _READ_HEADER_2)(stream)[0]
                found.append((name.removesuffix(_IMAGES), shape[0] if len(shape) > 2 else 0))
    return found


def _map(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _unpack(path: Path, name: str) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            raise UnreadableImage(f"the archive has no array {name}")
        if archive.getinfo(f"{name}.npy").file_size > LIMIT_BYTES:
            raise UnreadableImage(f"the array {name} is larger than {LIMIT_BYTES >> 30} GiB")
    with np.load(path, allow_pickle=False) as arrays:
        stack: NDArray[Any] = arrays[name]
    return stack


def _show(samples: NDArray[Any]) -> DecodedImage:
    picture = samples if samples.ndim == 3 else samples[..., None]
    refuse_huge(picture.shape[1], picture.shape[0])
    pixels, bits, facts = show_samples(picture)
    if pixels.dtype == np.uint8:
        return DecodedImage(collapse_grey(pixels.astype(np.uint8, copy=False)), bits, facts)
    return DecodedImage(pixels, bits, facts)


READERS.register("arrays")(
    Reader(formats=("npz", "npy"), needs=("numpy",), read=read_array_image, members=members_of)
)
