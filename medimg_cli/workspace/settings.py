"""Settings: one section per command, the names of its options with `_` for `-`."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

from medimg_cli.workspace.operating_settings import EvaluateSettings
from medimg_cli.workspace.section import (
    Chance,
    Commas,
    Fraction,
    LabelCode,
    PositiveInt,
    Seconds,
    Section,
    Several,
    setting,
)
from medimg_cli.workspace.serve_settings import ServeSettings
from medimg_cli.workspace.tune_settings import TuneSettings


class IngestSettings(Section):
    layout: str = setting(
        "auto",
        "arrangement of the source, such as folders, inner-folders, csv, dicom, names or npz; auto: the first that fits",
        metavar="NAME|auto",
    )
    labels: Path | None = setting(None, "table of labels (CSV, TSV, .xlsx, .xls or .ods)")
    sheet: str | None = setting(None, "sheet of a workbook, by name or number from 1", metavar="NAME|N")
    image_col: str | None = setting(None, "its column of file names or DICOM UIDs", metavar="NAME")
    label_col: str | None = setting(
        None, "its column of classes; A,B,C: one of 0/1 a class, or one a reader", metavar="NAME"
    )
    label_kind: Literal["auto", "one-hot", "readers"] = setting(
        "auto", "several label columns: one-hot, one a class; readers, one a reader; auto: by content"
    )
    map_classes: dict[str, str] = setting(
        {}, "class that a label of the source belongs to", flags="--map", metavar="OLD=NEW", repeated=True
    )
    patient_col: str | None = setting(None, "its column of patients", metavar="NAME")
    exam_col: str | None = setting(
        None,
        "decide per exam: its column of exams, or patient, study, series (DICOM), folder, file; none",
        metavar="NAME",
    )
    use_split_col: str | None = setting(None, "its column of splits", metavar="NAME")
    label_regex: str | None = setting(
        None, "label = group found in a file's name, else in its path, such as '(normal|covid)'", metavar="RE"
    )
    multi_label: bool = setting(False, "images may have several labels, or none")
    label_sep: str = setting("|", "what stands between the labels of a cell", min_length=1)
    positive: str | None = setting(None, "the disease class", metavar="CLASS")
    patient_regex: str | None = setting(
        None,
        "patient = first group found in a file's path; auto: the best pattern that names give",
        metavar="RE",
    )
    split: Annotated[tuple[float, float, float], Commas()] = setting(
        (0.7, 0.15, 0.15), "shares of train, val, test", metavar="T,V,T"
    )
    folds: int | None = setting(
        None, "number train and val in K folds, by patient", metavar="K", ge=2, le=100
    )
    frames: str = setting(
        "middle",
        "of several frames: middle (of TIFF and GIF the first page), first, all, every:N, or a number from 0",
        metavar="WHICH",
    )
    seed: int = setting(0, "seed of the split", ge=0)
    copy_images: bool = setting(False, "copy the images into the workspace", flags="--copy/--link")
    deidentify: bool = setting(False, "work on de-identified copies in dataset/images (see `deidentify`)")
    fresh: bool = setting(False, "start over: forget sources, splits and settings")
    decode_seconds: PositiveInt = setting(
        60, "a file has to be read by then, or it is quarantined", option=False, unit="seconds"
    )
    strict: bool = setting(False, "exit with 4 when a file could not be read")
    assume_yes: bool = setting(False, "go on although the classes look implausible", flags="--yes")

    @field_validator("sheet", mode="before")
    @classmethod
    def _check_sheet(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    @field_validator("map_classes", mode="before")
    @classmethod
    def _parse_map(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(old): str(new) for old, new in value.items()}
        pairs = [text.partition("=") for text in ([value] if isinstance(value, str) else value)]
        wrong = next(("".join(pair) for pair in pairs if not (pair[0].strip() and pair[2].strip())), None)
        if wrong is not None:
            raise ValueError(f"OLD=NEW such as 1=malignant, not '{wrong}'")
        return {old.strip(): new.strip() for old, _, new in pairs}

    @field_validator("frames", mode="before")
    @classmethod
    def _check_frames(cls, value: Any) -> Any:
        text = str(value)
        if not re.fullmatch(r"middle|first|all|every:[1-9][0-9]{0,5}|[0-9]{1,9}", text):
            raise ValueError("middle, first, all, every:N such as every:5, or the number of a frame, from 0")
        return text

    @field_validator("split")
    @classmethod
    def _check_split(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) < 0 or value[0] == 0 or abs(sum(value) - 1.0) > 1e-6:
            raise ValueError("three fractions that sum to 1, the first above 0, such as 0.7,0.15,0.15")
        return value


class LabelAuditSettings(Section):
    checks: Several[str] = setting((), "only these checks", unset="all")
    skip: Several[str] = setting((), "not these checks")
    quick: bool = setting(False, "without the checks that take long: burned-in-text and label-errors")
    fail_on: Literal["error", "warning", "never"] = setting("error", "severity that exits with 1")
    html: Path | None = setting(None, "the page", unset="audit/audit.html")
    apply: bool = setting(False, "exclude copies and blanks in the manifest")
    undo: bool = setting(False, "take back what --apply and --review marked")
    weights: str = setting(
        "auto", "network for label errors: auto, none, or a file of weights", metavar="auto|none|FILE"
    )
    ocr_sample: int = setting(40, "images read for text though none is seen", metavar="N", ge=0)
    decode_seconds: PositiveInt = setting(
        60, "a file has to be measured by then, or it is unreadable", option=False, unit="seconds"
    )
    seed: int = setting(0, "seed of folds and samples", ge=0)
    review: bool = setting(False, "decide on flagged images in the browser", panel="Review page")
    port: int = setting(8010, "where the review page listens; 0 = any", panel="Review page", ge=0, le=65535)
    reviewer: str | None = setting(
        None, "who decides on the review page", unset="asked there", metavar="NAME", panel="Review page"
    )


class SampleSizeSettings(Section):
    recall: Chance = setting(0.95, "recall that is expected")
    specificity: Chance = setting(0.9, "specificity that is expected")
    auroc: Chance | None = setting(None, "AUROC that is expected", unset="not planned for")
    width: Chance = setting(0.1, "width of the interval that is wanted, from end to end")
    lower_bound: Chance | None = setting(
        None, "recall that the interval shall exclude", unset="not planned for"
    )
    assurance: Chance = setting(0.8, "chance with which the interval excludes it")
    confidence: Chance = setting(0.95, "confidence of the intervals")
    prevalence: Chance | None = setting(None, "share of the positives", unset="that of the data set")
    images_per_patient: float | None = setting(
        None, "images of a patient", unset="those of the data set", metavar="N", ge=1
    )
    icc: float = setting(0.3, "correlation of right and wrong answers within a patient", ge=0, le=1)
    curve: bool = setting(True, "measure a learning curve", flags="--curve/--no-curve")
    draws: PositiveInt = setting(3, "subsets of each size that the curve averages", option=False)
    weights: str = setting(
        "auto", "network for the features: auto, none, or a file of weights", metavar="auto|none|FILE"
    )
    seed: int = setting(0, "seed of folds and subsets", ge=0)


class DeidentifySettings(Section):
    profile: Literal["basic"] = setting("basic", "profile of DICOM PS3.15 annex E")
    keep: Several[Literal["patient", "device", "institution", "uids", "descriptions"]] = setting(
        (), "what else may stay", unset="nothing"
    )
    keep_dates: bool | None = setting(
        None,
        "yes: dates are kept; no: they are moved by a number of days of each patient's own",
        unset="removed",
        flags="--keep-dates/--shift-dates",
    )
    mask_text: bool = setting(False, "blank text in the pixels")
    names: Literal["auto", "code", "keep"] = setting(
        "auto", "file names: codes where they look like an identity, always, or never"
    )
    decode_seconds: PositiveInt = setting(
        600, "a file has to be clean by then, or it is not written", option=False, unit="seconds"
    )
    key: Path | None = setting(
        None, "key of the pseudonyms, made where missing", unset="deidentify.key in the workspace"
    )


class PreprocessSettings(Section):
    size: int | Literal["auto"] = setting(
        "auto", "side of the images; auto: what the network prefers", unit="px"
    )
    channels: Literal["auto", 1, 3] = setting("auto", "1 grey, 3 colour; auto: as the images are")
    resize_mode: Literal["pad", "stretch", "crop"] = setting(
        "pad", "how a ratio of sides becomes square; pad = letterbox"
    )
    window: Literal["auto"] | tuple[float, float] = setting(
        "auto",
        "DICOM window: centre and width in modality values, such as HU; auto: as the file says",
        metavar="C,W|auto",
    )
    clahe: bool = setting(False, "even out local contrast (CLAHE)", flags="--clahe/--no-clahe")
    bits: Literal[8, 16] = setting(
        8, "16: keep the depth of images that have more than 8", unit="bits a sample"
    )
    border_crop: bool = setting(
        False,
        "cut black and white frames, at most a quarter of a side at each end",
        flags="--border-crop/--no-border-crop",
    )
    workers: PositiveInt | None = setting(None, "decoding threads", unset="all cores")
    decode_seconds: PositiveInt = setting(
        60, "a file has to be read by then, or the command ends", option=False, unit="seconds"
    )

    @field_validator("size", "channels", "bits", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @field_validator("size")
    @classmethod
    def _check_size(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 8 <= value <= 4096:
            raise ValueError("auto, or a side between 8 and 4096 pixels")
        return value

    @field_validator("window", mode="before")
    @classmethod
    def _parse_window(cls, value: Any) -> Any:
        if value == "auto":
            return value
        numbers = value.split(",") if isinstance(value, str) else value
        try:
            centre, width = (float(number) for number in numbers)
        except (TypeError, ValueError):
            raise ValueError("auto, or centre and width such as 40,400") from None
        if not (math.isfinite(centre) and 0 < width < math.inf):
            raise ValueError("auto, or a finite centre and a width above 0 such as 40,400")
        return centre, width

    @field_validator("bits")
    @classmethod
    def _check_bits(cls, value: int, info: ValidationInfo) -> int:
        if value == 16 and info.data.get("clahe"):
            raise ValueError("leave out --bits 16 or --clahe: CLAHE works on 8 bits")
        return value


class TrainSettings(Section):
    arch: str = setting(
        "small-cnn",
        "small-cnn, a torchvision classifier, or timm/NAME; auto: by weights, data and device, with a folder of weights and a time limit on folds; A,B: chosen on folds",
        metavar="NAME|auto|A,B",
    )
    weights: str = setting(
        "none", "weights to start from: a file, or a folder of timm or the Hub", metavar="none|imagenet|FILE"
    )
    also: Several[str] = setting(
        (),
        "further networks that answer with it, by the mean; their weights lie beside its own",
        option=False,
    )
    weights_licence: str | None = setting(
        None, "licence of these weights; it travels with the model", unset="what a README beside them says"
    )
    epochs: PositiveInt | None = setting(None, "passes at most", unset="by network and images", unit="epochs")
    batch_size: PositiveInt | Literal["auto"] = setting(
        32, "images a step; auto: by their number and the memory", unit="images"
    )
    time_limit: Seconds | None = setting(
        None,
        "the whole command in 90s, 20m or 1h30m: as many epochs as fit",
        unset="none",
        metavar="20m",
        unit="seconds",
    )
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] | None = setting(
        None, "highest learning rate; auto: a range test finds it", unset="by network"
    )
    layer_decay: Fraction | None = setting(
        None, "each third of the backbone learns so much slower than the next", unset="as fast", option=False
    )
    weight_decay: float = setting(0.05, "weight decay of AdamW", option=False, ge=0)
    label_smoothing: float = setting(0.1, "label smoothing of the cross-entropy", option=False, ge=0, lt=0.5)
    ema: float = setting(0.995, "decay of the averaged weights; 0 = none", option=False, ge=0, lt=1)
    freeze: Literal["none", "backbone"] | PositiveInt = setting(
        "none",
        "backbone: the head alone is trained, on features computed once; N: so for N epochs, then all of it",
    )
    head: Literal["own", "logistic"] = setting(
        "own", "logistic: logistic regression on the frozen backbone's features, its penalty chosen by folds"
    )
    stem: Literal["own", "small"] = setting(
        "own", "small = 3x3 first convolution that keeps small images whole; own = as published", option=False
    )
    loss: Literal["auto", "ce", "focal", "bce", "ordinal"] = setting(
        "auto",
        "focal: hard images count more; bce: several labels an image; ordinal: classes are grades; "
        "auto: ce, or bce for several labels",
    )
    focal_gamma: float = setting(2.0, "gamma of the focal loss", option=False, ge=0, le=5)
    class_weights: Literal["balanced", "none"] = setting("balanced", "weight of a class in the loss")
    sampler: Literal["none", "weighted"] = setting("none", "weighted: each class is drawn equally often")
    mixup: float = setting(0.0, "alpha of mixup; 0 = none", option=False, ge=0, le=2)
    cutmix: float = setting(0.0, "alpha of cutmix; 0 = none", option=False, ge=0, le=2)
    accumulate: PositiveInt = setting(
        1, "batches whose gradients make one step", option=False, unit="batches"
    )
    clip: float = setting(5.0, "largest norm of the gradients; 0 = any", option=False, ge=0)
    augment: str = setting(
        "auto", "none, light, strong, cxr, ct, mr, derm, fundus, histo or us; auto: by modality, else strong"
    )
    monitor: Literal["auroc", "recall", "f1", "f2", "specificity", "loss"] = setting(
        "auroc", "picks the best epoch; specificity is read at the target recall"
    )
    patience: PositiveInt | None = setting(
        None, "epochs without a better one before stopping", unset="a third of them", unit="epochs"
    )
    target_recall: Fraction = setting(0.95, "recall the threshold aims at on validation")
    assurance: Chance | None = setting(
        None, "probability that the recall to come reaches it", unset="about one half", metavar="P"
    )
    false_alarms: Chance = setting(
        0.05, "share of ordinary images that may be called unlike the training and be refused", option=False
    )
    seed: int = setting(0, "seed of everything random", ge=0)
    seeds: int = setting(1, "networks with seeds from --seed on, together one model", ge=1, le=100)
    folds: int | None = setting(
        None, "deal train and val into K parts by patient; a network without each", unset="none", ge=2, le=100
    )
    device: str = setting("auto", "auto, cpu, cuda or mps")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto", "arithmetic of the training; auto: bf16 or fp16 where the device is fast in it"
    )
    track: Several[Literal["tensorboard", "mlflow"]] = setting(
        (), "also send every epoch to these", unset="none"
    )
    name: str | None = setting(None, "name of the run's folder", unset="arch and a number")

    @model_validator(mode="before")
    @classmethod
    def _freeze_for_logistic(cls, given: Any) -> Any:
        logistic = isinstance(given, Mapping) and given.get("head") == "logistic"
        return {"freeze": "backbone", **given} if logistic else given

    @field_validator("freeze", mode="before")
    @classmethod
    def _check_freeze(cls, value: Any) -> Any:
        epochs = int(value) if isinstance(value, str) and value.isdecimal() else value
        if epochs in ("none", "backbone") or (type(epochs) is int and epochs > 0):
            return epochs
        raise ValueError("none, backbone, or a number of epochs of 1 or more")

    @property
    def images_a_step(self) -> int:
        """Return the batch size; the usual one where it is yet to be found out."""
        return 32 if self.batch_size == "auto" else self.batch_size

    @property
    def freezes_epochs(self) -> int:
        """Return for how many epochs the backbone is frozen before all is trained; 0 = for none or for all."""
        return self.freeze if isinstance(self.freeze, int) else 0


class RecalibrateSettings(Section):
    target_recall: Fraction | None = setting(
        None, "recall the threshold aims at on the local cases", unset="as the run's own"
    )
    assurance: Chance | None = setting(
        None, "probability that the recall to come reaches it", unset="about one half", metavar="P"
    )
    name: str | None = setting(None, "name of the new run", unset="RUN-local-1, …")


class PredictSettings(Section):
    tta: bool = setting(False, "answer with the mean over mirrored, turned or enlarged views of each image")
    batch_size: PositiveInt = setting(32, "images a step", unit="images")
    workers: PositiveInt | None = setting(None, "decoding threads", unset="all cores")
    decode_seconds: PositiveInt = setting(
        60, "a file has to be read by then, or it is unreadable", option=False, unit="seconds"
    )


class ReportSettings(Section):
    title: str | None = setting(None, "title on the cover")
    author: str | None = setting(None, "author on the cover")
    templates: Path | None = setting(None, "folder of templates that replace medimg's", metavar="DIR")
    facts: Path | None = setting(
        None, "what only people know", unset="report.yaml in the workspace, where there is one"
    )
    appendix: Literal["separate", "inside", "none"] | None = setting(
        None,
        "measures, checklists and provenance: in a file of their own, behind the report, or not at all",
        unset="separate from a PDF, folded inside a page",
    )


class ExportSettings(Section):
    verify: bool = setting(
        False, "also compare from the files on: medimg, and the exported file with Pillow alone"
    )
    images: PositiveInt = setting(64, "how many files to verify on")


class ClusterSettings(Section):
    """Where the work of ingest, label-audit, preprocess, predict and deidentify is done."""

    scheduler: str | None = setting(
        None,
        "Dask scheduler whose workers do the work: tcp://HOST:PORT, tls://HOST:PORT, or local:N for N processes here",
        unset="threads",
        metavar="ADDRESS",
        panel="Cluster",
    )
    shard: str | None = setting(
        None, "do part I of N of the work; `medimg merge` puts them together", metavar="I/N", panel="Cluster"
    )

    chunk: PositiveInt = setting(32, "images that are sent to a worker at once", option=False, unit="images")
    patience_seconds: PositiveInt = setting(
        60, "the scheduler may be silent, or without a worker", option=False, unit="seconds"
    )

    @field_validator("scheduler")
    @classmethod
    def _check_scheduler(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(
            r"local:[1-9][0-9]{0,3}|(tcp|tls)://[^/@\s]+:[0-9]{1,5}", value
        ):
            raise ValueError("tcp://HOST:PORT, tls://HOST:PORT, or local:N")
        return value

    @field_validator("shard")
    @classmethod
    def _check_shard(cls, value: str | None) -> str | None:
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", "1/1" if value is None else value)
        if not (match and 1 <= int(match[1]) <= int(match[2])):
            raise ValueError(
                "I/N with I from 1 to N; of a job array: --array=1-8 and --shard $SLURM_ARRAY_TASK_ID/8"
            )
        return value


class TablesSettings(Section):
    """How the tables of a workspace are kept."""

    parquet_from: int = setting(
        200_000,
        "manifest, quarantine and predictions of so many rows are kept as NAME.parquet in place of NAME.csv, where pyarrow"
        " is installed; 0 = never",
        option=False,
        unit="rows",
        ge=0,
    )


class LabelsSection(Section, extra="allow", frozen=True):
    """The code book: class → `LabelCode`. Its keys are the data's, so they are no fields."""

    __pydantic_extra__: dict[str, LabelCode]

    @property
    def codes(self) -> dict[str, LabelCode]:
        return dict(self.__pydantic_extra__)


