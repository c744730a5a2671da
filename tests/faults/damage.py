"""Damage one artefact of a finished study, run one command, and hold the answer against the undamaged one's.

By hand: `python -m tests.faults.damage FOLDER --seconds 240 --seed 1` (a study is made in FOLDER at the first call).
"""

import argparse
import contextlib
import io
import json
import math
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg_cli.cli.app import run
from medimg_cli.workspace.files import sealed
from tests.conftest import draw_cohort

ALLOWED = {0, 1, 2, 3, 4, 5, 6}
DIVIDED = ("preprocess", "--size", "24", "--channels", "1")
COMMANDS: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest", "{raw}"),
    "label-audit": ("label-audit", "--fail-on", "never"),
    "preprocess": ("preprocess",),
    "train-new": ("train", "--epochs", "1", "--batch-size", "8", "--name", "second"),
    "evaluate": ("evaluate", "first"),
    "evaluate-table": ("evaluate", "--predictions", "answers.csv"),
    "predict": ("predict", "{raw}/SPOT", "--run", "first"),
    "predict-resume": ("predict", "{raw}/SPOT", "--run", "first", "--out", "answers.csv", "--resume"),
    "report": ("report", "first", "--out", "out.html"),
    "export": ("export", "first", "--out", "out.onnx"),
    "bundle": ("bundle", "first", "--out", "out.zip"),
    "from-bundle": ("predict", "{raw}/SPOT", "--run", "handed.zip"),
    "recalibrate": ("recalibrate", "first", "--data", "{other}", "--name", "moved"),
    "external": ("evaluate", "first", "--data", "{other}"),
    "evaluate-partial": ("evaluate", "partial"),
    "goes-on": ("train", "--resume", "partial"),
    "explain": ("predict", "{other}/SPOT/patient001_0.png", "--run", "first", "--explain", "maps"),
    "tune-on": ("tune", "--resume", "found"),
    "tuned": ("train", "--config", "tune/found/best.yaml", "--epochs", "1", "--name", "second"),
    "shard": (*DIVIDED, "--shard", "1/2"),
    "merge": ("merge", "preprocess"),
    "sample-size": ("sample-size",),
    "runs": ("runs",),
}
RELATIVE = {"answers.csv", "out.html", "out.onnx", "out.zip", "handed.zip", "maps", "tune/found/best.yaml"}
"""Of the arguments, what lies in the workspace."""
READ_BY: dict[str, tuple[str, ...]] = {
    "dataset/manifest.csv": (
        "ingest", "label-audit", "preprocess", "train-new", "evaluate", "report", "runs", "merge", "sample-size", "predict",
    ),
    "dataset/dataset.json": ("ingest", "label-audit", "preprocess", "train-new", "evaluate", "report", "runs"),
    "dataset/quarantine.csv": ("ingest", "label-audit", "report"),
    "dataset/test-looks.csv": ("evaluate", "report", "runs"),
    "tune/found/*": ("tune-on", "tuned", "runs"),
    "shards/preprocess/*": ("merge", "shard"),
    "audit/*": ("label-audit", "report", "ingest"),
    "cache/*/*": ("preprocess", "goes-on", "train-new", "evaluate", "label-audit"),
    "runs/first/*": (
        "evaluate", "predict", "report", "export", "bundle", "runs", "external", "recalibrate", "label-audit",
        "explain",
    ),
    "runs/partial/*": ("goes-on", "goes-on", "runs", "evaluate-partial"),
    "answers.csv": ("evaluate-table", "predict-resume"),
    "handed.zip": ("from-bundle",),
    "medimg.yaml": ("ingest", "label-audit", "preprocess", "evaluate", "predict", "report", "runs"),
}  # fmt: skip
TIMES = re.compile(
    r'"(?:seconds|images_per_second|created|finished|started|when|bytes|sha256|at|date|decoded|size_bytes|reused|cache_reused|resumed)": [^,}\]]+'
)


@dataclass(frozen=True)
class Answer:
    """What one command said."""

    code: int
    out: str
    err: str


class TooLong(BaseException):
    """The command did not end in time."""


