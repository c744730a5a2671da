"""Kill every command at random moments; the next run has to come to what an undisturbed one comes to.

By hand: `python -m tests.faults.kills FOLDER --seconds 240 --seed 1 [--only train]`. Processes are forked from one that has
imported everything: a moment of work is hit, seldom one of importing.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import UID

from medimg_cli.cli import app
from tests.conftest import draw_cohort
from tests.faults.damage import make_study
from tests.images.dicom_file import dicom_image, write

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOST_SECONDS = 5.0
ONCE = ("--positive", "SPOT", "--patient-regex", r"(patient\d+)", "--split", "0.5,0.25,0.25")
_VOLATILE = re.compile(
    r'"(?:\w*seconds|images_per_second|created|finished|started|when|date|time|bytes|size_bytes|at|resumed\w*|reused|epochs_run)": [^,}\]]+'
)
_TIMES = re.compile(r"\n.*(?: (?:DA|TM|DT): ).*")


@dataclass(frozen=True)
class Case:
    """One command.

    Args:
        arguments: "{}" stands for the folder around the workspace.
        without: what is taken out of the finished study before, so that there is work.
        again: the command that goes on; the same where empty.
        results: globs of what has to come out the same.
        endless: it goes on until it is told to stop, once it has said so.
        first: commands that have been run before.
        says: what it says is its result.
    """

    arguments: tuple[str, ...]
    without: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    endless: bool = False
    first: tuple[tuple[str, ...], ...] = ()
    says: bool = False


_DIVIDED = ("preprocess", "--size", "24", "--channels", "1")
CASES: dict[str, Case] = {
    "ingest": Case(("ingest", "{}/raw", *ONCE), ("dataset", "audit", "cache"), (), ("dataset/*.csv", "dataset/*.json")),
    "ingest-more": Case(("ingest", "{}/other"), (), (), ("dataset/*.csv", "dataset/*.json")),
    "ingest-copy": Case(
        ("ingest", "{}/raw", *ONCE, "--copy"), ("dataset", "audit"), (), ("dataset/*.csv", "dataset/images/**/*.png")
    ),
    "ingest-deidentify": Case(
        ("ingest", "{}/raw", *ONCE, "--deidentify"), ("dataset", "audit"), (), ("dataset/*.csv", "dataset/images/**/*.png")
    ),
    "ingest-archive": Case(("ingest", "{}/raw.zip", *ONCE), ("dataset", "audit"), (), ("dataset/*.csv",)),
    "ingest-dicom": Case(
        ("ingest", "{}/dicom", "--positive", "SPOT", "--copy", "--yes"), ("dataset", "audit"), (), ("dataset/*.csv", "dataset/images/**/*.dcm")
    ),
    "label-audit": Case(("label-audit", "--fail-on", "never"), ("audit",), (), ("audit/*.csv", "audit/audit.json")),
    "preprocess": Case(("preprocess",), ("cache",), (), ("cache/*/*.npy", "cache/*/index.csv")),
    "preprocess-shard": Case((*_DIVIDED, "--shard", "1/2"), ("shards",), (), ("shards/preprocess/*",)),
    "merge": Case(
        ("merge", "preprocess"), ("shards",), (), ("cache/*/*.npy", "cache/*/index.csv"),
        first=((*_DIVIDED, "--shard", "1/2"), (*_DIVIDED, "--shard", "2/2")),
    ),
    "merge-ingest": Case(
        ("merge", "ingest"), ("dataset", "audit", "cache"), (), ("dataset/*.csv", "dataset/images/**/*.png"),
        first=tuple(("ingest", "{}/raw", *ONCE, "--copy", "--shard", f"{n}/2") for n in (1, 2)),
    ),
    "merge-label-audit": Case(
        ("merge", "label-audit"), ("audit",), (), ("audit/findings.csv", "audit/images.csv"),
        first=tuple(("label-audit", "--fail-on", "never", "--quick", "--shard", f"{n}/2") for n in (1, 2)),
    ),
    "train": Case(
        ("train", "--epochs", "3", "--batch-size", "8", "--name", "third"), (),
        ("train", "--resume", "third"),
        ("runs/third/model.safetensors", "runs/third/predictions-val.csv"),
    ),
    "evaluate": Case(
        ("evaluate", "first"), ("runs/first/metrics-test.json", "runs/first/predictions-test.csv"), (),
        ("runs/first/metrics-test.json", "runs/first/predictions-test.csv"),
    ),
    "evaluate-external": Case(
        ("evaluate", "first", "--data", "{}/other"), (), (), ("runs/first/metrics-external-*.json",)
    ),
    "predict": Case(
        ("predict", "{}/raw", "--run", "first", "--out", "new.csv"), (),
        ("predict", "{}/raw", "--run", "first", "--out", "new.csv", "--resume"), ("new.csv",),
    ),
    "predict-jsonl": Case(
        ("predict", "{}/raw", "--run", "first", "--out", "new.jsonl"), (),
        ("predict", "{}/raw", "--run", "first", "--out", "new.jsonl", "--resume"), ("new.jsonl",),
    ),
    "predict-dicom-out": Case(
        ("predict", "{}/dicom", "--run", "first", "--dicom-out", "results"), (), (), ("results/**/*.dcm",)
    ),
    "predict-explain": Case(
        ("predict", "{}/dicom", "--run", "first", "--explain", "maps", "--out", "new.csv"), (), (),
        ("new.csv", "maps/*.png"),
    ),
    "report": Case(("report", "first", "--out", "new.html"), ("out.html",), (), ("new.html",)),
    "report-pdf": Case(("report", "first", "--out", "new.pdf"), (), (), ("new.pdf",)),
    "init": Case(("init",), ("medimg.yaml",), (), ("medimg.yaml",)),
    "export": Case(("export", "first", "--out", "new.onnx"), (), (), ("new.onnx",)),
    "bundle": Case(("bundle", "first", "--out", "new.zip"), (), (), ("new.zip",)),
    "recalibrate": Case(
        ("recalibrate", "first", "--data", "{}/other", "--name", "moved"), (), (), ("runs/moved/model.json",)
    ),
    "deidentify": Case(("deidentify", "{}/raw", "clean"), (), (), ("clean/**/*.png",)),
    "info": Case(("info", "{}/raw/SPOT/patient001_0.png"), says=True),
    "doctor": Case(("doctor",)),
    "runs": Case(("runs",), says=True),
    "tune": Case(
        ("tune", "--trials", "2", "--epochs", "1", "--name", "sought"), (), ("tune", "--resume", "sought"),
        ("tune/sought/best.yaml",),
    ),
    "sample-size": Case(("sample-size", "--set", "sample_size.draws=1"), ("dataset", "audit", "cache"), says=True, first=(("ingest", "{}/many", *ONCE),)),
    "serve": Case(("serve", "first", "--port", "0"), endless=True),
    "demo": Case(("demo", "cohort", "--patients", "8"), (), (), ("cohort/**/*.png", "cohort/truth.json")),
}  # fmt: skip


def study_of(folder: Path) -> Path:
    """Return the pristine study, made by a process of its own: threads of its training would not outlive a fork."""
    process = os.fork()
    if not process:
        make_study(folder.absolute())
        os._exit(0)
    os.waitpid(process, 0)
    load_everything()
    if not (folder / "raw.zip").is_file():
        shutil.make_archive(str(folder / "raw"), "zip", folder / "raw")
        draw_cohort(folder / "many", patients=32)
        for number, path in enumerate(sorted((folder / "raw").glob("*/patient00[0-7]_*.png"))):
            with Image.open(path) as image:
                dataset = dicom_image(
                    np.asarray(image),
                    PatientID=path.stem[:10],
                    StudyInstanceUID="1.2",
                    SeriesInstanceUID="1.2.3",
                )
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}")
            target = folder / "dicom" / path.parent.name / f"{path.stem}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            write(dataset, target)
    return make_study(folder.absolute())


def start(
    work: Path, arguments: tuple[str, ...], said: Path, before: Callable[[], None] = lambda: None
) -> int:
    """Fork a process that runs a command as `medimg` does, and return its number; it speaks into a file."""
    process = os.fork()
    if process:
        return process
    for number in (signal.SIGINT, signal.SIGTERM):  # until medimg begins, a signal ends a process
        signal.signal(number, signal.SIG_DFL)
    try:
        target = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.chdir(work)
        before()
        whole = [part.replace("{}", str(work.parent)) for part in arguments]
        place = () if arguments[0] == "demo" else ("-C", str(work))
        app.main([*whole, *place, "--json"])
    except SystemExit as error:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else 99)
    finally:
        os._exit(98)


def ended(process: int, seconds: float) -> tuple[int | None, float]:
    """Return how a process ended (minus the signal's number, or its exit code; None where it did not) and when."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), time.monotonic() - began
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None, seconds


def results(work: Path, case: Case) -> dict[str, str]:
    """Return file → hash of what the command is for, without times."""
    found = {}
    if case.says:
        lines = (work.parent / "said.txt").read_text(errors="replace").splitlines()
        found["said"] = _VOLATILE.sub("", next((line for line in lines if line.startswith("{")), ""))
    for pattern in case.results:
        for path in sorted(work.glob(pattern)):
            content = path.read_bytes()
            if path.suffix == ".json":
                content = _VOLATILE.sub("", json.dumps(json.loads(content), sort_keys=True)).encode()
                content = re.sub(rb'"seal": "\w+"', b"", content)
            elif path.suffix == ".yaml":  # of a search, whose stopped trials count in its comment
                content = re.sub(rb"(?m)^#.*", b"", content)
            elif path.suffix == ".dcm" and path.parent.name == "results":
                content = _TIMES.sub("", str(pydicom.dcmread(path))).encode()
            found[str(path.relative_to(work))] = hashlib.sha256(content).hexdigest()
    return found


def prepare(pristine: Path, work: Path, case: Case) -> None:
    """Bring the workspace to where it was before the command."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(pristine, work)
    for name in case.without:
        target = work / name
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


def whole_run(
    work: Path, arguments: tuple[str, ...], said: Path, *, endless: bool = False
) -> tuple[int | None, float]:
    """Run a command to its end, or, of one that has none, until it is at work."""
    process, began = start(work, arguments, said), time.monotonic()
    if not endless:
        return ended(process, 180)
    while "upload page: " not in said.read_text(errors="replace") and time.monotonic() - began < 90:
        time.sleep(0.05)
    seconds = time.monotonic() - began
    os.kill(process, signal.SIGTERM)
    code, _ = ended(process, 30)
    return 0 if code == 130 and seconds < 90 else code, seconds


def kill_once(
    pristine: Path, work: Path, case: Case, number: signal.Signals, after: float, usual: dict[str, str]
) -> str:
    """Kill the command after some seconds, go on, and return what is wrong, "" where nothing is, "-" for too late."""
    prepare(pristine, work, case)
    said = work.parent / "said.txt"
    said.write_text("")
    process = start(work, case.arguments, said)
    code, _ = ended_before(process, after)
    if code is not None:
        return "-"
    os.kill(process, number)
    code, seconds = ended(process, 30)
    text = said.read_text(errors="replace")
    if seconds > MOST_SECONDS or code is None:
        return f"took {seconds:.1f} s to end"
    if number != signal.SIGKILL:
        if code not in (130, 0, 1, 4, -number):
            return f"exit {code}: {text[-300:]}"
        if "Traceback" in text:
            return f"traceback: {text[max(0, text.index('Traceback') - 300) :][-1800:]}"
        if code == 130 and "error: interrupted" not in text:
            return f"says nothing: {text[-300:]}"
    code, _ = whole_run(work, ("runs",), said)
    if code != 0:
        return f"the state cannot be read: {said.read_text(errors='replace')[-400:]}"
    tries = [case.arguments] if not case.again else [case.again, case.arguments]
    text = ""
    for arguments in tries:
        code, seconds = whole_run(work, arguments, said, endless=case.endless)
        # What was done when the signal came may refuse to be done again.
        over = (0, 1, 2, 3, 4) if case.first else (0, 1, 2, 4)
        if code in (over if case.results else (0, 1, 4)) and results(work, case) == usual:
            return ""
        text += f" {arguments[:2]} exit {code} in {seconds:.0f} s: {said.read_text(errors='replace')[-300:]}"
    now = results(work, case)
    other = [name for name in sorted({*now, *usual}) if now.get(name) != usual.get(name)]
    return f"going on gives {other[:4]}: {text}"


def ended_before(process: int, seconds: float) -> tuple[int | None, float]:
    """Return how a process ended within some seconds, None where it goes on."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), time.monotonic() - began
        time.sleep(0.002)
    return None, seconds


def begun(pristine: Path, work: Path, case: Case) -> tuple[Path, Case]:
    """Return what a workspace is brought to, and the case, once what comes first has been run."""
    if not case.first:
        return pristine, case
    for arguments in case.first:
        whole_run(work, arguments, work.parent / "said.txt")
    place = pristine.parent / "begun"
    shutil.rmtree(place, ignore_errors=True)
    work.rename(place)
    case = replace(case, without=())
    prepare(place, work, case)
    return place, case


def try_command(
    pristine: Path, name: str, chance: random.Random, moments: int, until: float, say: Callable[[str], None]
) -> Counter[str]:
    """Kill one command at so many moments with each signal and return how it went."""
    case, work = CASES[name], pristine.parent / "work"
    prepare(pristine, work, case)
    said = work.parent / "said.txt"
    pristine, case = begun(pristine, work, case)
    code, seconds = whole_run(work, case.arguments, said, endless=case.endless)
    usual = results(work, case)
    tried: Counter[str] = Counter()
    if code not in (0, 1, 4) or (case.results and not usual):
        say(f"FAULT {name}: undisturbed it gives exit {code}: {said.read_text()[-400:]}")
        return tried
    while sum(tried[s.name] for s in SIGNALS) < moments * len(SIGNALS) and time.monotonic() < until:
        number = min(SIGNALS, key=lambda one: tried[one.name])
        after = chance.uniform(0.03, seconds)  # before, the copy is not medimg yet
        fault = kill_once(pristine, work, case, number, after, usual)
        if fault == "-":
            tried["too late"] += 1
            seconds *= 0.95
            continue
        tried[number.name] += 1
        if fault:
            tried[f"{number.name} fault"] += 1
            say(f"FAULT {name} {number.name} after {after:.3f} of {seconds:.2f} s: {fault}")
    tried["milliseconds"] = round(1000 * seconds)
    return tried


def main() -> None:
    """Kill what is asked for, for a while."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    wanted = parser.parse_args()
    pristine = study_of(wanted.folder)
    chance = random.Random(wanted.seed)
    until = time.monotonic() + wanted.seconds

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    wrong = set(filter(None, wanted.only.split(","))) - set(CASES)
    if wrong:
        sys.exit(f"no such command: {', '.join(sorted(wrong))}")
    for name in [n for n in CASES if wanted.only in ("", n) or n in wanted.only.split(",")]:
        if time.monotonic() < until:
            tried = try_command(pristine, name, chance, wanted.moments, until, say)
            say(row_of(name, tried))


def row_of(name: str, tried: Counter[str]) -> str:
    """Return a row of the table: command, its seconds, held of tried for each signal, kills that came too late."""
    cells = [f"{tried[s.name] - tried[f'{s.name} fault']} of {tried[s.name]}" for s in SIGNALS]
    return " | ".join(
        ["", name, f"{tried['milliseconds'] / 1000:.2f} s", *cells, str(tried["too late"]), ""]
    ).strip()


def load_everything() -> None:
    """Import what the commands import when they are called."""
    import codecs
    import importlib
    import pkgutil

    import medimg_cli

    codecs.lookup("utf-8-sig")  # another user may not read where Python lies
    for module in pkgutil.walk_packages(medimg_cli.__path__, "medimg_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


if __name__ == "__main__":
    main()