class Settings(Section):
    """All sections of a workspace's `medimg.yaml`."""

    labels: LabelsSection = Field(default_factory=LabelsSection)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    label_audit: LabelAuditSettings = Field(default_factory=LabelAuditSettings)
    sample_size: SampleSizeSettings = Field(default_factory=SampleSizeSettings)
    deidentify: DeidentifySettings = Field(default_factory=DeidentifySettings)
    preprocess: PreprocessSettings = Field(default_factory=PreprocessSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    tune: TuneSettings = Field(default_factory=TuneSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    recalibrate: RecalibrateSettings = Field(default_factory=RecalibrateSettings)
    predict: PredictSettings = Field(default_factory=PredictSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)
    export: ExportSettings = Field(default_factory=ExportSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    tables: TablesSettings = Field(default_factory=TablesSettings)

    @classmethod
    def fields_of(cls, section: str) -> dict[str, FieldInfo]:
        """Return the settings of a section by name, without making one; a section nobody knows has none."""
        kind = cls.model_fields[section].annotation if section in cls.model_fields else None
        return kind.model_fields if isinstance(kind, type) and issubclass(kind, Section) else {}

    @field_validator("labels", mode="before")
    @classmethod
    def _nothing_below_labels(cls, value: Any) -> Any:
        return {} if value is None else value
