"""How far little data goes: AUROC and minutes at 50, 200, 1,000 and all training images, by patient, medimg and its peers.

    python -m tests.benchmarks.bench_little run --data DATA --work DIR --envs ENVS [--sizes 50,200] [--columns …]
    python -m tests.benchmarks.bench_little table --work DIR

DATA holds `chest_xray`, `breast_ultrasound`, `medmnist` and `weights`; ENVS a `fastai` that `bench_train prepare` made.
Every draw takes whole patients, as many of each class as it has a share, into a table with a split column: medimg
ingests it, cuts val from train, and every column learns from that same split. Test is as published (of breast
ultrasound, which has none, a fifth) and every column is asked about it once, when all of it is chosen. Whatever
starts from weights has MobileNetV2 at 128 px, but `auto`, which may take any network of the folder within five minutes.
Clocks run over the training alone, without imports.

A finished cell is a line of `cells.jsonl`; a call goes on where the last one stopped. Call it with OMP_NUM_THREADS=1.
"""

import argparse
import csv
import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import medimg_cli as medimg
from medimg_cli.workspace.config import load_settings
from medimg_cli.workspace.workspace import Workspace
from tests.benchmarks.bench_train.cohorts import patient_of
from tests.benchmarks.bench_train.environments import PEERS, python_of
from tests.benchmarks.bench_train.measure import Cost, run
from tests.benchmarks.killing import say

SETS = ("chest_xray", "pneumoniamnist", "breast_ultrasound")
SIDE_PX = 128
ARCH, WEIGHTS = "mobilenet_v2", "mobilenet_v2_imagenet_dequant_tvnorm.pth"
EPOCHS = 10
ALL = 10**9
_TEST_SHARE = 0.2
_LIMIT = 300.0
_HERE = Path(__file__).parents[2]
_ENVIRONMENT = {"PYTHONPATH": str(_HERE), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Cell:
    """One column's answer to one draw of one set."""

    cohort: str
    images: int
    draw: int
    column: str


@dataclass(frozen=True)
class Draw:
    """What was drawn and ingested.

    Args:
        rows: of the manifest, columns path (absolute), label, split (train, val or test), width.
        workspace: of medimg, ingested.
    """

    rows: pd.DataFrame
    workspace: Path
    seed: int

    @property
    def is_large(self) -> bool:
        return bool((self.rows["width"].astype(int) > SIDE_PX).all())

    def of(self, *splits: str) -> pd.DataFrame:
        return self.rows[self.rows["split"].isin(splits)].reset_index(drop=True)


@dataclass(frozen=True)
class Answer:
    """What a column said of the test images: (N, C) probabilities of classes in the alphabet's order."""

    truth: list[str]
    probabilities: NDArray[np.float64]
    cost: Cost
    tried: Mapping[str, object] = field(default_factory=dict)


def main() -> int:
    options = _options()
    kept = options.work / "cells.jsonl"
    if options.action == "run":
        _measure(options, kept)
    say(table(_read(kept)))
    return 0


def _measure(options: argparse.Namespace, kept: Path) -> None:
    """Measure what is lacking, all columns of a draw one after the other, until the minutes are over."""
    ends = time.monotonic() + 60 * options.minutes
    done = {
        Cell(**{name: row[name] for name in ("cohort", "images", "draw", "column")}) for row in _read(kept)
    }
    bench = Bench(options.data, options.work, options.envs)
    for draw in range(options.draws):
        for size in options.sizes:
            for cohort in options.sets:
                lacking = [
                    cell for name in options.columns if (cell := Cell(cohort, size, draw, name)) not in done
                ]
                if lacking and time.monotonic() < ends:
                    given = bench.drawn(cohort, size, draw)
                    for cell in lacking:
                        if time.monotonic() < ends:
                            _append(kept, cell, given, COLUMNS[cell.column](bench, given))


def _append(kept: Path, cell: Cell, given: Draw, answer: Answer | None) -> None:
    row: dict[str, object] = {**vars(cell), "taught": len(given.of("train", "val"))}
    if answer is None:
        row["failed"] = True
    else:
        cost = answer.cost
        row |= {"auroc": auroc(answer.truth, answer.probabilities), "tried": dict(answer.tried)}
        row |= {"wall_seconds": round(cost.wall_seconds, 2), "cpu_seconds": round(cost.cpu_seconds, 2)}
    with kept.open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    say(json.dumps(row))


def auroc(truth: Sequence[str], probabilities: NDArray[np.float64]) -> float:
    """Return the AUROC of the class last in the alphabet of two, of more the mean of each against the rest."""
    names = sorted(set(truth))
    each = [
        float(roc_auc_score([label == name for label in truth], probabilities[:, place]))
        for place, name in enumerate(names)
    ]
    return each[-1] if len(names) == 2 else float(np.mean(each))


class Bench:
    """The sets, their draws, and the features of their images, each made once."""

    def __init__(self, data: Path, work: Path, envs: Path) -> None:
        self.data, self.work, self.envs = data, work, envs
        self._cohorts: dict[str, pd.DataFrame] = {}

    @property
    def weights(self) -> Path:
        return self.data / "weights" / WEIGHTS

    def cohort(self, name: str) -> pd.DataFrame:
        """Return a row an image: path, label, patient, split (train or test)."""
        if name not in self._cohorts:
            file = self.work / f"{name}.csv"
            if not file.is_file():
                self.work.mkdir(parents=True, exist_ok=True)
                _COHORTS[name](self.data, self.work).to_csv(file, index=False)
            self._cohorts[name] = pd.read_csv(file, dtype=str)
        return self._cohorts[name]

    def drawn(self, cohort: str, images: int, seed: int) -> Draw:
        """Return a draw that medimg has ingested and split."""
        rows = self.cohort(cohort)
        train = _some(rows[rows["split"] == "train"], images, seed)
        chosen = pd.concat([train, rows[rows["split"] == "test"]])
        folder = self.work / "draw"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "images").mkdir(parents=True)
        chosen = chosen.assign(
            file=[f"{place:05d}{Path(path).suffix}" for place, path in enumerate(chosen["path"])]
        )
        for file, path in zip(chosen["file"], chosen["path"], strict=True):
            (folder / "images" / file).symlink_to(path)
        chosen[["file", "label", "patient", "split"]].to_csv(folder / "labels.csv", index=False)
        names = sorted(set(chosen["label"]))
        given: dict[str, Any] = {
            "layout": "csv",
            "labels": str(folder / "labels.csv"),
            "use_split_col": "split",
            "seed": seed,
        }
        given |= {"image_col": "file", "label_col": "label", "patient_col": "patient"}
        if len(names) == 2:
            given["positive"] = names[-1]
        medimg.ingest(folder / "images", folder, **given)
        manifest = pd.read_csv(folder / "dataset" / "manifest.csv", dtype=str, keep_default_na=False)
        paths = [str(folder / path) for path in manifest["path"]]
        return Draw(manifest[["label", "split", "width"]].assign(path=paths), folder, seed)

    def features(self, paths: Sequence[str]) -> NDArray[np.float32]:
        """Return what MobileNetV2 sees in images (N, D), through torchvision alone; each image is looked at once."""
        file = self.work / "features.npz"
        known: dict[str, NDArray[np.float32]] = {}
        if file.is_file():
            with np.load(file) as held:
                known = dict(zip(held["paths"].tolist(), held["features"], strict=True))
        real = [str(Path(path).resolve()) for path in paths]
        lacking = [path for path in dict.fromkeys(real) if path not in known]
        if lacking:
            known |= dict(zip(lacking, _look(self.weights, lacking), strict=True))
            np.savez(file, paths=np.array(list(known)), features=np.stack(list(known.values())))
        return np.stack([known[path] for path in real])


