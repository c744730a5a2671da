"""The shelf of public data sets: where each one is, its licence, and the checksums its files must have.

A source is one file that registers its sets. Nothing here fetches anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from medimg_cli.registry import Registry
from medimg_cli.sample_data.http_download import RemoteFile


@dataclass(frozen=True)
class PublicSet:
    """One public data set.

    Args:
        summary: what the images show, one line.
        classes: how many classes there are.
        images: how many images there are, all splits together.
        licence: short name of the licence.
        licence_address: the licence's text.
        citation: whom to cite, one line.
        homepage: where people read about the set.
        files: side of the images in pixels → the file that holds them.
        multi_label: an image may carry several labels.
        positive: the disease class, where there is one.
    """

    summary: str
    classes: int
    images: int
    licence: str
    licence_address: str
    citation: str
    homepage: str
    files: Mapping[int, RemoteFile]
    multi_label: bool = False
    positive: str | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the sides of the images in pixels, smallest first."""
        return tuple(sorted(self.files))

    @property
    def forbids_commerce(self) -> bool:
        """Tell whether the licence is a Creative Commons one with the NC clause."""
        return "-NC" in self.licence


CATALOGUE: Registry[PublicSet] = Registry("data set", __name__)
