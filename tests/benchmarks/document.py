"""All benchmarks in one go, as one Markdown document: what was run, on what, how long it took, and what it printed.

    bash tests/benchmarks/run.sh [quick|full] [--only NAME ...] [--data FOLDER] [--out FOLDER]

`quick` takes smaller inputs and fewer rounds and is meant for less than two hours on two quiet cores. Peers (fastai, Lightning,
cleanlab, dicognito …) need environments of their own, which `bench_train prepare` makes: `full` runs those beside them. A
benchmark whose data are absent, or that fails, stands in the document as such, and the exit code is 1.
"""

import argparse
import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = (
    "torch torchvision onnxruntime numpy pandas scikit-learn opencv-python-headless pydicom pillow".split()
)


@dataclass(frozen=True)
class Benchmark:
    """One command.

    Args:
        name: of the module without `bench_`.
        quick, full: its arguments; {data}, {work} and {new}, a folder that goes afterwards, are filled in. None: it is not part of that mode.
        needs: what has to be there below the data folder.
    """

    name: str
    quick: str | None
    full: str | None
    needs: str = ""


BENCHMARKS = (
    Benchmark("decode", "{data}/chest_xray_fullres --rounds 3", "{data}/chest_xray_fullres", "chest_xray_fullres"),
    Benchmark("cache", "{data}/chest_xray --limit 1000 --rounds 2", "{data}/chest_xray", "chest_xray"),
    Benchmark("audit", "--sizes 1000,6000 --quick", "--sizes 6000,59000 --quick"),
    Benchmark("scale", "--sizes 2000,10000 --work {new}", "--work {new}"),
    Benchmark("cluster", "", "--images 480 --rounds 3"),
    Benchmark("near_duplicates", "{data}/chest_xray --copies 100 --search 20000", "{data}/chest_xray", "chest_xray"),
    Benchmark("burned_in", "drawn {data}/chest_xray_fullres", "drawn {data}/chest_xray_fullres", "chest_xray_fullres"),
    Benchmark("label_errors", None, "{data}/medmnist/pneumoniamnist.npz", "medmnist/pneumoniamnist.npz"),
    Benchmark("deidentify", "{data}/dicom", "{data}/dicom", "dicom"),
    Benchmark("utilisation", "--sizes 28,64 --rounds 2", ""),
    Benchmark("train", None, "run small --data {data} --envs {work}/envs --work {work}/train", "chest_xray"),
    Benchmark("predict", "{data}/chest_xray --images 400 --rounds 2", "{data}/chest_xray", "chest_xray"),
    Benchmark("evaluate", "--rows 20000 --patients 4000", ""),
    Benchmark("threshold_rules", "200", "2000"),
    Benchmark("coverage", "--draws 60 --cells binary-60-0.85 binary-300-0.99", "--draws 500"),
    Benchmark("exams", "drawn", "drawn"),
)  # fmt: skip


def main() -> int:
    """Run them one after the other, write the document after each, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", nargs="?", choices=("quick", "full"), default="quick")
    parser.add_argument("--only", nargs="+", choices=[each.name for each in BENCHMARKS])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=lambda folder: Path(folder).absolute(), default="benchmarks")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    parts, failed = [_head(asked.mode)], 0
    for each in BENCHMARKS:
        arguments = each.quick if asked.mode == "quick" else each.full
        if arguments is None or (asked.only and each.name not in asked.only):
            continue
        sys.stderr.write(f"{each.name} …\n")
        part, ok = _run(each, arguments, asked.data, asked.out)
        parts.append(part)
        failed += not ok
        (asked.out / "benchmarks.md").write_text("\n".join(parts), encoding="utf-8")
    sys.stderr.write(f"wrote {asked.out / 'benchmarks.md'}\n")
    return 1 if failed else 0


def _head(mode: str) -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} at the beginning" if hasattr(os, "getloadavg") else ""
    return (
        f"# Benchmarks, {mode}\n\n{time.strftime('%Y-%m-%d')}, commit {commit.stdout.strip() or 'unknown'}; {cores} cores"
        f"{load}; {platform.system()} {platform.machine()}, Python {platform.python_version()};"
        f" {', '.join(f'{name} {_version(name)}' for name in _LIBRARIES)}.\n"
    )  # fmt: skip


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _run(each: Benchmark, arguments: str, data: Path, work: Path) -> tuple[str, bool]:
    """Return what stands in the document of one benchmark, and whether it went well."""
    shown = f"python -m tests.benchmarks.bench_{each.name} {arguments}".strip()
    head = f"## {each.name}\n\n`{shown}`\n"
    if each.needs and not (data / each.needs).exists():
        return f"{head}\nNot run: {each.needs} is not in the data folder.\n", False
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with tempfile.TemporaryDirectory(dir=work) as new:
        folders = {
            name: shlex.quote(str(folder)) for name, folder in (("data", data), ("work", work), ("new", new))
        }
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                f"tests.benchmarks.bench_{each.name}",
                *shlex.split(arguments.format(**folders)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    text = done.stdout.strip().replace(str(data), "DATA")
    body = text if text.startswith("|") or "\n|" in text else f"```\n{text}\n```"
    told = (
        ""
        if done.returncode == 0
        else f" Exit code {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"
    )
    return f"{head}\n{wall:.0f} s, {cpu:.0f} s of CPU.{told}\n\n{body}\n", done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