def _look(weights: Path, paths: Sequence[str]) -> NDArray[np.float32]:
    import torch

    from medimg_cli.training.networks.torchvision_door import torchvision  # lets the line below load
    from tests.benchmarks.bench_train.peers.image_folders import plain_transform

    torch.set_num_threads(1)
    network = torchvision.models.mobilenet_v2(weights=None)
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    look, found = plain_transform(SIDE_PX), []
    with torch.inference_mode():
        for start in range(0, len(paths), 32):
            images = [look(Image.open(path).convert("RGB")) for path in paths[start : start + 32]]
            found.append(network.features(torch.stack(images)).mean(dim=(2, 3)).numpy())
    return np.concatenate(found)


def _some(rows: pd.DataFrame, images: int, seed: int) -> pd.DataFrame:
    """Return whole patients in random order, of each class its share of `images`; all rows where there are no more."""
    if images >= len(rows):
        return rows
    generator, chosen = np.random.default_rng(seed), []
    for _, of_class in rows.groupby("label"):
        wanted, patients = round(images * len(of_class) / len(rows)), of_class.groupby("patient").groups
        for name in generator.permutation(sorted(map(str, patients))):
            if len(patients[name]) <= wanted:
                wanted -= len(patients[name])
                chosen += list(patients[name])
    return rows.loc[sorted(chosen)]


