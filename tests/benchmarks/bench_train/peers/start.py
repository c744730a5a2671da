"""Start a driver: `python -m tests.benchmarks.bench_train.peers.start drive_plain --train …`.

torchvision's wheel from a package index is built for CUDA. Beside a CPU-only torch its C++ part does not load, and
importing it fails because two operators do not exist that it registers Python code for. No classifier calls them;
declaring them lets torchvision, and all that imports it, load.
"""

import importlib
import sys
from importlib.util import find_spec
from typing import Any


def declare_missing_operators() -> Any:
    """Declare `nms` and `qnms` where torchvision's own C++ part cannot; return what holds the declaration."""
    if find_spec("torchvision") is None:
        return None
    import torch  # only some environments have it

    if torch.version.cuda is not None:
        return None  # the wheels fit each other
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


if __name__ == "__main__":
    kept = declare_missing_operators()
    driver = sys.argv.pop(1)
    importlib.import_module(f"{__package__}.{driver}").main()
