"""Heat maps small enough for a page: the evidence of an image that a run has answered, as a `data:` address."""

import base64
import math
from io import BytesIO
from pathlib import Path

from medimg_cli.images.readers import read_image
from medimg_cli.inference.explaining import evidence_in
from medimg_cli.inference.heatmap import gives_maps, overlay
from medimg_cli.inference.predictor import Predictor, quick_predictor
from medimg_cli.runs.explanation import Explanation, read_explanation
from medimg_cli.runs.run import Run

_SIDE_PX = 280
_JPEG_QUALITY = 85


class CasePictures:
    """Draws heat maps of one model.

    Args:
        predictor: gives maps.
        known: of the same model.
    """

    def __init__(self, predictor: Predictor, known: Explanation) -> None:
        self._predictor, self._known = predictor, known

    def of(self, path: str, label: str) -> str:
        """Return the picture with the evidence for `label`; raises `UnreadableImage`."""
        whole, heat = evidence_in(self._predictor, path, label, read_image)
        drawn = overlay(
            whole, self._predictor.card.recipe, heat, full=self._known.full or math.inf, max_px=_SIDE_PX
        )
        buffer = BytesIO()
        drawn.save(buffer, "JPEG", quality=_JPEG_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def known_of(folder: Path) -> Explanation | None:
    """Return what is known of a run's heat maps, None where nobody looked; raises `RunError`."""
    run = Run(folder)
    return read_explanation(run, run.read_card())


def case_pictures(folder: Path, known: Explanation) -> CasePictures | None:
    """Return what draws a run's heat maps, None where they are withheld or need torch; raises `RunError`."""
    predictor = quick_predictor(Run(folder)) if known.passed else None
    return CasePictures(predictor, known) if predictor is not None and gives_maps(predictor) else None
