"""Every command where the disk is full, the folder read-only, as a user without rights, beside itself, on moving sources.

By hand, as root: `python -m tests.faults.surroundings FOLDER [--only full] [--commands train,report]`. Each has to end with a
documented code in two lines, and the same command afterwards with what an undisturbed one gives.
"""

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from tests.faults.damage import ALLOWED
from tests.faults.kills import CASES, Case, begun, ended, prepare, results, start, study_of, whole_run

NOBODY = 65534
Disturb = Callable[[Path], None]


def _full(_work: Path) -> None:
    """Let no file grow beyond 3 kB: what a full disk says, `EFBIG` for `ENOSPC`. The result goes nowhere: it is longer."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))


def _nearly_full(_work: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))


def _nobody(_work: Path) -> None:
    """Be a user who may read everything and write nothing."""
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def _few_files(_work: Path) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))


INSIDE: dict[str, Disturb] = {"full": _full, "nearly": _nearly_full, "nobody": _nobody, "files": _few_files}


ROOM: dict[str, int | None] = {"disk": 20_000, "half": 400_000, "readonly": None}
"""Bytes that are left on a disk of its own; None = it is read-only."""


@contextmanager
def own_disk(work: Path, left: int | None) -> Iterator[None]:
    """Let the workspace lie on a file system in memory that is nearly full, or read-only; what it holds comes back."""
    aside = work.with_name("aside")
    shutil.rmtree(aside, ignore_errors=True)
    work.rename(aside)
    work.mkdir()
    blocks = sum(-(-path.stat().st_size // 4096) + 1 for path in aside.rglob("*")) + 8
    options = f"size={blocks * 4096 + (left or 0)}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(work)], check=True)
    try:
        shutil.copytree(aside, work, dirs_exist_ok=True)
        if left is None:
            subprocess.run(["mount", "-o", "remount,ro", str(work)], check=True)
        yield
        shutil.rmtree(aside)
        shutil.copytree(work, aside)
    finally:
        subprocess.run(["umount", str(work)], check=True)
        work.rmdir()
        aside.rename(work)


def fault_of(code: int | None, text: str) -> str:
    """Return what is wrong with how a command ended."""
    if code is None:
        return "does not end"
    if code not in ALLOWED:
        return f"exit {code}"
    if "Traceback" in text:
        return "traceback"
    said = [line for line in text.splitlines() if line.startswith(("error: ", "hint: "))]
    return "" if code in (0, 1, 4) or len(said) == 2 else "not two lines"


def disturbed(work: Path, pristine: Path, case: Case, kind: str) -> tuple[int | None, str]:
    """Run a command in bad surroundings and return its code and what it said."""
    prepare(pristine, work, case)
    said = work.parent / "said.txt"
    said.unlink(missing_ok=True)
    said.touch()
    said.chmod(0o666)
    if kind in INSIDE:
        code, _ = ended(start(work, case.arguments, said, lambda: INSIDE[kind](work)), 180)
        return code, said.read_text(errors="replace")
    if kind in ROOM:
        with own_disk(work, ROOM[kind]):
            code, _ = ended(start(work, case.arguments, said), 180)
        return code, said.read_text(errors="replace")
    if kind == "beside":
        other = work.parent / "other.txt"
        first, second = start(work, case.arguments, said), start(work, case.arguments, other)
        codes = [ended(first, 180)[0], ended(second, 180)[0]]
        texts = [said.read_text(errors="replace"), other.read_text(errors="replace")]
        worst = max(range(2), key=lambda n: (bool(fault_of(codes[n], texts[n])), n))
        return codes[worst], texts[worst]
    over, kept = Event(), work.parent / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(work.parent / "raw", kept)
    mover = Thread(target=_move, args=(work.parent / "raw", over))
    mover.start()
    code, _ = ended(start(work, case.arguments, said), 180)
    over.set()
    mover.join()
    shutil.rmtree(work.parent / "raw")
    kept.rename(work.parent / "raw")
    return code, said.read_text(errors="replace")


def _move(raw: Path, over: Event) -> None:
    """Delete, cut, rename and exchange source files until somebody says that it is over."""
    chance = random.Random(1)
    while not over.wait(0.02):
        files = [path for path in raw.rglob("*.png") if path.is_file()]
        if len(files) < 20:
            return
        file, another = chance.sample(files, 2)
        what = chance.randrange(4)
        if what == 0:
            file.unlink()
        elif what == 1:
            file.write_bytes(file.read_bytes()[: chance.randrange(900)])
        elif what == 2:
            file.rename(file.with_name(f"moved-{chance.randrange(999)}.png"))
        else:
            file.write_bytes(another.read_bytes())


def main() -> None:
    """Disturb each command in each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="full,nearly,disk,half,readonly,nobody,files,beside,moving")
    parser.add_argument("--commands", default=",".join(n for n in CASES if not CASES[n].endless))
    wanted = parser.parse_args()
    study = study_of(wanted.folder)
    work = study.parent / "work"
    said = study.parent / "said.txt"
    began, tried, faults = time.monotonic(), 0, 0
    for name in wanted.commands.split(","):
        case = CASES[name]
        prepare(study, work, case)
        pristine, case = begun(study, work, case)
        whole_run(work, case.arguments, said)
        usual = results(work, case)
        for kind in wanted.only.split(","):
            code, text = disturbed(work, pristine, case, kind)
            fault = fault_of(code, text)
            tried += 1
            if not fault and kind != "moving":
                tries = [case.arguments] if not case.again else [case.again, case.arguments]
                outcomes = []
                for arguments in tries:
                    again, _ = whole_run(work, arguments, said)
                    outcomes.append(f"{again}: {said.read_text(errors='replace')[-300:]}")
                    if results(work, case) == usual:
                        break
                else:
                    fault = f"the next run gives another result ({outcomes})"
            faults += bool(fault)
            first = next((line for line in text.splitlines() if line.startswith("error: ")), "")[:160]
            sys.stdout.write(f"{'FAULT ' if fault else ''}{name} {kind}: {code} {first} {fault}\n")
            if fault:
                sys.stdout.write(f"    {text[-500:]!r}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{tried} tried, {faults} faults, {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
