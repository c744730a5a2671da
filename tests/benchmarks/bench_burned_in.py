"""How much burned-in text is found and what it costs.

    python -m tests.benchmarks.bench_burned_in drawn FOLDER [--seed 1]     # 170 pictures drawn over those of FOLDER
    python -m tests.benchmarks.bench_burned_in real FOLDER [--sample 40]   # the pictures of FOLDER as they are

Prints one JSON object. Seconds are CPU time of the whole process. Texts of real pictures are shown masked.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg_cli.audit.checks.burned_in_text import Picture, Survey, expects_text, survey
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.privacy.forms.names import mask
from medimg_cli.privacy.pixels.text_policy import classify_line
from medimg_cli.privacy.pixels.text_reading import TextLine, line_reader, read_regions, read_whole
from medimg_cli.privacy.pixels.text_regions import find_text_regions
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.threads import map_ordered
from tests.privacy.text_cohort import Drawn, draw_cohort

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".dcm")


def backgrounds(folder: Path, most: int = 60) -> list[NDArray[np.uint8]]:
    """Return grey pictures (H, W) of a folder, evenly taken."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = paths[:: max(1, len(paths) // most)][:most]
    return [read_image(str(path)).as_uint8()[..., 0] for path in chosen]


def judge_all(drawn: Sequence[Drawn]) -> tuple[list[set[str]], dict[str, float]]:
    """Return what the cascade says of each picture (its meanings), and seconds a picture of each pass."""
    reader = line_reader()
    regions, first = _timed(lambda: [find_text_regions(picture.pixels) for picture in drawn])
    lines, second = _timed(
        lambda: [
            read_regions(picture.pixels, found, reader) if found else []
            for picture, found in zip(drawn, regions, strict=True)
        ]
    )
    _, whole = _timed(lambda: [read_whole(picture.pixels, reader) for picture in drawn[:10]])
    megapixels = sum(picture.pixels.size for picture in drawn) / 1e6
    seconds = {
        "first_pass_per_image": first / len(drawn),
        "first_pass_per_megapixel": first / megapixels,
        "reading_regions_per_image": second / len(drawn),
        "reading_whole_per_image": whole / 10,
        "regions_per_image": sum(map(len, regions)) / len(drawn),
    }
    return [_meanings(found) for found in lines], seconds


def shares(drawn: Sequence[Drawn], meanings: Sequence[set[str]]) -> dict[str, dict[str, float]]:
    """Return, by kind and tone, the share of pictures called an identity, and of those called that or text."""
    table: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(_group(picture) for picture in drawn):
        said = [found for picture, found in zip(drawn, meanings, strict=True) if _group(picture) == name]
        table[name] = {
            "pictures": len(said),
            "identity": sum("identity" in found for found in said) / len(said),
            "identity_or_text": sum(bool(found & {"identity", "text"}) for found in said) / len(said),
        }
    return table


def drawn_report(folder: Path, seed: int) -> dict[str, Any]:
    drawn = list(draw_cohort(backgrounds(folder), seed=seed))
    meanings, seconds = judge_all(drawn)
    return {
        "shares": shares(drawn, meanings),
        "missed": [
            f"{picture.text} ({picture.tone}, {picture.height_px} px)"
            for picture, found in zip(drawn, meanings, strict=True)
            if picture.kind == "identity" and "identity" not in found
        ],
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
    }


def real_report(folder: Path, sample: int) -> dict[str, Any]:
    paths = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    pictures, first = _timed(lambda: [p for p in map_ordered(_picture, paths) if p is not None])
    _, decoding = _timed(lambda: [_decoded(path) for path in paths[:: max(1, len(paths) // 200)]])
    found, second = _timed(lambda: survey(pictures, read_image, SilentProgress(), sample=sample, seed=0))
    return {
        "pictures": len(pictures),
        "flagged": found.flagged,
        "read": len(found.read),
        "sample": len(found.sample),
        "missed": found.missed,
        "missed_at_most": round(found.missed_at_most, 3),
        "seconds": {
            "decoding_and_first_pass": round(first, 1),
            "decoding_alone_per_image": round(decoding / len(paths[:: max(1, len(paths) // 200)]), 5),
            "reading": round(second, 1),
        },
        **_said(found),
    }


def _said(found: Survey) -> dict[str, Any]:
    lines = [pair for part in (found.read, found.sample) for texts in part.values() for pair in texts]
    meanings = Counter(judged.meaning for _, judged in lines)
    texts: dict[str, Counter[str]] = {}
    for line, judged in lines:
        shown = line.text if judged.meaning == "marker" else mask(line.text)
        texts.setdefault(f"{judged.meaning} {'/'.join(judged.kinds)}".strip(), Counter())[shown] += 1
    images = Counter(
        meaning
        for part in (found.read, found.sample)
        for texts_of_one in part.values()
        for meaning in {judged.meaning for _, judged in texts_of_one}
    )
    return {
        "lines": dict(meanings),
        "images": dict(images),
        "texts": {name: dict(counts.most_common(12)) for name, counts in texts.items()},
    }


def _picture(path: str) -> Picture | None:
    pixels = _decoded(path)
    if pixels is None:
        return None
    return Picture(path, path, tuple(find_text_regions(pixels)), expects_text(path))


def _decoded(path: str) -> NDArray[Any] | None:
    try:
        return read_image(path).pixels
    except UnreadableImage:
        return None


def _group(picture: Drawn) -> str:
    return f"{picture.kind} {picture.tone}".strip()


def _meanings(lines: Sequence[TextLine]) -> set[str]:
    return {str(classify_line(line).meaning) for line in lines}


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.process_time()
    result = work()
    return result, time.process_time() - begin


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="measure the finding of burned-in text")
    parser.add_argument("what", choices=("drawn", "real"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=40)
    given = parser.parse_args()
    if given.what == "drawn":
        report = drawn_report(given.folder, given.seed)
    else:
        report = real_report(given.folder, given.sample)
    sys.stdout.write(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
