"""How long de-identification takes a file, and how many of the actions owed it does.

    python -m tests.benchmarks.bench_deidentify FOLDER [--dates remove|shift|keep]

Plants identities into every DICOM file of FOLDER, cleans each and prints one JSON object: milliseconds of CPU a
file, the score by kind of action (see `tests.privacy.action_score`), and what could not be written.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

from medimg_cli.images.quiet_decoding import own_terms
from medimg_cli.privacy.dicom.headers import is_dicom
from medimg_cli.privacy.removal.cleaned import CannotDeidentify
from medimg_cli.privacy.removal.deidentify_dicom import deidentify_dicom
from medimg_cli.privacy.removal.profile import Profile
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms
from tests.privacy.action_score import Score
from tests.privacy.planted_identities import left_in, planted, secrets


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dates", choices=["remove", "shift", "keep"], default="shift")
    arguments = parser.parse_args()
    key, profile = Pseudonyms(b"k" * 32), Profile(dates=arguments.dates)
    score, left = Score(), 0
    milliseconds: list[float] = []
    refused: list[str] = []
    files = [path for path in sorted(arguments.folder.rglob("*")) if path.is_file() and is_dicom(path)]
    with own_terms():
        for path in files:
            content = planted(path)
            begun = time.process_time()
            try:
                clean = deidentify_dicom(content, profile, key).content
            except CannotDeidentify as error:
                refused.append(f"{path.name}: {error}")
                continue
            finally:
                milliseconds.append((time.process_time() - begun) * 1000)
            left += len(left_in(clean))
            if arguments.dates == "shift":
                score.add(content, clean, key.shift_days)
    score.finish()
    answer = {
        "files": len(files),
        "kinds_planted": len(secrets()),
        "left": left,
        "cpu_ms_mean": sum(milliseconds) / max(1, len(milliseconds)),
        "cpu_ms_median": median(milliseconds),
        "cpu_ms_highest": max(milliseconds),
        "score": score.share if score.required else None,
        "actions": {kind: [score.correct[kind], total] for kind, total in sorted(score.required.items())},
        "refused": refused,
    }
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")


if __name__ == "__main__":
    main()
