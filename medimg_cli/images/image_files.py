"""The files behind the rows of a manifest: on disk or in an archive, each once however many frames it has."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medimg_cli.images.archives import read_member
from medimg_cli.images.image import split_frame, split_member
from medimg_cli.workspace.workspace import Workspace

_ARRAYS = (".npz", ".npy")


@dataclass(frozen=True)
class ImageFile:
    """A file that holds one image or the frames of one.

    Args:
        path: absolute; the archive, when it is a member of one.
        member: its name in the archive; "" for a file on disk.
    """

    path: Path
    member: str = ""

    def content(self) -> Path | bytes:
        """Return where the file is, or what a member of an archive holds.

        Raises:
            UnreadableImage: the archive cannot be read, or has no such member.
        """
        return read_member(self.path, self.member) if self.member else self.path


def image_files(workspace: Workspace, rows: pd.DataFrame) -> dict[ImageFile, list[str]]:
    """Return each file of `rows` (image_id, path) with the ids of its images; arrays, which are no files, left out."""
    files: defaultdict[ImageFile, list[str]] = defaultdict(list)
    for image_id, path in zip(rows["image_id"], rows["path"], strict=True):
        absolute = workspace.absolute(path)
        # A plain file may have a `#` in its name.
        file, member = (absolute, None) if Path(absolute).is_file() else split_member(absolute)
        if file.lower().endswith(_ARRAYS):
            continue
        inner = "" if member is None or member.startswith(("frame/", "page/")) else split_frame(member)[0]
        files[ImageFile(Path(file), inner)].append(str(image_id))
    return dict(files)
