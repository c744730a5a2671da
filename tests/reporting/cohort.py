"""A small workspace with a run and its evaluation, for two classes, three classes, and the odd cases."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.audit.findings import AuditResult, Finding, SkippedCheck, write_audit
from medimg_cli.dataset.manifest import Dataset, DatasetInfo, read_dataset, write_dataset
from medimg_cli.evaluation.evaluation import Confusion, Evaluation, Leakage, write_evaluation
from medimg_cli.evaluation.results.calibration import Calibration
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import predictions_of, write_predictions
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.run import Fingerprint, ModelCard, Normalisation, Run, RunRecord, Threshold
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.tables import write_table
from medimg_cli.workspace.workspace import Workspace
from tests.reporting.figures import curves, missed_of, overall, per_class

HASH = hashlib.sha256(b"cohort").hexdigest()


@dataclass(frozen=True)
class Cohort:
    """What a report is made from."""

    workspace: Workspace
    run: Run
    evaluation: Evaluation


def make_cohort(
    root: Path,
    *,
    classes: tuple[str, ...] = ("NORMAL", "PNEUMONIA"),
    positive: str | None = "PNEUMONIA",
    per_class: int = 40,
    missed: int = 3,
    patients_known: bool = True,
    audited: bool = True,
    sources: tuple[str, ...] = ("/home/someone/chest_xray",),
) -> Cohort:
    """Write a whole workspace; `missed` images of the last class get a low probability."""
    workspace = Workspace(root)
    rows = _rows(classes, per_class)
    _write_images(root, rows)
    info = DatasetInfo(
        classes=classes,
        positive=positive,
        positive_guessed=positive is not None,
        seed=0,
        layout="folders",
        sources=sources,
        patients_known=patients_known,
        split_origin="patient-grouped, stratified, seed 0",
    )
    quarantine = pd.DataFrame(
        {"path": ["broken.png"], "reason": ["truncated"], "bytes": ["12"], "sha256": [HASH]}
    )
    write_dataset(workspace, Dataset(rows, info), quarantine)
    dataset = read_dataset(workspace)
    threshold = _threshold() if positive is not None and len(classes) == 2 else None
    run = _write_run(workspace, dataset, threshold)
    evaluation = _write_results(run, dataset, threshold, missed)
    if audited:
        _write_audit(workspace, dataset)
    return Cohort(workspace, run, evaluation)


def _rows(classes: tuple[str, ...], per_class: int) -> pd.DataFrame:
    records = []
    for split in ("train", "val", "test"):
        for label_index, label in enumerate(classes):
            for index in range(per_class):
                name = f"{split}-{label_index}-{index:03d}"
                records.append(_record(name, label, split, f"patient-{name}"))
    rows = pd.DataFrame(records)
    rows.loc[0, ["status", "reason"]] = ["excluded", "duplicate: train-0-001"]
    return rows


def _record(name: str, label: str, split: str, patient: str) -> dict[str, str | int]:
    sizes = {"width": 24, "height": 16, "channels": 1, "bit_depth": 8}
    names = {"image_id": name, "path": f"images/{name}.png", "label": label, "patient_id": patient}
    return {**names, "split": split, **sizes, "sha256": HASH, "status": "ok", "reason": ""}


def _write_images(root: Path, rows: pd.DataFrame) -> None:
    """Write the test images only: nothing else is looked at."""
    (root / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    ramp = np.linspace(30, 220, 24, dtype=np.float64)
    for path in rows.loc[rows["split"] == "test", "path"]:
        noise = random.normal(0, 12, (16, 24))
        pixels = np.clip(ramp[None, :] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / path)


def _threshold() -> Threshold:
    return Threshold(
        value=0.3127,
        rule="highest threshold with recall of at least 95 %",
        split="val",
        target_recall=0.95,
        achieved_recall=0.9512,
        achieved_specificity=0.881,
    )


def _write_run(workspace: Workspace, dataset: Dataset, threshold: Threshold | None) -> Run:
    run = Run(workspace.runs_dir / "small-cnn-1")
    run.folder.mkdir(parents=True)
    train = dataset.of_split("train")
    run.write_card(
        ModelCard(
            arch="small-cnn",
            classes=dataset.info.classes,
            positive=dataset.info.positive,
            recipe=Recipe(size_px=64, channels=1),
            normalisation=Normalisation(mean=(0.4821,), std=(0.2214,)),
            threshold=threshold,
            fingerprint=Fingerprint(
                dataset_hash=dataset.info.content_hash,
                train_images=len(train),
                train_patients=train["patient_id"].nunique(),
                val_images=len(dataset.of_split("val")),
                class_counts=train["label"].value_counts().to_dict(),
            ),
            weights_sha256=HASH,
        )
    )
    run.write_record(
        RunRecord(
            name=run.name,
            status="complete",
            arch="small-cnn",
            seed=7,
            started="2026-03-04T10:11:12Z",
            finished="2026-03-04T10:15:00Z",
            seconds=228.4,
            epochs_run=12,
            best_epoch=9,
            parameters=391_234,
            images_per_second=812.4,
            val={"auroc": 0.97},
            dataset_hash=dataset.info.content_hash,
            recipe_key="0123456789abcdef",
            command="medimg train --arch small-cnn --seed 7",
            versions={"medimg": "0.1.0", "torch": "2.13.0", "python": "3.11.2"},
            machine={"cpu": "2 cores", "memory": "8 GiB", "system": "Linux"},
            git_commit="b61b9ac",
        )
    )
    settings = {"ingest": {"labels": "/home/someone/labels.csv"}, "train": {"arch": "small-cnn", "lr": 0.001}}
    run.config_path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    write_table(run.history_path, _history())
    return run


def _history() -> pd.DataFrame:
    epoch = np.arange(1, 13)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "train_loss": 0.6 * np.exp(-epoch / 4) + 0.05,
            "val_loss": 0.6 * np.exp(-epoch / 4) + 0.12 + 0.002 * epoch,
            "val_auroc": 0.98 - 0.3 * np.exp(-epoch / 2),
            "val_recall": 0.95 - 0.4 * np.exp(-epoch / 2),
            "lr": 0.001,
            "seconds": 19.0,
        }
    )


def _probabilities(dataset: Dataset, missed: int) -> NDArray[np.float64]:
    """Return (N, C): every image is sure of its class but a few false alarms and the missed ones."""
    test, classes = dataset.of_split("test"), dataset.info.classes
    truth = dataset.labels.encode(test["label"].tolist())
    random = np.random.default_rng(1)
    probabilities = random.uniform(0.001, 0.1, (len(test), len(classes)))
    probabilities[np.arange(len(test)), truth] = 0.8
    last = np.flatnonzero(truth == len(classes) - 1)[:missed]
    first = np.flatnonzero(truth == 0)[:2]
    probabilities[last, 0], probabilities[last, -1] = 0.9, np.linspace(0.02, 0.2, len(last))
    probabilities[first, 0], probabilities[first, -1] = 0.1, (0.9, 0.95)[: len(first)]
    normalised: NDArray[np.float64] = probabilities / probabilities.sum(axis=1, keepdims=True)
    return normalised


def _write_results(run: Run, dataset: Dataset, threshold: Threshold | None, missed: int) -> Evaluation:
    test, info = dataset.of_split("test"), dataset.info
    table = predictions_of(dataset, test, _probabilities(dataset, missed), OperatingPoint(threshold))
    write_predictions(run.predictions_path("test"), table)
    pairs = table.groupby(["y_true", "y_pred"]).size()
    matrix = tuple(
        tuple(int(pairs.get((truth, answer), 0)) for answer in info.classes) for truth in info.classes
    )
    confusion = Confusion(labels=info.classes, matrix=matrix)
    evaluation = Evaluation(
        run=run.name,
        split="test",
        n=len(test),
        patients=test["patient_id"].nunique(),
        classes=info.classes,
        class_counts=test["label"].value_counts().to_dict(),
        positive=info.positive,
        threshold=threshold,
        metrics=overall(confusion, info.positive, len(test)),
        per_class=per_class(confusion, len(test)),
        confusion=confusion,
        confusion_at_argmax=confusion if threshold else None,
        missed=missed_of(table, info.positive),
        calibration=Calibration(brier=0.0421, log_loss=0.1823, ece=0.0312),
        leakage=Leakage(patients_known=info.patients_known, shared_patients=0, shared_files=0),
        roc=curves(info, (0.0, 0.02, 0.05, 0.3, 1.0), (0.0, 0.7, 0.925, 0.99, 1.0), (0.05, 0.925)),
        precision_recall=curves(info, (0.0, 0.5, 0.925, 1.0), (1.0, 0.99, 0.949, 0.5), (0.925, 0.949)),
        warnings=() if info.positive else ("no positive class was stated: recall is the mean over classes",),
        dataset_hash=info.content_hash,
        predictions_sha256=sha256_of_file(run.predictions_path("test")),
        weights_sha256=HASH,
    )
    write_evaluation(run.metrics_path("test"), evaluation)
    return evaluation


def _write_audit(workspace: Workspace, dataset: Dataset) -> None:
    finding = Finding(
        "duplicates", "warning", "3 images stand twice", "look at them", ("train-0-001", "train-0-002"), 3
    )
    skipped = SkippedCheck("shortcuts", "needs the column 'site'")
    run = ("balance", "duplicates", "leaks")
    write_audit(workspace, AuditResult((finding,), True, run, (skipped,), dataset.info.content_hash))
