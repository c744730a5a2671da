"""DICOM images, by pydicom and its decoders; they are imported when the first such file is met, as none may be."""

from typing import Any

from medimg_cli.errors import MachineError
from medimg_cli.images.readers import READERS, Reader

_NEEDS = "pydicom pylibjpeg pylibjpeg-openjpeg pylibjpeg-rle pyjpegls python-gdcm"


def _pixels() -> Any:
    """Return the module `images.dicom.pixels`; raises `MachineError` where pydicom is not installed as it should be."""
    try:
        from medimg_cli.images.dicom import pixels
    except ImportError as error:
        raise MachineError(f"DICOM files cannot be read: {error}", "install medimg again") from error
    return pixels


READERS.register("dicom")(
    Reader(
        formats=("dicom",),
        needs=tuple(_NEEDS.split()),
        read=lambda content, member, options: _pixels().read_dicom(content, member, options),
        count=lambda content, member: _pixels().count_frames(content, member),
    )
)