def _chest_xray(data: Path, _work: Path) -> pd.DataFrame:
    # Both parts count their persons from 1, and do not mean the same ones.
    found = [
        (str(path), path.parent.name, f"{split}-{patient_of(path.name)}", split)
        for split in ("train", "test")
        for path in sorted((data / "chest_xray" / split).rglob("*.jpeg"))
    ]
    return pd.DataFrame(found, columns=["path", "label", "patient", "split"])


def _pneumoniamnist(data: Path, work: Path) -> pd.DataFrame:
    """Write the arrays as PNGs; train and val as published are what draws are made from, copies left out."""
    folder, found, seen = work / "pneumoniamnist", [], set()
    folder.mkdir(exist_ok=True)
    with np.load(data / "medmnist" / "pneumoniamnist.npz") as held:
        for part in ("test", "train", "val"):
            labels = held[f"{part}_labels"].ravel()
            for place, (pixels, label) in enumerate(zip(held[f"{part}_images"], labels, strict=True)):
                if part != "test" and pixels.tobytes() in seen:
                    continue
                seen.add(pixels.tobytes())
                path = folder / f"{part}{place:04d}.png"
                Image.fromarray(pixels).save(path)
                name = "pneumonia" if label else "normal"
                found.append((str(path), name, path.stem, "test" if part == "test" else "train"))
    return pd.DataFrame(found, columns=["path", "label", "patient", "split"])


def _breast_ultrasound(data: Path, work: Path) -> pd.DataFrame:
    """Take what medimg finds to show the same for one patient, leave out what it finds in two classes, cut a test."""
    folder = work / "breast"
    folder.mkdir(exist_ok=True)
    source = data / "breast_ultrasound"
    medimg.ingest(source, folder)
    group: dict[str, str] = {}
    for finding in medimg.label_audit(folder, checks=("near-duplicates",)).findings:
        for members in finding.groups:
            known = {group.get(name, name) for name in members}
            group |= {name: min(known) for name in {*members, *(n for n, of in group.items() if of in known)}}
    paths = sorted(source.glob("*/*.png"))
    rows = pd.DataFrame({"path": map(str, paths), "label": [path.parent.name for path in paths]})
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    rows["patient"] = [group.get(name, name) for name in names]
    rows = rows[rows.groupby("patient")["label"].transform("nunique") == 1].reset_index(drop=True)
    test = set(_some(rows, round(_TEST_SHARE * len(rows)), seed=2026).index)
    return rows.assign(split=["test" if place in test else "train" for place in rows.index])


_COHORTS: Mapping[str, Callable[[Path, Path], pd.DataFrame]] = {
    "chest_xray": _chest_xray,
    "pneumoniamnist": _pneumoniamnist,
    "breast_ultrasound": _breast_ultrasound,
}


def _with_medimg(options: Callable[[Bench], Mapping[str, object]]) -> Callable[[Bench, Draw], Answer]:
    def column(bench: Bench, given: Draw) -> Answer:
        # Small images are enlarged for what starts from weights, by default.
        folder, size = given.workspace, {"size": SIDE_PX} if options(bench) and given.is_large else {}
        for name in ("cache", "runs"):  # each column pays for its own pixels and features
            shutil.rmtree(folder / name, ignore_errors=True)
        train = {"name": "run", "seed": given.seed, **options(bench)}
        settings = load_settings(Workspace(folder), options={"train": train, "preprocess": size}, note=say)
        began, ticks = time.perf_counter(), time.process_time()
        medimg.train(folder, settings=settings)
        cost = Cost(time.perf_counter() - began, time.process_time() - ticks, 0, 0)
        choice, tried = folder / "runs" / "run" / "candidates.json", {}
        if choice.is_file():
            for each in json.loads(choice.read_text())["tried"]:
                tried[each["name"] + ("*" if each["chosen"] else "")] = each["auroc"] or each["ended"]
        medimg.evaluate("run", folder)
        answers = pd.read_csv(folder / "runs" / "run" / "predictions-test.csv")
        columns = sorted(name for name in answers.columns if name.startswith("prob_"))
        return Answer(answers["y_true"].tolist(), answers[columns].to_numpy(), cost, tried)

    return column


def _with_sklearn(*splits: str) -> Callable[[Bench, Draw], Answer]:
    """Scikit-learn's defaults after scaling; looking at the images counts, were it done before."""

    def column(bench: Bench, given: Draw) -> Answer:
        taught, test = given.of(*splits), given.of("test")
        bench.features(given.of("train", "val", "test")["path"].tolist())
        began, ticks = time.perf_counter(), time.process_time()
        seen = bench.features(taught["path"].tolist())
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(seen, taught["label"])
        cost = Cost(time.perf_counter() - began, time.process_time() - ticks, 0, 0)
        said = model.predict_proba(bench.features(test["path"].tolist()))
        return Answer(test["label"].tolist(), said, cost)

    return column


