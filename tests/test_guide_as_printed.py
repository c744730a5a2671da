"""Every command of the guide, run by a shell as it is printed, in a folder that holds what the page takes for granted."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from medimg_cli.errors import ExitCode
from tests.conftest import REPOSITORY
from tests.test_docs import GUIDE

_CALL_S, _READY_S = 600, 60
NOT_HERE = re.compile(
    r"^(pip |sbatch |medimg download |cd |medimg merge )|s3://|imagenet|10\.1\.2\.3|archive\.example"
)
"""What takes a network, a cluster, weights of somebody, or machines that are not there."""

MAY_END: Mapping[str, ExitCode] = {
    "medimg evaluate --require": ExitCode.GATE,
    "medimg label-audit": ExitCode.GATE,
    "medimg audit": ExitCode.GATE,
    "medimg deidentify": ExitCode.PARTIAL,
    "medimg evaluate --target-recall 0.95 --lower-bound": ExitCode.DATA,
    "medimg train --resume": ExitCode.RUN,
    "medimg doctor --dicom": ExitCode.MACHINE,
}
"""Calls whose other end is part of what they say: a gate that is not met, a file that cannot be cleaned, fewer positives
than a lower bound of .95 takes, no training to go on with, no peer."""

ALTERNATIVES = ("how-to/bring-data-in", "how-to/deidentify")
"""Pages whose commands are one or the other, so that each begins where the page does."""


def surroundings() -> dict[str, str]:
    """Return variables by which a shell finds the `medimg` under test, and no workspace but its own folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "MEDIMG_DEBUG": ""}
    found.pop("MEDIMG_WORKSPACE", None)
    return found


def shell(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=surroundings(),
        capture_output=True,
        text=True,
        timeout=_CALL_S,
        check=False,
    )


def done(line: str, folder: Path) -> None:
    ended = shell(line, folder)
    assert ended.returncode == 0, f"{line}\n{ended.stderr[-2000:]}"


def serves(line: str, folder: Path) -> int:
    """Start what serves, wait until it is ready, ask the page and stop it; return its exit code."""
    port = re.search(r"--port (\d+)", line)
    review = "--review" in line
    address = f"http://127.0.0.1:{port[1] if port else 8010 if review else 8000}"
    with subprocess.Popen(["bash", "-c", f"exec env {line}"], cwd=folder, env=surroundings()) as server:
        until = time.monotonic() + _READY_S
        try:
            while not _answers(f"{address}/{'' if review else 'readyz'}"):
                assert server.poll() is None and time.monotonic() < until, line
                time.sleep(0.2)
            if not review and "MEDIMG_TOKEN" not in line and (folder / "image.png").is_file():
                done(f"curl -sf -F files=@image.png {address}/api/predict", folder)
        finally:
            server.send_signal(signal.SIGTERM)
        return server.wait(_READY_S)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:  # the page of a review asks for its token
        return error.code in (401, 403)
    except OSError:
        return False


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of phantoms, and beside it a workspace with a trained and evaluated run and its bundle."""
    folder = tmp_path_factory.mktemp("study")
    done("medimg demo drawn --patients 60 -q && mv drawn/images raw && mv raw/OPACITY raw/PNEUMONIA", folder)
    (folder / "medimg.yaml").write_text("preprocess: {size: 48}\ntrain: {epochs: 2}\n", encoding="utf-8")
    rows = [
        (path.relative_to(folder / "raw").as_posix(), path.parent.name, path.stem.split("_")[0])
        for path in sorted((folder / "raw").rglob("*.*"))
    ]
    table = pd.DataFrame(rows, columns=["image", "label", "patient"])
    table["sex"] = [("F", "M")[int(name[-1]) % 2] for name in table["patient"]]
    table["age"] = [20 + 7 * int(name[-1]) for name in table["patient"]]
    table.to_csv(folder / "study.csv", index=False)
    done("medimg ingest raw --labels study.csv --positive PNEUMONIA --patient-col patient -q", folder)
    done("medimg train -q && medimg evaluate -q && medimg bundle --out model.zip -q", folder)
    return folder


def one(study: Path, suffix: str = ".png") -> Path:
    return next(path for path in sorted((study / "raw" / "PNEUMONIA").iterdir()) if path.suffix == suffix)


def elsewhere(folder: Path, study: Path) -> None:
    """Draw other patients' images with the study's classes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    seed = 1 + crc32(folder.name.encode()) % 97  # the same in every process; 0 drew the study
    done(f"medimg demo {folder}-drawn --patients 40 --seed {seed} -q", study)
    shutil.move(folder.parent / f"{folder.name}-drawn" / "images", folder)
    shutil.move(folder / "OPACITY", folder / "PNEUMONIA")


