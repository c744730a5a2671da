"""How long de-identification takes a file, how many of the actions owed it does, and what is left, beside other tools.

    python -m tests.benchmarks.bench_deidentify FOLDER [--dates remove|shift|keep] [--others PYTHON]

Plants identities into every DICOM file of FOLDER, cleans each and prints one JSON object: milliseconds of CPU a
file, the score by kind of action (see `tests.privacy.action_score`), and what could not be written. The same for the
places of `tests.privacy.hidden_places` and `narrow_places`, where a text stands beside the pixels: a long one, and names
of 4 to 16 bytes in ASCII, Latin-1, UTF-8, UTF-16, ISO 8859-5 and ISO 2022 JP. PYTHON is an interpreter that has
dicognito and dicom-anonymizer (`pip install dicognito dicom-anonymizer` into an environment of their own): both clean
the same files.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.privacy.dicom.headers import is_dicom
from medimg_cli.privacy.removal.deidentify_dicom import deidentify_dicom
from medimg_cli.privacy.removal.profile import CannotDeidentify, Profile
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms
from tests.privacy.action_score import Score
from tests.privacy.hidden_places import SECRET, SHORT_SECRETS, dicom_places
from tests.privacy.narrow_places import narrow_dicom_places
from tests.privacy.planted_identities import left_in, planted, secrets

_KEY = Pseudonyms(b"k" * 32)
# Run by PYTHON: source, destination and tool; a file a tool cannot take is left out, as its own command does.
_OTHER = """
import sys, warnings
from pathlib import Path
import pydicom
warnings.simplefilter("ignore")
source, target, tool = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if tool == "dicognito":
    from dicognito.anonymizer import Anonymizer
    anonymizer = Anonymizer()
else:
    from dicomanonymizer import anonymize_dicom_file
for path in sorted(source.iterdir()):
    try:
        if tool == "dicognito":
            dataset = pydicom.dcmread(path, force=True)
            anonymizer.anonymize(dataset)
            dataset.save_as(target / path.name)
        else:
            anonymize_dicom_file(str(path), str(target / path.name))
    except Exception:
        (target / path.name).unlink(missing_ok=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dates", choices=["remove", "shift", "keep"], default="shift")
    parser.add_argument("--others", type=Path, metavar="PYTHON")
    arguments = parser.parse_args()
    files = [path for path in sorted(arguments.folder.rglob("*")) if path.is_file() and is_dicom(path)]
    with quiet_decoding():
        sources = {f"{number:04d}.dcm": planted(path) for number, path in enumerate(files)}
        found = list(_hidden())
        hidden = {f"{number:04d}.dcm": content for number, (_, _, content) in enumerate(found)}
        answer = {
            "files": len(files),
            "kinds_planted": len(secrets()),
            **_measured(sources, Profile(dates=arguments.dates)),
            "places": len({place for place, _, _ in found}),
            "files_with_places": len(found),
            "medimg": _leftovers(sources, found, _medimg(sources), _medimg(hidden)),
        }
        for tool in ("dicognito", "dicom-anonymizer") if arguments.others else ():
            cleaned = [_by_other(arguments.others, tool, files) for files in (sources, hidden)]
            answer[tool] = _leftovers(sources, found, *cleaned)
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")


def _hidden() -> Iterator[tuple[str, bytes, bytes]]:
    """Yield (place, text, file) for every text and every place where it stands as it is."""
    for secret in (SECRET, *SHORT_SECRETS):
        for place, content in (*dicom_places(secret), *narrow_dicom_places(secret)):
            if secret in content:
                yield place, secret, content


def _measured(sources: dict[str, bytes], profile: Profile) -> dict[str, object]:
    """Return time, refusals, and the score of dates that are shifted."""
    score = Score()
    milliseconds: list[float] = []
    refused: list[str] = []
    for name, content in sources.items():
        begun = time.process_time()
        try:
            clean = deidentify_dicom(content, profile, _KEY).content
        except CannotDeidentify as error:
            refused.append(f"{name}: {error}")
            continue
        finally:
            milliseconds.append((time.process_time() - begun) * 1000)
        if profile.dates == "shift":
            score.add(content, clean, _KEY.shift_days)
    score.finish()
    return {
        "cpu_ms_mean": sum(milliseconds) / max(1, len(milliseconds)),
        "cpu_ms_median": median(milliseconds),
        "cpu_ms_highest": max(milliseconds),
        "score": score.share if score.required else None,
        "actions": {kind: [score.correct[kind], total] for kind, total in sorted(score.required.items())},
        "refused": refused,
    }


def _medimg(sources: dict[str, bytes]) -> dict[str, bytes]:
    """Return the copies that are written."""
    copies = {}
    for name, content in sources.items():
        try:
            copies[name] = deidentify_dicom(content, Profile(), _KEY).content
        except CannotDeidentify:
            continue
    return copies


def _by_other(python: Path, tool: str, sources: dict[str, bytes]) -> dict[str, bytes]:
    """Return the copies that another tool writes with its defaults."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before"), Path(folder, "after")
        before.mkdir()
        after.mkdir()
        for name, content in sources.items():
            (before / name).write_bytes(content)
        command = [str(python), "-c", _OTHER, str(before), str(after), tool]
        subprocess.run(command, check=True, capture_output=True)
        return {path.name: path.read_bytes() for path in after.iterdir()}


def _leftovers(
    sources: dict[str, bytes],
    hidden: list[tuple[str, bytes, bytes]],
    copies: dict[str, bytes],
    hidden_copies: dict[str, bytes],
) -> dict[str, object]:
    """Return what is left: of planted kinds in how many files, and of hidden places which."""
    kinds = Counter(kind for content in copies.values() for kind in left_in(content))
    planted_here = {f"{number:04d}.dcm": (place, secret) for number, (place, secret, _) in enumerate(hidden)}
    left = [name for name, content in hidden_copies.items() if planted_here[name][1] in content]
    places = {planted_here[name][0] for name in left}
    return {
        "written": f"{len(copies)} of {len(sources)}",
        "kinds_left": len(kinds),
        "left": kinds.total(),
        "kinds": dict(kinds.most_common()),
        "places_written": f"{len(hidden_copies)} of {len(hidden)}",
        "files_left": len(left),
        "places_left": len(places),
        "places": sorted(places),
    }


if __name__ == "__main__":
    main()
