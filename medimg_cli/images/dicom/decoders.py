"""Which of pydicom's decoders unpacks a frame, and which is asked when it fails."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGExtended12Bit

from medimg_cli.images.image import UnreadableImage

# pylibjpeg's plug-in logs what libopenjpeg says; without a handler Python would print it on stderr.
logging.getLogger("_openjpeg").addHandler(logging.NullHandler())
logging.getLogger("openjpeg").addHandler(logging.NullHandler())

_ORDER = ("pillow", "pyjpegls", "pylibjpeg", "pydicom")
_ORDER_OF_JPEG_2000 = ("pylibjpeg", "pillow")  # Pillow loses the sign and some depths of JPEG 2000


def stored_values(dataset: Dataset, frame: int, syntax: UID) -> NDArray[Any]:
    """Return one frame's samples, (H, W) or (H, W, 3), colour already as RGB.

    Raises:
        UnreadableImage: every decoder gave up, or none is installed.
    """
    failure: Exception | None = None
    for decoder in _decoders(syntax):
        try:
            return np.asarray(pixel_array(dataset, index=frame, decoding_plugin=decoder))
        except (RuntimeError, NotImplementedError) as error:  # what pydicom raises when a decoder gave up
            failure = error
    if syntax == JPEGExtended12Bit and int(dataset.get("BitsStored") or 0) > 8:
        reason = "JPEG Extended of 12 bits, which of the decoders only pylibjpeg-libjpeg reads"
    else:
        reason = f"pixels damaged, or coded as no installed decoder reads ({syntax.name})"
    raise UnreadableImage(reason) from failure


def _decoders(syntax: UID) -> tuple[str, ...]:
    """Return pydicom's plug-ins that can be used for a syntax, in the order to ask them; "" lets pydicom choose.

    gdcm is asked only where it stands alone (lossless JPEG): a damaged lossy JPEG makes it end the whole process
    (an exception in C++ that nobody catches), and what its libraries complain of they print on stderr.
    """
    if not syntax.is_encapsulated:
        return ("",)
    try:
        available = get_decoder(syntax).available_plugins
    except NotImplementedError:  # a syntax pydicom does not know: its own refusal comes with the call
        return ("",)
    order = _ORDER_OF_JPEG_2000 if syntax in JPEG2000TransferSyntaxes else _ORDER
    return tuple(name for name in order if name in available) or ("",)
