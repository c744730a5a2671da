"""medimg: classify medical images, from raw files to a report a reviewer accepts.

Decision support for research; not a medical device.
"""

import os

# ONNX Runtime 1.29 and later tell their maker of every process and model, and keep an identifier on the disk, unless this
# is set before they are first imported (github.com/microsoft/onnxruntime/pull/27379). Nothing of medimg calls home.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
