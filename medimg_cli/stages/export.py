"""export: a run → one ONNX file that needs nothing of medimg, held against medimg before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medimg_cli import __version__
from medimg_cli.errors import DataError, GateError, RunError, UsageError
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.load import open_classifier
from medimg_cli.inference.onnx_graph import StandaloneModel, one_graph
from medimg_cli.inference.onnx_network import as_input
from medimg_cli.inference.predictor import members_of
from medimg_cli.predictions.decide import decide
from medimg_cli.preprocessing.probe_images import Shown
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.workspace.files import atomic_path, sha256_of_file
from medimg_cli.workspace.progress import Progress, SilentProgress, tracked
from medimg_cli.workspace.table_form import SUFFIX
from medimg_cli.workspace.tables import read_table, write_table

LIMIT = 1e-4
"""Most that a probability may differ."""
NOTICE = "Decision support for research. Not a medical device, and not for diagnosis."


@dataclass(frozen=True)
class Compared:
    """The exported file beside medimg.

    Args:
        images: how many were answered by both.
        difference: the largest of any probability.
        kind: what they were, in words.
        alone: how many the file's side read and resized without medimg; the others came as pixels.
        unreadable: how many files were no images that medimg reads.
        other_decisions: how many were decided otherwise, their probability being within that difference of a threshold.
    """

    images: int
    difference: float
    kind: str
    alone: int = 0
    unreadable: int = 0
    other_decisions: int = 0


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Args:
        outputs: the names of the graph's outputs.
        on_pixels: compared on pixels that the recipe had made.
        on_files: compared from the files on; None where that was not asked for.
    """

    out: Path
    sha256: str
    size_bytes: int
    networks: int
    outputs: tuple[str, ...]
    on_pixels: Compared
    on_files: Compared | None


def export_table(table: Path, out: Path | None = None) -> Path:
    """Write a table that is kept as Parquet as CSV, and return where.

    Args:
        out: where; `NAME.csv` in the current folder.

    Raises:
        UsageError: it is none, or the CSV would stand beside a table of its name, so that none of the two counted.
        DataError, MachineError: as of `read_table`.
    """
    target = out or Path(f"{table.stem}.csv")
    if table.suffix != SUFFIX or target.suffix != ".csv":
        raise UsageError(
            f"--table {table} --out {target}: a table is written from .parquet to .csv",
            "name such a file, as dataset/manifest.parquet",
        )
    if target.with_suffix(SUFFIX).exists():
        raise UsageError(
            f"{target} would stand beside {target.stem}{SUFFIX}, and one of them counts",
            "name another --out; one that is edited counts once it has taken the place of the Parquet file",
        )
    write_table(target, read_table(table))
    return target


def check_out(out: Path, run: Run) -> None:
    """Refuse a place that an exported file must not take.

    Raises:
        UsageError: it is no .onnx, or one that the run answers from.
    """
    if out.suffix.lower() != ".onnx":
        raise UsageError(f"--out {out} is not a .onnx file", "name a file .onnx")
    if out.absolute().is_relative_to(run.folder.absolute()) and out.name == run.onnx_path.name:
        raise UsageError(f"--out {out} is the copy that the run answers from", "choose another name")


def export(
    run: Run,
    out: Path,
    shown: Shown,
    *,
    facts: Mapping[str, str] | None = None,
    files: Sequence[str] | None = None,
    progress: Progress = SilentProgress(),
) -> ExportResult:
    """Write the whole model as one ONNX file: from pixels to calibrated probabilities.

    Args:
        run: its networks have ONNX copies.
        shown: pixels that the file has to answer like medimg.
        facts: about the model that only people know.
        files: images that both have to answer alike from the file on; None for none.
        progress: notified of every file that is compared.

    Raises:
        UsageError: `out` is no name for it.
        RunError: the run cannot be used, has no copies, or is too large for one file.
        DataError: none of `files` can be read.
        GateError: a probability differs by more than 1e-4; nothing is written then.
    """
    check_out(out, run)
    classifier = open_classifier(run.folder)
    if classifier is None:
        raise RunError(f"run '{run.name}' has no ONNX copy", "`medimg export` writes it")
    members = members_of(run, classifier.card)
    metadata = metadata_of(run, classifier.card, [card.temperature for _, card in members], facts or {})
    networks = [(own.onnx_path, card) for own, card in members]
    content = one_graph(networks, metadata, classifier.card.recalibration)
    with atomic_path(out) as temporary:
        temporary.write_bytes(content)
        standalone = StandaloneModel(temporary)
        on_pixels = _on_pixels(classifier, standalone, shown)
        on_files = None if files is None else _on_files(classifier, standalone, files, progress)
        digest = sha256_of_file(temporary)
    if classifier.card.began_with is not None and classifier.card.began_with.restriction:
        progress.warn(classifier.card.began_with.restriction)
    return ExportResult(out, digest, len(content), len(members), standalone.outputs, on_pixels, on_files)


