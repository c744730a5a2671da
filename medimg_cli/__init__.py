"""medimg: classify medical images, from raw files to a report a reviewer accepts.

Decision support for research; not a medical device.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medimg_cli.api.model import Answer, Answers, Model, load_model, predict
    from medimg_cli.api.stages import (
        Evaluated,
        bundle,
        deidentify,
        demo,
        download,
        evaluate,
        export,
        info,
        ingest,
        label_audit,
        preprocess,
        recalibrate,
        report,
        runs,
        sample_size,
        serve,
        train,
        tune,
    )
    from medimg_cli.errors import MedimgError
    from medimg_cli.workspace.settings import Settings
    from medimg_cli.workspace.workspace import Workspace

# ONNX Runtime 1.29 and later tell their maker of every process and model, and keep an identifier on the disk, unless this
# is set before they are first imported (github.com/microsoft/onnxruntime/pull/27379). Nothing of medimg calls home.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("Answer", "Answers", "Model", "load_model", "predict"), "api.model"),
    "MedimgError": "errors",
    "Settings": "workspace.settings",
    "Workspace": "workspace.workspace",
}
"""Where a public name stands that is not in `api.stages`."""
__all__ = [
    "Answer", "Answers", "Evaluated", "MedimgError", "Model", "Settings", "Workspace", "bundle", "deidentify", "demo",
    "download", "evaluate", "export", "info", "ingest", "label_audit", "load_model", "predict", "preprocess",
    "recalibrate", "report", "runs", "sample_size", "serve", "train", "tune",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Return a name of the public API, imported when it is first used: `import medimg_cli` loads nothing heavy."""
    if name not in __all__:
        raise AttributeError(f"module 'medimg_cli' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"medimg_cli.{_HOMES.get(name, 'api.stages')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
