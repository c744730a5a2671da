"""A model from where it lies: a run's folder, or a bundle somebody made of one."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medimg_cli.errors import MachineError, RunError
from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.ood_reference import references_of
from medimg_cli.inference.predictor import NO_NUMBER, members_of, quick_predictor
from medimg_cli.inference.similar_cases import SimilarCases, similar_cases_of
from medimg_cli.runs.bundle import ABOUT, About, is_bundle, unpacked
from medimg_cli.runs.explanation import Explanation, read_explanation
from medimg_cli.runs.run import Run, read_model
from medimg_cli.runs.tested import Tested, tested_of, withheld_sets
from medimg_cli.workspace.plain_text import reason_of
from medimg_cli.workspace.threads import limit_this_process

_TRIAL_SECONDS = 120
_TRIAL_BYTES = 4 << 30
"""What opening a bundle and answering one image may take, beside four times the bundle's own size of memory."""
_TRIAL = "import sys; sys.path[:] = {path!r}; from medimg_cli.inference.load import try_out; try_out({folder!r}, {limit})"
_AGAIN = "copy or download it again; `medimg bundle` writes one"
_tried: set[tuple[str, int, int]] = set()


@dataclass(frozen=True)
class Opened:
    """A model in memory; the place it came from may go.

    Args:
        classifier: answers.
        about: what people stated about it; None of a run's folder, whose workspace knows.
        explained: what is known of its heat maps; None where nobody has looked at them.
        tested: what was measured on test at its threshold; None where that was not.
        similar: training images to compare with; None unless whoever made the bundle asked for them.
    """

    classifier: Classifier
    about: About | None = None
    explained: Explanation | None = None
    tested: Tested | None = None
    similar: SimilarCases | None = None


def open_classifier(place: Path) -> Classifier | None:
    """Return the model at `place`, ready to answer without torch; None where a network has no ONNX copy.

    Args:
        place: a run's folder, or the file of a bundle.

    Raises:
        RunError: it cannot be used; a bundle also where something in it is not what `medimg bundle` writes.
    """
    opened = open_model(place)
    return None if opened is None else opened.classifier


def open_model(place: Path) -> Opened | None:
    """Return the model at `place` and the facts about it; arguments and errors as of `open_classifier`."""
    if not is_bundle(place):
        return _opened(Run(place))
    with unpacked(place) as folder:
        _try_out_apart(place, folder)
        opened = _opened(Run(folder))
        if opened is None:
            raise RunError(f"{place} lacks the ONNX copy of a network", "`medimg bundle` writes whole ones")
        return opened


def _opened(run: Run) -> Opened | None:
    card = run.read_card()
    predictor = quick_predictor(run)
    if predictor is None:
        return None
    path = run.folder / ABOUT
    about = read_model(path, About, _AGAIN) if path.is_file() else None
    tested = about.tested if about is not None else tested_of(run, card)
    withheld = about.withheld_sets if about is not None else withheld_sets(run, card)
    classifier = Classifier(predictor, references_of(members_of(run, card)), withheld)
    return Opened(
        classifier,
        about=about,
        explained=read_explanation(run, card),
        tested=tested if tested is not None and tested.is_of(card) else None,
        similar=similar_cases_of(run.folder, classifier),
    )


def _try_out_apart(place: Path, folder: Path) -> None:
    """Have another process open a bundle and answer one image, within limits; once for a file in a process.

    Raises:
        RunError: it cannot, takes too much time or memory, or brings that process down.
        MachineError: no process can be started.
    """
    state = place.stat()
    key = (str(place.absolute()), state.st_mtime_ns, state.st_size)
    if key in _tried:
        return
    code = _TRIAL.format(path=sys.path, folder=str(folder), limit=_TRIAL_BYTES + 4 * state.st_size)
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}  # each reserves memory
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_SECONDS,
            check=False,
            env=os.environ | one_thread,
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(
            f"{place} is refused: one image takes longer than {_TRIAL_SECONDS} s", _AGAIN
        ) from error
    except OSError as error:
        raise MachineError(
            f"cannot try {place} out: {error.strerror or error}", "free some memory"
        ) from error
    output = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode != 0 or output != "ok":
        with suppress(ValueError, TypeError):
            raise RunError(*json.loads(output))
        raise RunError(
            f"{place} is refused: it brings down whoever opens it, or asks for too much memory", _AGAIN
        )
    _tried.add(key)


def try_out(folder: str, most_bytes: int) -> None:
    """Open the model of a folder and answer one image, in a process of its own; print "ok", or the error as JSON.

    Args:
        most_bytes: of memory that this process may take.
    """
    limit_this_process(most_bytes, _TRIAL_SECONDS)
    try:
        opened = _opened(Run(Path(folder)))
        if opened is not None:
            recipe = opened.classifier.card.recipe
            shape, most = (recipe.size_px, recipe.size_px, recipe.channels), np.iinfo(recipe.dtype).max
            pixels: Any = np.random.default_rng(0).integers(most, size=shape, dtype=recipe.dtype)
            image = DecodedImage(pixels, recipe.bits)
            prediction, _ = opened.classifier.with_maps(opened.classifier.prepare(image))
            if prediction.message.startswith(NO_NUMBER):
                raise RunError(NO_NUMBER, _AGAIN)
    except RunError as error:
        sys.stdout.write(json.dumps([error.what, error.hint]))
    except (
        Exception,
        RecursionError,
    ) as error:  # whatever a stranger's file makes fail, it is that file's fault
        sys.stdout.write(json.dumps([f"{folder} cannot be used: {reason_of(error)}", _AGAIN]))
    else:
        sys.stdout.write("ok")
