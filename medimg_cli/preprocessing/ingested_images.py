"""Images as they were ingested: read, or refused where the file is another one by now."""

from pathlib import Path

from medimg_cli.errors import DataError
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.workspace.files import sha256_of_file

_AGAIN = "run `medimg ingest` again: it takes the file as it is now, or says why it cannot"


def read_ingested(image_id: str, path: str, options: ReadOptions) -> DecodedImage:
    """Return an image of the manifest.

    Raises:
        DataError: it can no longer be read.
    """
    try:
        return read_image(path, options)
    except UnreadableImage as error:
        raise DataError(f"'{image_id}' can no longer be read: {error}", _AGAIN) from error


def refuse_changed(image_id: str, path: Path, sha256: str) -> None:
    """Compare a file with its row in the manifest; an archive's member has no file of its own to compare.

    Raises:
        DataError: it is another one, or cannot be read.
    """
    try:
        changed = path.is_file() and sha256_of_file(path) != sha256
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"'{image_id}' can no longer be read: {reason}", _AGAIN) from error
    if changed:
        raise DataError(f"'{image_id}' is another file than the one that was ingested", _AGAIN)
