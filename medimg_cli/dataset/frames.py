"""Files of several frames: which of them become images."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from medimg_cli.dataset.listing import Entry, Rejected

_FRAME = re.compile(r"#frame/\d+$")


def choose_frames(entry: Entry, frames: str, frame_count: Callable[[str], int]) -> Iterator[Entry | Rejected]:
    """Yield the images to take from one listed file: itself where it has one frame.

    With "all" or "every:5" (frames 0, 5, 10 …), each frame is an image of its own id (`a.dcm#frame/3`, from 0); else the file stays one image.

    Args:
        frames: middle (the reader's own choice), first, all, every:N, or the number of a frame.
        frame_count: tells the frames of a path, 1 for what cannot be read: decoding it says why.
    """
    count = 1 if frames == "middle" else frame_count(entry.path)
    if count == 1:
        yield entry
    elif frames == "all" or frames.startswith("every:"):
        for number in range(0, count, int(frames.partition(":")[2] or 1)):
            member = f"#frame/{number}"
            yield replace(
                entry,
                image_id=f"{entry.image_id}{member}",
                path=f"{entry.path}{member}",
                relative=f"{entry.relative}{member}",
            )
    else:
        number = 0 if frames == "first" else int(frames)
        if number < count:
            yield replace(entry, path=f"{entry.path}#frame/{number}")
        else:
            yield Rejected(entry.path, f"has {count} frames, counted from 0: no frame {number}")


def without_frame(image_id: str) -> str:
    """Return the id of the file an image is a frame of, or the id itself.

    >>> without_frame("SICK/a.dcm#frame/3")
    'SICK/a.dcm'
    """
    return _FRAME.sub("", image_id)