def metadata_of(
    run: Run, card: ModelCard, temperatures: Sequence[float], facts: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the file's metadata say, name → value, each to be written as JSON."""
    entry = card.model_dump(
        mode="json",
        include={"arch", "classes", "positive", "answers", "recipe", "threshold", "thresholds", "sets"},
    )
    return entry | {
        "medimg": __version__,
        "run": run.name,
        "notice": NOTICE,
        "input": f"pixels: N x {card.recipe.in_words()}, as floats of 0 to 255, last axis the channels",
        "temperatures": list(temperatures),
        "weights_sha256": card.weights_sha256,
        "began_with": card.began_with.model_dump() if card.began_with else None,
        "positives": list(card.labels.positives),
        "dataset_hash": card.fingerprint.dataset_hash,
        "train_images": card.fingerprint.train_images,
        "said": dict(facts),
        "versions": run.read_record().versions if run.record_path.is_file() else {},
    }


def _on_pixels(classifier: Classifier, standalone: StandaloneModel, shown: Shown) -> Compared:
    expected = classifier.predictor.of_pixels(shown.pixels)
    found = standalone.of_pixels(as_input(shown.pixels))
    difference = float(np.abs(found - expected).max())
    _gate(difference, f"one of {len(expected)} {shown.kind}")
    others = _other_decisions(classifier.card, expected, found)
    return Compared(len(expected), difference, shown.kind, other_decisions=others)


def _on_files(
    classifier: Classifier, standalone: StandaloneModel, files: Sequence[str], progress: Progress
) -> Compared:
    largest, images, by_itself, others = 0.0, 0, 0, 0
    for path in tracked(files, progress, "verify"):
        try:
            prepared = classifier.prepare(image := read_image(path, classifier.card.recipe.read_options))
        except UnreadableImage:
            continue
        expected = _probabilities(classifier([prepared])[0].probabilities)
        found = standalone.of_file(path) if standalone.makes_pixels else None
        by_itself += found is not None
        if found is None and standalone.makes_pixels:  # of a format that takes medimg to read
            eight_bits = image.as_uint8()
            found = standalone.of_picture(
                Image.fromarray(eight_bits[..., 0] if image.channels == 1 else eight_bits)
            )
        elif found is None:
            found = standalone.of_pixels(as_input(prepared.pixels[None]))[0]
        difference = float(np.abs(found - expected).max())
        _gate(difference, path)
        others += _other_decisions(classifier.card, expected[None], found[None])
        largest, images = max(largest, difference), images + 1
    if not images:
        raise DataError("no image to verify the exported file on", "name a folder of images by --data")
    return Compared(images, largest, "images", by_itself, len(files) - images, others)


def _other_decisions(card: ModelCard, expected: NDArray[np.float64], found: NDArray[np.float32]) -> int:
    """Return how many of N images both decide differently."""
    ours, theirs = (
        decide(answers.astype(np.float64), card.labels, card.threshold, card.thresholds).calls
        for answers in (expected, found)
    )
    return int((ours != theirs).any(axis=1).sum())


def _probabilities(named: Mapping[str, float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in named.values()])


def _gate(difference: float, image: str) -> None:
    if not difference <= LIMIT:  # also where it is no number
        raise GateError(
            f"the exported file answers {difference:.2g} otherwise than medimg about {image}; {LIMIT:g} is allowed",
            "nothing was written; please send us the run's model.json",
        )
