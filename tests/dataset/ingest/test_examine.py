"""Copies of the images in the workspace."""

import os
from pathlib import Path

from medimg_cli.dataset.ingest.examine import Copier
from medimg_cli.dataset.listing import Entry
from medimg_cli.workspace.workspace import Workspace


def test_two_names_that_the_file_system_takes_for_one_are_two_copies(tmp_path: Path) -> None:
    for name, content in (("A.png", b"first"), ("a.png", b"second")):
        (tmp_path / f"raw-{name}").write_bytes(content)
    copier, folder = Copier(Workspace(tmp_path)), tmp_path / "dataset" / "images"

    def copied(name: str) -> bytes:
        path = copier.copy(Entry(name, (tmp_path / f"raw-{name}").as_posix(), "x", name))
        return (tmp_path / path).read_bytes()

    assert copied("A.png") == b"first"
    os.link(folder / "A.png", folder / "a.png")  # as where case does not tell
    assert copied("a.png") == b"second"
    assert (folder / "a.png").read_bytes() == copied("A.png") == b"first"
