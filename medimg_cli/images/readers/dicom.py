"""DICOM images, by pydicom and its decoders; they are imported when the first such file is met, as none may be."""

from types import ModuleType

from medimg_cli.errors import MachineError
from medimg_cli.images.image import DecodedImage, ReadOptions
from medimg_cli.images.readers import READERS, Content, Reader


def read_dicom(content: Content, member: str | None, options: ReadOptions) -> DecodedImage:
    """Return a DICOM image, see `dicom_files.pixels.read_dicom`.

    Raises:
        UnreadableImage: as there.
        MachineError: pydicom is not installed as it should be.
    """
    image: DecodedImage = _pixels().read_dicom(content, member, options)
    return image


def count_frames(content: Content, member: str | None) -> int:
    """Return Number of Frames, see `dicom_files.pixels.count_frames`; raises as `read_dicom`."""
    frames: int = _pixels().count_frames(content, member)
    return frames


def _pixels() -> ModuleType:
    try:
        from medimg_cli.images.dicom import pixels
    except ImportError as error:
        raise MachineError(f"DICOM files cannot be read: {error}", "install medimg again") from error
    return pixels


READERS.register("dicom")(
    Reader(
        formats=("dicom",),
        needs=(
            "pydicom",
            "pylibjpeg",
            "pylibjpeg-openjpeg",
            "pylibjpeg-rle",
            "pyjpegls",
            "python-gdcm",
        ),
        read=read_dicom,
        count=count_frames,
    )
)
