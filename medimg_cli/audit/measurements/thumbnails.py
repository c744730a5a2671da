"""Small grey pictures of measured images in one file that only grows: what comparing images needs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.images.image import DecodedImage

SIDE_PX = 96
_BYTES = SIDE_PX * SIDE_PX
# ITU-R BT.601 luma, as Pillow's own conversion to grey.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def thumbnail(image: DecodedImage) -> NDArray[np.uint8]:
    """Return the picture as grey (SIDE_PX, SIDE_PX) in 0..255, each pixel the mean of the area it covers.

    The side ratio is not kept: a flipped or turned copy stays a flipped or turned thumbnail.
    """
    pixels = image.as_uint8()
    grey = pixels[..., 0] if pixels.shape[2] == 1 else (pixels @ _LUMA + 0.5).astype(np.uint8)
    small = Image.fromarray(np.ascontiguousarray(grey)).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    return np.asarray(small)


class ThumbnailWriter:
    """Appends thumbnails to a file; `append` returns each one's number."""

    def __init__(self, path: Path, keep: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("r+b" if path.is_file() else "w+b")
        self._stream.truncate(keep * _BYTES)
        self._stream.seek(0, 2)
        self._count = keep

    def append(self, picture: NDArray[np.uint8]) -> int:
        """Write one (SIDE_PX, SIDE_PX) picture."""
        self._stream.write(picture.tobytes())
        self._count += 1
        return self._count - 1

    def close(self) -> None:
        self._stream.close()


@contextmanager
def appending(path: Path, *, keep: int) -> Iterator[ThumbnailWriter]:
    """Yield a writer that adds after the first `keep` pictures; what a killed command left behind them goes.

    Raises:
        OSError: the file cannot be written.
    """
    writer = ThumbnailWriter(path, keep)
    try:
        yield writer
    finally:
        writer.close()


def stored_count(path: Path) -> int:
    """Return how many whole pictures the file holds, 0 when there is none."""
    return path.stat().st_size // _BYTES if path.is_file() else 0


class Thumbnails:
    """The thumbnails of a data set by image id, read from disk as they are asked for.

    Args:
        path: file of pictures.
        numbers: image id → number of its picture in the file; images that cannot be read have none.
    """

    def __init__(self, path: Path, numbers: dict[str, int]) -> None:
        self._path = path
        self._numbers = numbers

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._numbers

    def of(self, image_ids: Sequence[str]) -> NDArray[np.uint8]:
        """Return (N, SIDE_PX, SIDE_PX) in the order asked for.

        Raises:
            KeyError: an image has none; ask `in` first.
        """
        numbers = np.array([self._numbers[image] for image in image_ids], dtype=np.int64)
        pictures = np.empty((len(numbers), SIDE_PX, SIDE_PX), dtype=np.uint8)
        if len(numbers):  # no map of the file: what was read of it would count as memory of this process
            begins = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
            with self._path.open("rb") as stream:
                for begin, end in pairwise(begins):
                    stream.seek(int(numbers[begin]) * _BYTES)
                    stream.readinto(pictures[begin:end].data)
        return pictures
