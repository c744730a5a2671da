"""What a pre-trained network sees in images: features from its last layer but one, nothing trained."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.preprocessing.cache import FeatureCache, digest_of
from medimg_cli.runs.weights_origin import architecture_of
from medimg_cli.training.device import Normaliser, choose_device, prepare_processor
from medimg_cli.training.networks.backbone import HEADS
from medimg_cli.training.networks.networks import IMAGENET, build_network, load_pretrained, torchvision_names
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.threads import map_ordered

# SqueezeNet on PneumoniaMNIST found as many flipped labels as at 224 px, at a quarter of the time.
SIDE_PX = 128
# Their position codes are learnt for one size.
_FIXED_SIZE = ("vit_", "maxvit", "swin")
_FIXED_SIDE_PX = 224
_BATCH = 32


class Embedding:
    """A frozen network of torchvision that turns images into features.

    Args:
        weights: file of weights whose name begins with the architecture, such as `resnet18-f37072fd.pth`.
        read: takes an absolute path, or one of a member, and returns its pixels.
        progress: notified of every image.
        device: "auto", "cpu", "cuda", "mps".
        cache_dir: the workspace's `cache/`, where features are kept; None keeps none.

    Raises:
        UsageError: the file's name says no architecture.
        RunError: the file is missing, unreadable or not of this architecture.
    """

    def __init__(
        self,
        weights: Path,
        read: Callable[[str], DecodedImage],
        *,
        progress: Progress = SilentProgress(),
        device: str = "auto",
        cache_dir: Path | None = None,
    ) -> None:
        prepare_processor()
        name = _architecture(weights)
        self.side_px = _FIXED_SIDE_PX if name.startswith(_FIXED_SIZE) else SIDE_PX
        network = build_network(name, classes=2, channels=3, size_px=self.side_px)
        fresh = load_pretrained(network, name, str(weights))
        lacking = [key for key in fresh if not _counts(key)]
        if lacking:
            raise RunError(
                f"{weights} lacks {len(lacking)} weights of {name}, such as {lacking[0]}",
                "give a complete file, or --weights none",
            )
        self._device = choose_device(device)
        self._normaliser = Normaliser(IMAGENET, self._device)
        self._body = _without_head(network).eval().to(self._device)
        rests_on = ["embedding", name, self.side_px, self._device.type]
        self._kept = FeatureCache(cache_dir, [*rests_on, sha256_of_file(weights)]) if cache_dir else None
        self._read = read
        self._progress = progress

    def __call__(self, paths: Sequence[str]) -> NDArray[np.float32]:
        """Return the features (N, D) of the images at absolute `paths`, each of variance 1 or less.

        Raises:
            DataError: an image cannot be read any more.
        """
        self._progress.start("looking with a pre-trained network", len(paths))
        try:
            parts = list(self._batches(paths))
        finally:
            self._progress.finish()
        if not parts:
            return np.empty((0, 0), dtype=np.float32)
        features = np.concatenate(parts)
        # Some of a network's outputs are a hundred times as large as others, whatever they mean.
        spread = features.std(axis=0) + np.float32(1e-3)
        scaled: NDArray[np.float32] = (features - features.mean(axis=0)) / spread
        return scaled

    def _batches(self, paths: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        picture = partial(_picture, read=self._read, side_px=self.side_px)
        pictures, fresh = map_ordered(picture, paths, task="features"), dict[str, NDArray[np.float32]]()
        try:
            while batch := list(islice(pictures, _BATCH)):
                if self._kept is None:
                    yield self._look(batch)
                else:
                    names = [digest_of(picture) for picture in batch]
                    found = {name: self._kept.get(name) for name in names}
                    lacking = [place for place, name in enumerate(names) if found[name] is None]
                    if lacking:
                        seen = self._look([batch[place] for place in lacking])
                        fresh |= dict(zip([names[place] for place in lacking], seen, strict=True))
                    yield np.stack(
                        [fresh[name] if (known := found[name]) is None else known for name in names]
                    )
                self._progress.advance(len(batch))
        finally:  # also what was seen before an end by the user
            if self._kept is not None and fresh:
                self._kept.add(list(fresh), np.stack(list(fresh.values())))

    def _look(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the features (B, D) of pictures (side_px, side_px, 3)."""
        with torch.inference_mode():
            images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
            seen = cast(Tensor, self._body(self._normaliser(images)))
            pooled = seen.mean(dim=(2, 3)) if seen.ndim == 4 else seen
            found: NDArray[np.float32] = pooled.float().cpu().numpy()
        return found


def _picture(path: str, *, read: Callable[[str], DecodedImage], side_px: int) -> NDArray[np.uint8]:
    """Return (side_px, side_px, 3); like thumbnails it does not keep the side ratio."""
    try:
        pixels = read(path).as_uint8()
    except UnreadableImage as reason:
        raise DataError(f"{path}: {reason}", "run `medimg ingest` again") from reason
    colour = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    image = Image.fromarray(np.ascontiguousarray(colour))
    return np.array(image.resize((side_px, side_px), Image.Resampling.BILINEAR))


def _architecture(weights: Path) -> str:
    name = architecture_of(weights.name, torchvision_names())
    if name is None:
        raise UsageError(
            f"--weights {weights}: the name of the file says no architecture",
            "call it as torchvision does, such as resnet18-f37072fd.pth",
        )
    return name


def _counts(key: str) -> bool:
    """Return whether a weight may be missing: it belongs to the head, or only counts batches."""
    return key.split(".")[0] in HEADS or key.endswith("num_batches_tracked")


def _without_head(network: nn.Module) -> nn.Module:
    features = getattr(network, "features", None)
    if isinstance(features, nn.Module):
        return features
    for head in HEADS:
        if isinstance(getattr(network, head, None), nn.Module):
            setattr(network, head, nn.Identity())
            break
    return network