def make_study(folder: Path) -> Path:
    """Make the study that is damaged, with every artefact there is, and return its pristine copy."""
    pristine = folder / "pristine"
    if pristine.is_dir():
        return pristine
    work = folder / "work"
    draw_cohort(folder / "raw", patients=24)
    draw_cohort(folder / "other", patients=12, seed=9)
    (folder / "raw" / "SPOT" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    work.mkdir(parents=True)
    (work / "medimg.yaml").write_text("ingest:\n  seed: 0\ntrain:\n  epochs: 3\n  seed: 1\n")
    once = ("--positive", "SPOT", "--patient-regex", r"(patient\d+)", "--split", "0.5,0.25,0.25")
    for arguments in (
        ("ingest", str(folder / "raw"), *once),
        ("label-audit", "--fail-on", "never"),
        ("train", "--epochs", "3", "--batch-size", "8", "--name", "first"),
        ("evaluate", "first"),
        ("train", "--epochs", "4", "--batch-size", "8", "--name", "partial", "--patience", "400"),
        ("tune", "--trials", "2", "--epochs", "1", "--name", "found"),
        (*DIVIDED, "--shard", "1/2"),
        (*DIVIDED, "--shard", "2/2"),
        ("report", "first", "--out", str(work / "out.html")),
        ("predict", str(folder / "raw" / "SPOT"), "--run", "first", "--out", str(work / "answers.csv")),
        ("bundle", "first", "--out", str(work / "handed.zip")),
    ):
        answer = ask(work, arguments)
        if answer.code not in (0, 4):
            raise RuntimeError(f"{arguments}: {answer}")
    shutil.copytree(work, pristine)
    return pristine


def ask(work: Path, arguments: tuple[str, ...], *, seconds: int = 90) -> Answer:
    """Run a command in this process and return what it said."""
    whole = [
        str(work / a) if a in RELATIVE else a.replace("{", f"{work.parent}/").replace("}", "")
        for a in arguments
    ]
    out, err = io.StringIO(), io.StringIO()

    def stop(_number: int, _frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([*whole, "-C", str(work), "--json"])
    except TooLong:
        code = -14
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else -1
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return Answer(code, out.getvalue(), err.getvalue())


def fault_of(answer: Answer, usual: Answer) -> str:
    """Return what is wrong with an answer to a damaged artefact, "" where nothing is."""
    if answer.code not in ALLOWED:
        return f"exit {answer.code}"
    if "Traceback" in answer.err:
        return "traceback"
    lines = [line for line in answer.err.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "hint:"))]
    if answer.code in (2, 3, 5, 6) and (len(errors) != 2 or not errors[0].startswith("error: ")):
        return "not two lines"
    if answer.code in (0, 1, 4):
        try:
            json.loads(answer.out)
        except ValueError:
            return "stdout is not one JSON object"
        if answer.code != usual.code or TIMES.sub("", answer.out) != TIMES.sub("", usual.out):
            return f"another result{', said' if set(lines) - set(usual.err.splitlines()) else ', silently'} ({usual.code}→{answer.code}, {_difference(usual.out, answer.out)})"
    return ""


def _difference(first: str, second: str) -> str:
    """Return where two results part."""
    first, second = TIMES.sub("", first), TIMES.sub("", second)
    place = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    return f"{first[max(0, place - 60) : place + 40]!r} → {second[max(0, place - 60) : place + 40]!r}"


# --- damages: each takes bytes and gives others -----------------------------------------------------------------


def flip(content: bytes, chance: random.Random) -> bytes:
    """Flip a bit of one to four bytes."""
    changed = bytearray(content or b"x")
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def truncate(content: bytes, chance: random.Random) -> bytes:
    """Cut the end off."""
    return content[: chance.randrange(max(1, len(content)))]


def empty(_content: bytes, _chance: random.Random) -> bytes:
    """Leave nothing."""
    return b""


def zeros(content: bytes, chance: random.Random) -> bytes:
    """Overwrite a block with zeros, as a crash of a file system does."""
    start = chance.randrange(max(1, len(content)))
    end = min(len(content), start + 4096)
    return content[:start] + bytes(end - start) + content[end:]


def newer(content: bytes, _chance: random.Random) -> bytes:
    """Raise every number of a schema or version, under a seal that fits, as a newer medimg writes it."""
    raised = re.sub(rb'(["\w]*(?:schema|version)"?\s*[:=]\s*)"?\d[\d.]*"?', rb"\g<1>99", content)
    raised = raised if raised != content else content.replace(b"{", b'{"schema": 99, ', 1)
    with contextlib.suppress(ValueError):
        document = json.loads(raised)
        if isinstance(document, dict) and document.pop("seal", None):
            return json.dumps(sealed(document)).encode()
    return raised


ODD: tuple[Any, ...] = (
    None,
    [],
    {},
    "",
    "x",
    -1,
    0,
    1e308,
    math.nan,
    math.inf,
    True,
    [[]],
    {"a": {}},
    "9" * 400,
)


