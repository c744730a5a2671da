"""The one place that imports torchvision.

torchvision's wheel is built for CUDA; beside a CPU-only torch its C++ part does not load, and importing it
fails because the operators it registers Python code for do not exist. Declaring the two (no classifier calls
them) lets the import pass.
"""

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _declare_missing_operators() -> torch.library.Library | None:
    missing = [name for name in ("nms", "qnms") if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in missing:
        library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]
    return library


# The declarations live as long as this object; without a built C++ part nothing else declares them.
_DECLARED = None
try:
    import torchvision
except RuntimeError as error:
    if "does not exist" not in str(error):
        raise
    _DECLARED = _declare_missing_operators()
    import torchvision

__all__ = ["torchvision"]
