"""Features of a frozen network, computed once for each image and kept on the disk.

    cache/features-<key>/NNNNNNNNNNNNNNNN.npz    digests (N,) of the images' pixels, features (N, …) float32

The key names the network's weights and everything else that its features rest on but the pixels, and those are named by
their own hash, so a feature holds for whichever split, data set or command meets the same image again. Files are
written whole and never change; one that is damaged is deleted and its images are looked at again.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg_cli.workspace.files import atomic_path

_DAMAGES = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def digest_of(image: NDArray[Any]) -> str:
    """Return what an image's pixels are known by: 32 hex digits of the SHA-256 of shape, type and content."""
    about = f"{image.shape}{image.dtype}".encode()
    return hashlib.sha256(about + np.ascontiguousarray(image).data).hexdigest()[:32]


class FeatureCache:
    """The features of one network.

    Args:
        cache_dir: the workspace's `cache/`.
        rests_on: what the features depend on besides the pixels: weights, architecture, normalisation, device.
    """

    def __init__(self, cache_dir: Path, rests_on: Sequence[object]) -> None:
        key = hashlib.sha256(repr(rests_on).encode()).hexdigest()[:16]
        self.folder = cache_dir / f"features-{key}"
        self._known: dict[str, NDArray[np.float32]] = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
                    self._known |= dict(zip(held["digests"].tolist(), held["features"], strict=True))
            except _DAMAGES:
                path.unlink(missing_ok=True)

    def get(self, digest: str) -> NDArray[np.float32] | None:
        """Return the features of an image, None where it was not looked at yet."""
        return self._known.get(digest)

    def add(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        """Keep the features (N, …) of images."""
        if not len(digests):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
        with atomic_path(self.folder / f"{name}.npz") as temporary, temporary.open("wb") as stream:
            np.savez(stream, digests=np.array(digests), features=features)
        self._known |= dict(zip(digests, features, strict=True))
