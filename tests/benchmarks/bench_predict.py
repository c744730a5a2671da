"""How fast `medimg predict` answers: one image from a cold start, and many, beside a plain torchvision loop.

    python -m tests.benchmarks.bench_predict FOLDER [--arch resnet18] [--images 1000] [--rounds 3] [--work DIR]

Makes JPEGs of 224 px of the pictures in FOLDER (class folders, at any depth), trains a network on 160 of them for one
epoch (its answers do not matter, its speed does), and then measures whole processes, which take turns:

- one image, as the run is, and as it is without its ONNX copies, when torch answers;
- all images, by `medimg predict --out rows.csv` and by a script as people write it: PIL, torchvision's transforms to three
  channels, batches of 32, `torch.inference_mode`, and as many threads as there are cores.

Prints one JSON object: wall and CPU seconds of each, medians, and ratios of the wall times. Exits with 1 where a floor is
missed: one image within 1.5 s and 5 times as fast as through torch; many 2 times as fast as the loop. `--work DIR` keeps
images and run for another time.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from PIL import Image

SIDE_PX = 224
SUFFIXES = (".jpg", ".jpeg", ".png")
FLOORS = {"one: times as fast as through torch": 5.0, "many: times as fast as the loop": 2.0}
MOST_SECONDS_OF_ONE = 1.5
TRAINED_ON = 160
LOOP = """
import sys
from pathlib import Path
import torch
from PIL import Image
from medimg_cli.training.networks.torchvision_door import torchvision  # imports it also beside a torch without CUDA, and does no more
from torchvision import transforms

folder, threads = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
network = torchvision.models.get_model(sys.argv[4], weights=None, num_classes=2).eval()
prepare = transforms.Compose([
    transforms.Resize((224, 224)),
    transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
])
paths = sorted(folder.rglob("*.jpeg"))
with torch.inference_mode(), open(sys.argv[3], "w") as out:
    for start in range(0, len(paths), 32):
        some = paths[start : start + 32]
        batch = torch.stack([prepare(Image.open(path).convert("RGB")) for path in some])
        for path, answer in zip(some, torch.softmax(network(batch), dim=1).tolist()):
            out.write(f"{path},{answer[0]},{answer[1]}\\n")
"""
Times = dict[str, float]


def draw(source: Path, target: Path, images: int) -> None:
    """Write pictures of `source` as JPEGs of 224 px below class folders."""
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        sys.exit(f"no pictures below {source}")
    step = max(1, len(paths) // images)
    for number, path in enumerate(paths[::step][:images]):
        folder = target / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as picture:
            small = picture.convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
        small.save(folder / f"{number:05}.jpeg", quality=92)


def measured(command: list[str], work: Path) -> Times:
    """Return wall and CPU seconds of a process, as the kernel counts them; with modules compiled, as they are installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(work / "compiled")
    began = time.perf_counter()
    child = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    if status:
        sys.exit(f"{' '.join(command[:6])} … ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }


def prepared(source: Path, work: Path, images: int, arch: str) -> tuple[Path, Path, Path]:
    """Return the folder of JPEGs, a run with its ONNX copy, and the same run without."""
    pictures, study = work / "pictures", work / f"study-{arch}"
    if not pictures.is_dir():
        draw(source, pictures, images)
    if not (study / "runs" / "r" / "model.onnx").is_file():
        some = work / "some"
        for folder in pictures.iterdir():
            for path in sorted(folder.iterdir())[:: max(1, images // TRAINED_ON)]:
                (some / folder.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, some / folder.name)
        call = [sys.executable, "-m", "medimg_cli"]
        place = ["-C", str(study), "-q"]
        subprocess.run([*call, "ingest", str(some), *place], check=True)
        training = [
            "--arch",
            arch,
            "--epochs",
            "1",
            "--name",
            "r",
            "--set",
            f"preprocess.size={SIDE_PX}",
        ]
        subprocess.run([*call, "train", *training, *place], check=True)
    slow = work / f"{arch}-without-copy"
    if not slow.is_dir():
        shutil.copytree(study / "runs" / "r", slow, ignore=shutil.ignore_patterns("*.onnx"))
    return pictures, study / "runs" / "r", slow


def commands(arch: str, pictures: Path, run: Path, slow: Path, work: Path) -> dict[str, list[str]]:
    """Return what is measured, in the order in which it takes turns."""
    one = str(next(pictures.rglob("*.jpeg")))
    predict = [sys.executable, "-m", "medimg_cli", "predict", "-q", "--run"]
    cores = str(len(os.sched_getaffinity(0)))
    return {
        "one": [*predict, str(run), one],
        "one through torch": [*predict, str(slow), one],
        "many": [*predict, str(run), str(pictures), "--out", str(work / "rows.csv")],
        "many in the loop": [sys.executable, "-c", LOOP, str(pictures), cores, str(work / "loop.csv"), arch],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", default="resnet18", help="any classifier of torchvision")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--only", default="", help="measure what begins so, such as one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        made = prepared(options.folder, work, options.images, options.arch)
        asked = commands(options.arch, *made, work)
        asked = {name: command for name, command in asked.items() if name.startswith(options.only)}
        rounds: dict[str, list[Times]] = {name: [] for name in asked}
        for name in asked:
            if name.startswith("one"):  # to have everything compiled, and in the page cache
                measured(asked[name], work)
        for _ in range(options.rounds):
            for name, command in asked.items():
                rounds[name].append(measured(command, work))
    return report(rounds, options.images)


def report(rounds: dict[str, list[Times]], images: int) -> int:
    """Print medians, all wall times and ratios; return 1 where a floor is missed."""
    walls = {name: [round(each["seconds"], 3) for each in times] for name, times in rounds.items()}
    found = {
        name: {key: round(median(each[key] for each in times), 3) for key in times[0]}
        for name, times in rounds.items()
    }
    ratios = {}
    for name, other, ratio in (
        ("one", "one through torch", "one: times as fast as through torch"),
        ("many", "many in the loop", "many: times as fast as the loop"),
    ):
        if name in found and other in found:
            ratios[ratio] = round(found[other]["seconds"] / found[name]["seconds"], 2)
    missed = [name for name, value in ratios.items() if value < FLOORS[name]]
    if "one" in found and found["one"]["seconds"] > MOST_SECONDS_OF_ONE:
        missed.append(f"one: within {MOST_SECONDS_OF_ONE} s")
    rates = {
        name: round(images / times["seconds"], 1) for name, times in found.items() if name.startswith("many")
    }
    whole = {"medians": found, "wall": walls, "images_per_second": rates, "ratios": ratios, "missed": missed}
    sys.stdout.write(json.dumps(whole, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