def settings_only(folder: Path, study: Path) -> None:
    shutil.copy(study / "medimg.yaml", folder)


def raw_only(folder: Path, study: Path) -> None:
    shutil.copytree(study / "raw", folder / "raw")


def as_trained(folder: Path, study: Path) -> None:
    shutil.copytree(study, folder, dirs_exist_ok=True)


def three_classes(folder: Path, study: Path) -> None:
    settings_only(folder, study)
    elsewhere(folder / "raw", study)
    (folder / "raw" / "NORMAL").rename(folder / "raw" / "normal")
    (folder / "raw" / "PNEUMONIA").rename(folder / "raw" / "benign")
    (folder / "raw" / "malignant").mkdir()
    for path in sorted((folder / "raw" / "benign").iterdir())[::2]:
        path.rename(folder / "raw" / "malignant" / path.name)


def new_images(folder: Path, study: Path) -> None:
    settings_only(folder, study)
    (folder / "new-images").mkdir()
    shutil.copy(one(study), folder / "new-images")


def spreadsheet(folder: Path, study: Path) -> None:
    (folder / "images").mkdir()
    rows = []
    pictures = sorted((study / "raw").rglob("*.png"))
    for number, path in enumerate(pictures):
        shutil.copy(path, folder / "images")
        ill = path.parent.name == "PNEUMONIA"
        word = ("1", "malignant")[number % 2] if ill else ("benign", "negative")[number % 2]
        votes = [word, word, ("negative" if ill else "malignant") if number % 5 == 0 else word]
        rows.append((path.name, word, path.stem.split("_")[0], *votes))
    names = ["File", "Finding", "MRN", "Reader A", "Reader B", "Reader C"]
    pd.DataFrame(rows, columns=names).to_excel(folder / "findings.xlsx", sheet_name="Readers", index=False)


def scans(folder: Path, study: Path) -> None:
    settings_only(folder, study)
    (folder / "scans").mkdir()
    rows: list[tuple[str, str]] = []
    for path in sorted((study / "raw").rglob("*.dcm")):
        name = f"IM{len(rows) + 1:04d}"
        shutil.copy(path, folder / "scans" / name)
        rows.append((name, path.parent.name))
    pd.DataFrame(rows, columns=["image", "label"]).to_csv(folder / "labels.csv", index=False)


def weights(folder: Path, study: Path) -> None:
    import torch

    from medimg_cli.training.networks.networks import build_network

    as_trained(folder, study)
    (folder / "weights").mkdir()
    torch.manual_seed(0)
    for name in ("mobilenet_v2", "vgg16"):
        state = build_network(name, classes=1000, channels=3, size_px=48).state_dict()
        kept = {key: value for key, value in state.items() if name != "vgg16" or key.startswith("features.")}
        torch.save(kept, folder / f"{name}.pth")
    shutil.copy(folder / "mobilenet_v2.pth", folder / "weights")


def in_a_hospital(folder: Path, study: Path) -> None:
    as_trained(folder, study)
    shutil.copy(one(study), folder / "test-image.png")
    shutil.copy(one(study, ".dcm"), folder / "known.dcm")
    for name in ("calibration", "test"):
        elsewhere(folder / "here" / name, study)


def bring(folder: Path, study: Path) -> None:
    scans(folder, study)
    raw = folder / "raw"
    raw.mkdir()
    rows = []
    for path in sorted((study / "raw").rglob("*.png")):
        shutil.copy(path, raw)
        rows.append((path.name, path.parent.name, path.stem.split("_")[0]))
    for number, path in enumerate(sorted((folder / "scans").iterdir())):
        rows.append((path.name, ("NORMAL", "PNEUMONIA")[number % 2], f"s{number}"))
    table = pd.DataFrame(rows, columns=["file", "finding", "subject"])
    dicom = pd.read_csv(folder / "labels.csv").rename(columns={"image": "file", "label": "finding"})
    table = pd.concat([table[~table["file"].isin(dicom["file"])], dicom])
    table.to_csv(folder / "labels.csv", index=False)
    shutil.make_archive(str(folder / "set"), "zip", study / "raw")
    drawn = np.random.default_rng(0).integers(0, 255, (60, 28, 28), dtype=np.uint8)
    parts: dict[str, Any] = {
        f"{split}_{what}": drawn[at : at + 20] if what == "images" else np.arange(20)[:, None] % 2
        for at, split in zip((0, 20, 40), ("train", "val", "test"), strict=True)
        for what in ("images", "labels")
    }
    np.savez(folder / "pneumoniamnist.npz", **parts)