def alter_json(content: bytes, chance: random.Random) -> bytes:
    """Replace or drop one value of a JSON document."""
    try:
        document = json.loads(content)
    except ValueError:
        return flip(content, chance)
    places = list(_places(document))
    if not places:
        return b"[]"
    owner, key = chance.choice(places)
    what = chance.random()
    if isinstance(owner, dict) and what < 0.3:
        del owner[key]
    elif isinstance(owner, dict) and what < 0.4:
        owner["further"] = chance.choice(ODD)
    else:
        owner[key] = chance.choice(ODD)
    return json.dumps(document).encode()


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(document, dict | list):
        for key, value in list(document.items() if isinstance(document, dict) else enumerate(document)):
            yield document, key
            yield from _places(value)


def alter_table(content: bytes, chance: random.Random) -> bytes:
    """Change a cell, a row or a column of a CSV."""
    rows = [line.split(b",") for line in content.splitlines()]
    if len(rows) < 2:
        return b"a,b\n"
    row, column = chance.randrange(len(rows)), chance.randrange(len(rows[0]))
    what = chance.randrange(6)
    if what == 0:
        rows.append(rows[row])
    elif what == 1:
        del rows[row]
    elif what == 2:
        rows = [[cell for place, cell in enumerate(r) if place != column] for r in rows]
    elif what == 3:
        rows[row] = rows[row][:column]
    else:
        odd = (b"", b"nan", b"-1", b"inf", b"\xff\xfe", b"\x00", b'"', b"x", b"1e400", b"../../etc/passwd")
        rows[row] = [*rows[row][:column], chance.choice(odd), *rows[row][column + 1 :]]
    return b"\n".join(b",".join(r) for r in rows) + b"\n"


def folder(_content: bytes, _chance: random.Random) -> bytes | None:
    """Put a folder in the place of the file."""
    return None


def other_type(_content: bytes, chance: random.Random) -> bytes:
    """Hold one value instead of a document."""
    return json.dumps(chance.choice(ODD)).encode()


Damage = Callable[[bytes, random.Random], bytes | None]
DAMAGES: tuple[Damage, ...] = (flip, flip, truncate, empty, zeros, newer, folder)


def damages_for(name: str) -> tuple[Damage, ...]:
    """Return what can be done to an artefact."""
    if name.endswith(".json"):
        return (*DAMAGES, other_type, alter_json, alter_json, alter_json, alter_json)
    return (*DAMAGES, alter_table, alter_table, alter_table) if name.endswith(".csv") else DAMAGES


def artefacts(pristine: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return every artefact of a study with the commands that read it."""
    found = []
    for pattern, commands in READ_BY.items():
        found += [
            (str(p.relative_to(pristine)), commands) for p in sorted(pristine.glob(pattern)) if p.is_file()
        ]
    return found


def one(work: Path, pristine: Path, name: str, command: str, damage: str, seed: int) -> Answer:
    """Damage one artefact, run one command and return its answer."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(pristine, work)
    method = next(m for m in damages_for(name) if m.__name__ == damage)
    target = work / name
    content = method(target.read_bytes(), random.Random(seed))
    target.unlink()
    if content is None:
        target.mkdir()
    else:
        target.write_bytes(content)
    return ask(work, COMMANDS[command])


def main() -> None:
    """Try for a while and say what did not hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    wanted = parser.parse_args()
    pristine = make_study(wanted.folder.absolute())
    work = pristine.parent / "work"
    chance = random.Random(wanted.seed)
    usual: dict[str, Answer] = {}
    tried: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    until = time.monotonic() + wanted.seconds
    every = [
        (n, c) for n, commands in artefacts(pristine) for c in commands if re.search(wanted.only, f"{n} {c}")
    ]
    while time.monotonic() < until:
        name, command = chance.choice(every)
        if command not in usual:
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(pristine, work)
            usual[command] = ask(work, COMMANDS[command])
            sys.stdout.write(f"usual {command}: {usual[command].code} {usual[command].err[:200]!r}\n")
        damage, seed = chance.choice(damages_for(name)).__name__, chance.randrange(10**6)
        answer = one(work, pristine, name, command, damage, seed)
        sys.stdout.flush()
        tried[name] += 1
        codes[f"{Path(name).name} {answer.code}"] += 1
        if fault := fault_of(answer, usual[command]):
            sys.stdout.write(f"FAULT {fault}: {name} {command} {damage} {seed}: {answer.err[:400]!r}\n")
    sys.stdout.write(f"{sum(tried.values())} tried\n{sorted(codes.items())}\n")


if __name__ == "__main__":
    main()
