"""Text in the pixels, found, judged and blanked: of DICOM files in every frame, of pictures in every page."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRLittleEndian

from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.privacy.pixels.text_policy import boxes_to_blank
from medimg_cli.privacy.pixels.text_reading import LineReader, can_read, line_reader
from medimg_cli.privacy.pixels.text_regions import Box, find_text_regions, mask_regions, overlap
from medimg_cli.privacy.removal.profile import CannotDeidentify

_SAME_PLACE = 0.5
_JPEG_QUALITY = 95
_PIXELS = 0x7FE00010
# What describes compressed frames, or values that the blanked frames no longer keep.
_GONE = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "EncapsulatedPixelDataValueTotalLength")
_PICTURE_MODES = ("L", "RGB", "RGBA", "I;16")


class TextMask:
    """Blanks text that is no known marker; where the extra `ocr` is missing, whatever looks like text."""

    def __init__(self) -> None:
        self._reader: LineReader | None = line_reader() if can_read() else None

    def __reduce__(self) -> tuple[type["TextMask"], tuple[()]]:
        return type(self), ()  # to a process that opens the reader for itself

    @property
    def reads(self) -> bool:
        """Return whether text is read before it is judged."""
        return self._reader is not None

    def dicom(self, dataset: Dataset) -> int:
        """Blank text in every frame of a data set and return how many regions; untouched where there is none.

        Blanked pixels are written uncompressed. What stands in one frame is blanked in all.

        Raises:
            CannotDeidentify: the pixels cannot be decoded, so nobody knows what they show.
        """
        if _PIXELS not in dataset:
            return 0
        try:
            with quiet_decoding():
                stored = dataset.pixel_array
        except Exception as error:  # decoders raise what they like on damaged bytes
            raise CannotDeidentify(
                f"its pixels cannot be decoded, so text in them cannot be found ({type(error).__name__})"
            ) from error
        frames = _frames(stored, dataset)
        boxes = self._boxes([_shown(frame, dataset) for frame in frames])
        if boxes:
            _put_pixels(dataset, np.stack([mask_regions(frame, boxes) for frame in frames]), stored.shape)
        return len(boxes)

    def picture(self, content: bytes, image_format: str) -> tuple[bytes, int]:
        """Return a picture with its text blanked, and how many regions that were; as it was where there is none.

        It comes back upright in its own format: JPEG at quality 95, everything else without loss.

        Raises:
            CannotDeidentify: a mode whose pixels cannot be written back.
        """
        pages, total = [], 0
        with quiet_decoding(), Image.open(io.BytesIO(content), formats=[image_format]) as picture:
            for page in range(int(getattr(picture, "n_frames", 1))):
                picture.seek(page)
                blanked, found = self._page(ImageOps.exif_transpose(picture))
                pages.append(blanked)
                total += found
        if not total:
            return content, 0
        target = io.BytesIO()
        more: dict[str, Any] = {"save_all": True, "append_images": pages[1:]} if len(pages) > 1 else {}
        if image_format == "jpeg":
            more |= {"quality": _JPEG_QUALITY, "subsampling": 0}
        elif image_format == "webp":
            more |= {"lossless": True}
        elif image_format == "tiff":
            more |= {"compression": "tiff_deflate"}
        pages[0].save(target, image_format, **more)
        return target.getvalue(), total

    def _page(self, picture: Image.Image) -> tuple[Image.Image, int]:
        if picture.mode in ("1", "P"):
            picture = picture.convert("L" if picture.mode == "1" else "RGB")
        if picture.mode not in _PICTURE_MODES:
            raise CannotDeidentify(f"text in a picture of mode {picture.mode} cannot be masked")
        pixels = np.asarray(picture)
        colour = pixels[..., :3] if pixels.ndim == 3 else pixels[..., None]
        boxes = self._boxes([colour])
        return (Image.fromarray(mask_regions(pixels, boxes)) if boxes else picture.copy()), len(boxes)

    def _boxes(self, frames: list[NDArray[Any]]) -> list[Box]:
        """Return what is blanked in all frames: the first is read whole, later ones where something new shows."""
        found: list[Box] = []
        judged: list[Box] = []
        for number, frame in enumerate(frames):
            regions = find_text_regions(frame)
            if number and all(any(overlap(r, old) >= _SAME_PLACE for old in judged) for r in regions):
                continue
            found += boxes_to_blank(frame, self._reader, whole=number == 0)
            judged += regions
        return found


def _frames(stored: NDArray[Any], dataset: Dataset) -> list[NDArray[Any]]:
    """Return the frames (H, W) or (H, W, 3) of stored pixels."""
    several = int(dataset.get("NumberOfFrames") or 1) > 1
    return list(stored) if several else [stored]


def _shown(frame: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """Return (H, W, C) uint8 in which text stands out as it does on a screen: the whole range of the values."""
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        frame = apply_color_lut(frame, dataset)[..., :3]
    values = frame.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    scaled = np.rint((values - low) * (255 / (high - low))) if high > low else np.zeros_like(values)
    return (scaled if scaled.ndim == 3 else scaled[..., None]).astype(np.uint8)


def _put_pixels(dataset: Dataset, frames: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Put decoded frames back, uncompressed; colour has become RGB while it was decoded (PS3.3 C.7.6.3.1)."""
    for keyword in _GONE:
        if keyword in dataset:
            delattr(dataset, keyword)
    content = frames.reshape(shape).astype(frames.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB" if int(dataset.BitsAllocated) <= 8 else "OW"
    dataset["PixelData"].is_undefined_length = False
    if int(dataset.get("SamplesPerPixel") or 1) == 3:
        dataset.PhotometricInterpretation = "RGB"
        dataset.PlanarConfiguration = 0
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