def to_evaluate(folder: Path, study: Path) -> None:
    as_trained(folder, study)
    done("medimg train --name mobilenet_v2-1 --epochs 1 -q", folder)
    shutil.copy(folder / "runs" / "small-cnn-1" / "predictions-test.csv", folder / "theirs.csv")
    for name in ("other-hospital", "sample-of-other-hospital"):
        elsewhere(folder.parent / name, study)


def to_hand_over(folder: Path, study: Path) -> None:
    as_trained(folder, study)
    shutil.copy(one(study), folder / "image.png")
    elsewhere(folder.parent / "other-hospital", study)


def to_predict(folder: Path, study: Path) -> None:
    as_trained(folder, study)
    for name in ("image.dcm", "scan.dcm"):
        shutil.copy(one(study, ".dcm"), folder / name)
    for name in ("a-folder", "study"):
        (folder / name).mkdir()
        shutil.copy(one(study, ".dcm"), folder / name / "a.dcm")
    shutil.make_archive(str(folder / "set"), "zip", study / "raw" / "NORMAL")


def to_preprocess(folder: Path, study: Path) -> None:
    as_trained(folder, study)
    shutil.copy(one(study, ".dcm"), folder / "image.dcm")


def nothing(folder: Path, study: Path) -> None:
    """Leave the folder as it is."""


WORLDS: Mapping[str, Callable[[Path, Path], None]] = {
    "tutorials/own-folder": new_images,
    "tutorials/exams": settings_only,
    "tutorials/several-classes": three_classes,
    "tutorials/spreadsheet": spreadsheet,
    "tutorials/dicom": scans,
    "tutorials/transfer": weights,
    "tutorials/hospital": in_a_hospital,
    "how-to/audit": as_trained,
    "how-to/bring-data-in": bring,
    "how-to/deidentify": raw_only,
    "how-to/evaluate": to_evaluate,
    "how-to/hand-over": to_hand_over,
    "how-to/pacs": as_trained,
    "how-to/physicist": in_a_hospital,
    "how-to/plan-a-study": nothing,
    "how-to/predict": to_predict,
    "how-to/preprocess": to_preprocess,
    "how-to/report": as_trained,
    "how-to/script": nothing,
    "how-to/train": weights,
}


def lines_of(page: str) -> list[str]:
    text = (GUIDE / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_every_page_with_commands_has_its_world() -> None:
    pages = [path for room in ("tutorials", "how-to") for path in (GUIDE / room).glob("*.md")]
    with_commands = {f"{path.parent.name}/{path.stem}" for path in pages if "```console" in path.read_text()}
    # tests/stages/test_cluster.py plays Slurm's part.
    assert with_commands - {*WORLDS} == {"tutorials/cluster"}


@pytest.mark.slow
@pytest.mark.parametrize("page", WORLDS)
def test_the_commands_of_a_page_run_as_printed(page: str, study: Path, tmp_path: Path) -> None:
    world = tmp_path / "study"
    world.mkdir()
    WORLDS[page](world, study)
    bad = []
    for line in lines_of(page):
        if NOT_HERE.search(line) or line.startswith("curl "):
            continue
        if page in ALTERNATIVES:
            shutil.rmtree(world)
            world.mkdir()
            WORLDS[page](world, study)
        if " serve" in line or "--review" in line:
            code, said = serves(line, world), ""
        else:
            ended = shell(line.replace("/archive", str(world / "raw")), world)
            code, said = ended.returncode, ended.stderr[-600:]
        also = next((int(end) for start, end in MAY_END.items() if line.startswith(start)), 0)
        if "--workers" in line:  # the first is ready; the second may be starting when the stop comes
            also = ExitCode.INTERRUPTED
        if code not in (0, also):
            bad.append(f"{line} → {code}\n{said}")
    assert bad == []
