"""The split a source gave an image, read from the folder or the array it stands in."""

from collections.abc import Mapping, Sequence

from medimg_cli.dataset.manifest import DatasetInfo, Origin
from medimg_cli.images.image import split_frame

SPLIT_NAMES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validierung": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    **dict.fromkeys(
        "entrenamiento entraînement entrainement treino treinamento addestramento 训练 训练集".split(),
        "train",
    ),
    **dict.fromkeys("validación validacion validação validacao validazione 验证 验证集".split(), "val"),
    **dict.fromkeys("prueba teste 测试 测试集".split(), "test"),
}
"""What people call a split, in lower case → what medimg calls it."""

# A table's splits stand in its column: the path of the image does not tell them.
_TELLING_LAYOUTS = ("folders", "inner-folders", "npz")


def official_splits(image_ids: Sequence[str], info: DatasetInfo) -> list[str | None]:
    """Return the split (N,) that the source gave each image, None where its id does not tell.

    An image id is the source's prefix and the path inside it, and stays what it is when images are copied. As
    the layouts do, folders that only wrap others are looked through, and names count as splits only where two
    different ones stand side by side, at the top or in every class folder: a single `test` may be a class.
    """
    splits: list[str | None] = [None] * len(image_ids)
    if not info.splits_given:
        return splits
    places: dict[str, list[int]] = {}
    for place, image in enumerate(image_ids):
        prefix = _prefix(image, info.origins)
        if prefix is not None:
            places.setdefault(prefix, []).append(place)
    for prefix, members in places.items():
        folders = [_folders(image_ids[place][len(prefix) :]) for place in members]
        for place, split in zip(members, _by_folder(folders), strict=True):
            splits[place] = split
    return splits


def _prefix(image_id: str, origins: Sequence[Origin]) -> str | None:
    """Return the prefix of the source an image is of, None where its layout tells no split."""
    own = [origin for origin in origins if image_id.startswith(origin.prefix)]
    if not own:
        return None
    origin = max(own, key=lambda candidate: len(candidate.prefix))
    return origin.prefix if origin.reading.get("layout") in _TELLING_LAYOUTS else None


def _folders(path: str) -> list[str]:
    return split_frame(path)[0].split("/")[:-1]


def _by_folder(folders: Sequence[Sequence[str]]) -> list[str | None]:
    """Return the split of each image of one source by the folders it stands in, None for all without splits."""
    shortest = min(map(len, folders))
    depth = next((d for d in range(shortest) if len({parts[d] for parts in folders}) > 1), None)
    if depth is None:
        return [None] * len(folders)
    splits = [SPLIT_NAMES.get(parts[depth].lower()) for parts in folders]
    if len({split for split in splits if split is not None}) > 1:
        return splits
    below = [SPLIT_NAMES.get("".join(parts[depth + 1 : depth + 2]).lower()) for parts in folders]
    of_class: dict[str, set[str]] = {parts[depth]: set() for parts in folders}
    for parts, split in zip(folders, below, strict=True):
        of_class[parts[depth]].update([split] if split is not None else [])
    return below if min(map(len, of_class.values())) > 1 else [None] * len(folders)