def _fastai(bench: Bench, given: Draw) -> Answer | None:
    folder = bench.work / "fastai"
    shutil.rmtree(folder, ignore_errors=True)
    for split, label, path in given.rows[["split", "label", "path"]].itertuples(index=False):
        link = folder / ("test" if split == "test" else f"fit/{split}") / label / Path(path).name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(path).resolve())
    out = folder / "predictions.csv"
    command = [str(python_of(bench.envs, "fastai")), "-m", "tests.benchmarks.bench_train.peers.start"]
    command += ["drive_fastai", "--train", str(folder / "fit/train"), "--val", str(folder / "fit/val")]
    command += ["--test", str(folder / "test"), "--size", str(SIDE_PX), "--epochs", str(EPOCHS)]
    batch = 32 if len(given.of("train")) > 200 else 16
    command += ["--batch", str(batch), "--seed", str(given.seed), "--arch", ARCH]
    command += ["--pretrained", str(bench.weights), "--out", str(out)]
    environment = {**PEERS["fastai"].variables, **_ENVIRONMENT}
    cost = run(
        command, log=bench.work / "fastai.log", marker=out.with_suffix(".trained"), environment=environment
    )
    if cost.code:
        return None
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = sorted(name for name in rows[0] if name.startswith("prob_"))
    said = np.array([[float(row[name]) for name in names] for row in rows])
    return Answer([Path(row["path"]).parent.name for row in rows], said, cost)


def _from_weights(bench: Bench, **others: object) -> dict[str, object]:
    return {"arch": ARCH, "weights": str(bench.weights), "head": "logistic", **others}


COLUMNS: Mapping[str, Callable[[Bench, Draw], Answer | None]] = {
    "scratch": _with_medimg(lambda _bench: {}),
    "logistic": _with_medimg(lambda bench: _from_weights(bench, freeze="backbone")),
    "tuned": _with_medimg(lambda bench: _from_weights(bench, freeze=1, epochs=EPOCHS)),
    "auto": _with_medimg(
        lambda bench: {"arch": "auto", "weights": str(bench.data / "weights"), "time_limit": _LIMIT}
    ),
    "sklearn": _with_sklearn("train"),
    "sklearn-val": _with_sklearn("train", "val"),
    "fastai": _fastai,
}


def _read(kept: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []


def table(rows: Iterable[Mapping[str, object]]) -> str:
    """Return a Markdown table: mean AUROC over draws, its 95 % interval by Student's t, and median CPU minutes."""
    found: dict[tuple[object, object], dict[str, list[Mapping[str, object]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        found[row["cohort"], row["images"]][str(row["column"])].append(row)
    lines = ["| set | images | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for (cohort, images), columns in sorted(found.items(), key=str):
        cells = [_in_words(columns.get(name, [])) for name in COLUMNS]
        shown = "all" if images == ALL else images
        lines.append(f"| {cohort} | {shown} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _in_words(rows: Sequence[Mapping[str, object]]) -> str:
    good = [row for row in rows if "auroc" in row]
    if not good:
        return "failed" if rows else ""
    values = np.array([float(str(row["auroc"])) for row in good])
    minutes = np.median([float(str(row["cpu_seconds"])) for row in good]) / 60
    about = f"{values.mean():.3f}"
    if len(values) > 1:
        half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        about += f" ±{half:.3f}"
    short = f" of {len(values)}" if len(values) != 5 else ""
    return f"{about}{short}, {minutes:.1f} min"


def _sizes(text: str) -> list[int]:
    return [ALL if each == "all" else int(each) for each in text.split(",")]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    measure, show = actions.add_parser("run"), actions.add_parser("table")
    for action in (measure, show):
        action.add_argument("--work", type=Path, required=True)
    measure.add_argument("--data", type=Path, required=True)
    measure.add_argument("--envs", type=Path, required=True)
    measure.add_argument("--sizes", type=_sizes, default=[50, 200, 1000, ALL])
    measure.add_argument("--draws", type=int, default=5)
    measure.add_argument("--sets", type=lambda text: text.split(","), default=list(SETS))
    measure.add_argument("--columns", type=lambda text: text.split(","), default=list(COLUMNS))
    measure.add_argument("--minutes", type=float, default=1e9, help="begin no cell after that")
    options = parser.parse_args()
    for name in ("data", "work", "envs"):
        if name in options:
            setattr(options, name, getattr(options, name).resolve())
    return options


if __name__ == "__main__":
    sys.exit(main())
