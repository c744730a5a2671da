"""preprocess --preview: a contact sheet of what preprocessing and augmentation make of training images."""

from pathlib import Path

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.images.image import ReadOptions
from medimg_cli.images.pictures import check_sheet_path, write_sheet
from medimg_cli.preprocessing.automatic_choices import augment_for, data_facts
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.preprocessing.probe_images import read_ingested
from medimg_cli.training.augmentation.augment import preset
from medimg_cli.training.augmentation.preview import choose_samples, preview_sheet
from medimg_cli.workspace.progress import Progress, SilentProgress, tracked
from medimg_cli.workspace.workspace import Workspace


def draw_preview(
    workspace: Workspace,
    cache: PixelCache,
    path: Path,
    *,
    augment: str,
    seed: int = 0,
    progress: Progress = SilentProgress(),
) -> None:
    """Write a contact sheet: training images as they are, after the recipe, and as training will vary them.

    Args:
        cache: holds the training split.
        path: its suffix decides the format.
        augment: name of the augmentation, or "auto" for the one that training would take.
        seed: chooses the images and their variations.

    Raises:
        UsageError: no such augmentation, or a suffix that names no picture.
        DataError: an image can no longer be read.
        MachineError: the picture cannot be written.
    """
    check_sheet_path(path)
    dataset = read_dataset(workspace)
    if augment == "auto":
        augment = augment_for(data_facts(dataset)).value
    change = preset(augment)
    samples = choose_samples(dataset, seed=seed)
    images = (
        read_ingested(row.image_id, workspace.absolute(row.path), ReadOptions())
        for row in tracked(samples, progress, "preview")
    )
    write_sheet(preview_sheet(cache, samples, images, change, name=augment, seed=seed), path)
