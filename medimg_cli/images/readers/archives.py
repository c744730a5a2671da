"""Images inside .zip, .tar and .tar.gz archives: `set.zip#folder/a.png`, `set.zip#scan.dcm#frame/3`."""

import io
from pathlib import Path
from typing import BinaryIO

from medimg_cli.images.archives import has_member, read_member
from medimg_cli.images.decoding import foreign_decoder
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage, split_frame
from medimg_cli.images.readers import READERS, Content, Reader, count_content, read_content


def read_archive_image(content: Content, member: str | None, options: ReadOptions) -> DecodedImage:
    """Return the image in a file of an archive, by that file's own reader; its bytes are held in memory.

    Raises:
        UnreadableImage: no member is named, or as `images.archives.read_member` and the member's reader say.
    """
    with foreign_decoder():
        stream, name, frame = _open_member(content, member)
        return read_content(stream, name, frame, options)


def count_frames(content: Content, member: str | None) -> int:
    """Return how many frames the image in a file of an archive has; raises as `read_archive_image`."""
    stream, _, frame = _open_member(content, member)
    return count_content(stream, frame)


def _open_member(content: Content, member: str | None) -> tuple[BinaryIO, str, str | None]:
    """Return (its bytes, its name, the frame that is asked for)."""
    if content.path is None:
        raise UnreadableImage("an archive inside an archive; unpack the outer one")
    if member is None:
        if content.image_format == "gzip":
            raise UnreadableImage(
                "compressed by gzip; of a .tar.gz, images are named as FILE.tar.gz#image.png"
            )
        raise UnreadableImage("an archive; its images are named as ARCHIVE#folder/image.png")
    name, frame = (member, None) if has_member(content.path, member) else split_frame(member)
    stream = io.BytesIO(read_member(content.path, name))
    return stream, Path(name).name, None if frame is None else f"frame/{frame}"


READERS.register("archives")(
    Reader(formats=("zip", "tar", "gzip"), needs=("pillow",), read=read_archive_image, count=count_frames)
)
