"""MedMNIST: the twelve 2-D sets, as the archives layout will name them."""

import pytest

from medimg_cli.dataset.layouts import npz
from medimg_cli.sample_data.catalogue import CATALOGUE

SETS = [name for name in CATALOGUE.names() if name.startswith("medmnist/")]


def test_all_twelve_are_there_with_every_size() -> None:
    assert len(SETS) == 12
    assert {CATALOGUE.get(name).sizes for name in SETS} == {(28, 64, 128, 224)}
    # 708,069 in table 2 of Yang et al. (2023); version 3 has 107 fewer in the organ sets.
    assert sum(CATALOGUE.get(name).images for name in SETS) == 707_962


def test_only_dermatoscopy_is_non_commercial_and_only_chest_x_rays_have_several_labels() -> None:
    assert [name for name in SETS if CATALOGUE.get(name).forbids_commerce] == ["medmnist/dermamnist"]
    assert [name for name in SETS if CATALOGUE.get(name).multi_label] == ["medmnist/chestmnist"]


@pytest.mark.parametrize("name", SETS)
def test_a_file_is_called_as_its_set_and_size(name: str) -> None:
    stem = name.removeprefix("medmnist/")
    names = [remote.name for remote in CATALOGUE.get(name).files.values()]
    assert names == [f"{stem}.npz", f"{stem}_64.npz", f"{stem}_128.npz", f"{stem}_224.npz"]


@pytest.mark.parametrize("name", [name for name in SETS if name.removeprefix("medmnist/") in npz._NAMES])
def test_the_archives_layout_knows_as_many_classes_by_name(name: str) -> None:
    entry, published = CATALOGUE.get(name), npz._NAMES[name.removeprefix("medmnist/")]
    assert len(published) == entry.classes
    assert entry.positive is None or entry.positive in published
