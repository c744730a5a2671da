"""What is measured: the same images, network, size, epochs and batch for every tool."""

from dataclasses import dataclass, replace
from typing import Literal

_IMAGENET_MOBILENET = "weights/mobilenet_v2_imagenet_dequant_tvnorm.pth"


@dataclass(frozen=True)
class Scenario:
    """One comparison.

    Args:
        about: for the table.
        cohort: which of `COHORTS` makes the images.
        images: how many in train, val and test; the test part is predicted after the clock has stopped.
        arch: torchvision's name.
        pretrained: file of weights below the data folder; None = from scratch.
        freeze: the head alone is trained.
        tools: those measured unless others are asked for.
        minutes: one run of the plain script on two idle AVX2 cores, estimated; for the forecast only.
    """

    about: str
    cohort: Literal["perturbed", "subset"]
    images: dict[str, int]
    arch: str
    size_px: int
    epochs: int
    tools: tuple[str, ...]
    minutes: float
    pretrained: str | None = None
    freeze: bool = False
    batch: int = 32

    def scaled(self, images: int | None, epochs: int | None) -> "Scenario":
        """Return the same with `images` in train and val together, and as many epochs."""
        counts = dict(self.images)
        if images is not None:
            share = images / sum(counts.values())
            counts = {part: max(4, round(count * share / 2) * 2) for part, count in counts.items()}
        epochs = epochs or self.epochs
        work = sum(counts.values()) / sum(self.images.values()) * epochs / self.epochs
        return replace(self, images=counts, epochs=epochs, minutes=self.minutes * work)


SCENARIOS = {
    "small": Scenario(
        about="resnet18 from scratch, 64 px, full-size JPEGs",
        cohort="perturbed",
        images={"train": 1600, "val": 200, "test": 200},
        arch="resnet18",
        size_px=64,
        epochs=3,
        tools=(
            "medimg",
            "plain",
            "fastai",
            "lightning",
            "skorch",
            "keras",
            "ultralytics",
            "aucmedi",
        ),
        minutes=2.8,
    ),
    "large": Scenario(
        about="resnet18 from scratch, 224 px, JPEGs of 224 px",
        cohort="subset",
        images={"train": 850, "val": 150, "test": 400},
        arch="resnet18",
        size_px=224,
        epochs=3,
        tools=("medimg", "plain"),
        minutes=6.0,
    ),
    "frozen": Scenario(
        about="mobilenet_v2 with ImageNet weights, frozen backbone, 224 px",
        cohort="subset",
        images={"train": 850, "val": 150, "test": 400},
        arch="mobilenet_v2",
        size_px=224,
        epochs=10,
        pretrained=_IMAGENET_MOBILENET,
        freeze=True,
        tools=("medimg", "plain"),
        minutes=5.0,
    ),
}
