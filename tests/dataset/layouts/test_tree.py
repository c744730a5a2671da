"""Folders, archives and stacks as trees of files."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.dataset.layouts.tree import contents, kind_of
from medimg_cli.dataset.listing import Source
from medimg_cli.dataset.manifest import read_dataset, read_quarantine
from medimg_cli.errors import DataError
from medimg_cli.images.readers import read_image
from medimg_cli.stages.ingest import ingest
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace


def png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((3, 4), value, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


HIDDEN = {"set/SICK/.9.png": png(9), "set/.old/8.png": png(8)}


def members() -> dict[str, bytes]:
    pictures = {f"set/{'SICK' if n % 2 else 'WELL'}/{n}.png": png(n) for n in range(8)}
    return {
        **pictures,
        "set/SICK/notes.txt": b"x",
        "__MACOSX/set/._0.png": b"x",
        "set/SICK/.DS_Store": b"x",
        **HIDDEN,
    }


def archive(path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as target:
            for name, content in members().items():
                target.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, content in members().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.tgz"])
def test_class_folders_inside_an_archive_are_ingested_without_unpacking(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path / "study")
    result = ingest(workspace, [archive(tmp_path / name)], IngestSettings())
    assert (result.classes, result.quarantined) == ({"SICK": 4, "WELL": 4}, 2)
    rows = read_dataset(workspace).rows
    assert rows["image_id"].iloc[0] == "set/SICK/1.png"
    assert rows["path"].iloc[0] == f"{tmp_path.as_posix()}/{name}#set/SICK/1.png"
    assert int(read_image(rows["path"].iloc[0]).pixels[0, 0, 0]) == 1
    quarantine = read_quarantine(workspace)
    assert quarantine["path"].str.removeprefix(f"{tmp_path.as_posix()}/{name}#").tolist() == [
        "set/SICK/.9.png",
        "set/SICK/notes.txt",
    ]
    assert quarantine["reason"].iloc[0] == "a hidden file: its name begins with a dot"
    assert sorted(path.name for path in (tmp_path / "study" / "dataset").iterdir() if path.suffix) == [
        "dataset.json",
        "manifest.csv",
        "quarantine.csv",
    ]


def test_a_table_labels_the_members_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label\nset/SICK/1.png,x\n0.png,y\n2.png,y\n3,x\n")
    workspace = Workspace(tmp_path / "study")
    result = ingest(workspace, [archive(tmp_path / "set.zip")], IngestSettings(labels=tmp_path / "t.csv"))
    assert (result.classes, result.quarantined) == ({"x": 2, "y": 2}, 6)


def test_a_copied_archive_lies_in_the_workspace_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "study")
    ingest(workspace, [archive(tmp_path / "set.zip")], IngestSettings(copy_images=True))
    rows = read_dataset(workspace).rows
    assert rows["path"].iloc[0] == "dataset/images/set.zip#set/SICK/1.png"
    assert [path.name for path in (tmp_path / "study" / "dataset" / "images").iterdir()] == ["set.zip"]


def test_a_table_labels_a_stack_by_number(tmp_path: Path) -> None:
    stack = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 5), dtype=np.uint8)
    np.save(tmp_path / "stack.npy", stack)
    (tmp_path / "t.csv").write_text("index,label\n0,a\n1,b\n2,a\n3,b\n9,a\n")
    workspace = Workspace(tmp_path / "study")
    settings = IngestSettings(labels=tmp_path / "t.csv", image_col="index")
    result = ingest(workspace, [tmp_path / "stack.npy"], settings)
    assert result.classes == {"a": 2, "b": 2}
    rows = read_dataset(workspace).rows
    assert rows["image_id"].tolist() == ["0", "1", "2", "3"]
    assert read_image(rows["path"].iloc[3]).pixels.max() == 3
    reasons = {Path(row["path"]).name: row["reason"] for _, row in read_quarantine(workspace).iterrows()}
    assert reasons == {
        "9": "file not found",
        "stack.npy#4": "not in the table of labels",
        "stack.npy#5": "not in the table of labels",
    }


def test_damaged_containers_are_named(tmp_path: Path) -> None:
    whole = archive(tmp_path / "set.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.zip cannot be read"):
        contents(Source(tmp_path / "cut.zip"))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"objects\.npy is no array of images"):
        contents(Source(tmp_path / "objects.npy"))
    (tmp_path / "one.png").write_bytes(png(1))
    assert kind_of(Source(tmp_path / "one.png")) == "file"
    with pytest.raises(DataError, match="is a single file"):
        contents(Source(tmp_path / "one.png"))
