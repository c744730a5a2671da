"""Settings: one section per command, the names of its options with `_` for `-`."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from medimg_cli.workspace.duration import Seconds
from medimg_cli.workspace.evaluate_settings import EvaluateSettings
from medimg_cli.workspace.section import Chance, Fraction, LabelCode, PositiveInt, Section, listed
from medimg_cli.workspace.serve_settings import ServeSettings
from medimg_cli.workspace.tune_settings import TuneSettings


class IngestSettings(Section):
    layout: str = Field("auto", description="auto, or the name of a layout")
    labels: Path | None = Field(None, description="table of labels (CSV, TSV, .xlsx, .xls or .ods)")
    sheet: str | None = Field(None, description="sheet of a workbook, by name or number from 1")
    image_col: str | None = Field(None, description="column with the file names")
    label_col: str | None = Field(
        None, description="column with the classes; a,b,c = one column a class (0, 1) or a reader"
    )
    patient_col: str | None = Field(None, description="column with the patients")
    label_kind: Literal["auto", "one-hot", "readers"] = Field(
        "auto", description="several label columns: one a class, or one a reader"
    )
    map_classes: dict[str, str] = Field({}, description="label in the source: class it belongs to")
    multi_label: bool = Field(False, description="an image may carry several labels, or none")
    label_sep: str = Field("|", min_length=1, description="what stands between several labels")
    positive: str | None = Field(None, description="the disease class")
    patient_regex: str | None = Field(None, description="first group in the path = patient")
    split: tuple[float, float, float] = Field((0.7, 0.15, 0.15), description="train, val, test")
    use_split_col: str | None = Field(None, description="column that already holds the split")
    folds: int | None = Field(None, ge=2, le=100, description="number train and val in this many folds")
    seed: int = Field(0, ge=0, description="seed of the split")
    frames: str = Field("middle", description="of several frames: middle, first, all, or a number from 0")
    fresh: bool = Field(False, description="start over instead of adding to the data set")
    deidentify: bool = Field(False, description="de-identified copies of the images")
    copy_images: bool = Field(False, description="copy the images into the workspace")
    strict: bool = Field(False, description="exit with 4 when a file could not be read")
    yes: bool = Field(False, description="go on although the classes look implausible")

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
        if text not in ("middle", "first", "all") and not text.isdecimal():
            raise ValueError("middle, first, all, or the number of a frame, counted from 0")
        return text

    @field_validator("split", mode="before")
    @classmethod
    def _parse_split(cls, value: Any) -> Any:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("split")
    @classmethod
    def _check_split(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) < 0 or value[0] == 0 or abs(sum(value) - 1.0) > 1e-6:
            raise ValueError("three fractions that sum to 1, the first above 0, such as 0.7,0.15,0.15")
        return value


class LabelAuditSettings(Section):
    checks: tuple[str, ...] = Field((), description="only these checks; empty = all")
    skip: tuple[str, ...] = Field((), description="not these checks")
    fail_on: Literal["error", "warning", "never"] = Field("error", description="severity that exits with 1")
    html: Path | None = Field(None, description="the page; empty = audit/audit.html")
    apply: bool = Field(False, description="mark in the manifest what the findings exclude")
    undo: bool = Field(False, description="take back what --apply and --review marked")
    review: bool = Field(False, description="open the flagged images in the browser and decide")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8010, description="of the review page; 0 = any")
    reviewer: str | None = Field(None, description="who decides on the review page; empty = asked there")
    weights: str = Field("auto", description="features for label errors: auto, none, or a file of weights")
    ocr_sample: Annotated[int, Field(ge=0)] = Field(
        40, description="images read for text though none is seen"
    )
    seed: int = Field(0, ge=0, description="seed of folds and samples")

    @field_validator("checks", "skip", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(name for name in value.split(",") if name) if isinstance(value, str) else value


class DeidentifySettings(Section):
    profile: Literal["basic"] = Field("basic", description="profile of PS3.15 annex E")
    keep: tuple[Literal["patient", "device", "institution", "uids", "descriptions"], ...] = Field(
        (), description="what else may stay; empty = nothing"
    )
    keep_dates: bool | None = Field(
        None, description="true = kept, false = shifted by days of the patient's own; empty = removed"
    )
    mask_text: bool = Field(False, description="blank text in the pixels")
    names: Literal["auto", "code", "keep"] = Field(
        "auto", description="file names: codes where they look like an identity, always, or never"
    )
    key: Path | None = Field(None, description="file of the key; empty = deidentify.key in the workspace")

    @field_validator("keep", mode="before")
    @classmethod
    def _split_keep(cls, value: Any) -> Any:
        return tuple(name for name in value.split(",") if name) if isinstance(value, str) else value


class PreprocessSettings(Section):
    size: int | Literal["auto"] = Field("auto", description="side in pixels; auto = what the network prefers")
    channels: Literal["auto", 1, 3] = Field("auto", description="1 grey, 3 colour; auto = as the images are")
    resize_mode: Literal["pad", "stretch", "crop"] = Field("pad", description="how a side ratio is kept")
    window: Literal["auto"] | tuple[float, float] = Field(
        "auto", description="centre, width in modality values; auto = as the file says"
    )
    clahe: bool = Field(False, description="even out local contrast (CLAHE)")
    bits: Literal[8, 16] = Field(8, description="16 = kept where images have more than 8")
    border_crop: bool = Field(False, description="cut black and white frames, at most a quarter a side")
    workers: PositiveInt | None = Field(None, description="decoding threads; empty = all cores")

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
    arch: str = Field(
        "small-cnn", description="small-cnn, a torchvision classifier, or auto = by weights, data and device"
    )
    weights: str = Field("none", description="none, imagenet, or a file of weights")
    epochs: PositiveInt | None = Field(
        None, description="empty = what the network and the number of images ask for"
    )
    batch_size: PositiveInt | Literal["auto"] = Field(
        32, description="images a step; auto = by the number of images and the memory"
    )
    time_limit: Seconds | None = Field(
        None, description="as many epochs as fit, such as 90s, 20m or 1h30m; preprocessing is not counted"
    )
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] | None = Field(
        None, description="highest learning rate; auto = found by a range test; empty = the network's"
    )
    layer_decay: Fraction | None = Field(
        None, description="each third of the backbone learns so much slower than the next; empty = as fast"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.05, description="of AdamW")
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = Field(0.1, description="of the cross-entropy")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.995, description="decay of the averaged weights; 0 = none"
    )
    freeze: Literal["none", "backbone"] | PositiveInt = Field(
        "none",
        description="backbone = the head alone is trained, on features computed once; N = so for N epochs, then all",
    )
    stem: Literal["own", "small"] = Field(
        "own", description="small = 3x3 first convolution that keeps small images whole; own = as published"
    )
    loss: Literal["auto", "ce", "focal", "bce", "ordinal"] = Field(
        "auto",
        description="ce; focal: hard images count more; bce: several labels; ordinal: classes are grades",
    )
    focal_gamma: Annotated[float, Field(ge=0, le=5)] = Field(2.0, description="of the focal loss")
    class_weights: Literal["balanced", "none"] = Field(
        "balanced", description="weight of a class in the loss"
    )
    sampler: Literal["none", "weighted"] = Field(
        "none", description="weighted = each class is drawn equally often"
    )
    mixup: Annotated[float, Field(ge=0, le=2)] = Field(0.0, description="alpha of mixup; 0 = none")
    cutmix: Annotated[float, Field(ge=0, le=2)] = Field(0.0, description="alpha of cutmix; 0 = none")
    accumulate: PositiveInt = Field(1, description="batches whose gradients make one step")
    clip: Annotated[float, Field(ge=0)] = Field(5.0, description="largest norm of the gradients; 0 = any")
    augment: str = Field(
        "auto",
        description="none, light, strong, cxr, derm, fundus, histo or us; auto = by modality, else strong",
    )
    monitor: Literal["auroc", "recall", "f1", "f2", "specificity", "loss"] = Field(
        "auroc", description="picks the best epoch; specificity is read at the target recall"
    )
    patience: PositiveInt | None = Field(None, description="epochs without a better one; empty = a third")
    target_recall: Fraction = Field(0.95, description="recall the threshold aims at on validation")
    false_alarms: Chance = Field(
        0.05, description="share of ordinary images that may be called unlike the training and be refused"
    )
    seed: int = Field(0, ge=0, description="seed of everything random")
    seeds: int = Field(
        1, ge=1, le=100, description="networks with seeds from seed on; their mean is the model"
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=100,
        description="train and val in this many parts, each held out once; empty = as split",
    )
    device: str = Field("auto", description="auto, cpu, cuda, mps")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="of the arithmetic in training; auto = bf16 or fp16 where the device is fast in it",
    )
    track: tuple[Literal["tensorboard", "mlflow"], ...] = Field(
        (), description="who else is told of every epoch: tensorboard, mlflow"
    )
    name: str | None = Field(None, description="name of the run's folder")

    @field_validator("track", mode="before")
    @classmethod
    def _split_trackers(cls, value: Any) -> Any:
        return listed(value)

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


class PredictSettings(Section):
    tta: bool = Field(False, description="the mean over several views of each image")
    batch_size: PositiveInt = Field(32, description="images a step")
    workers: PositiveInt | None = Field(None, description="decoding threads; empty = all cores")


class ReportSettings(Section):
    title: str | None = Field(None, description="title on the cover")
    author: str | None = Field(None, description="author on the cover")
    templates: Path | None = Field(None, description="folder of templates that replace medimg's")
    facts: Path | None = Field(None, description="what only people know; empty = the workspace's report.yaml")


class ExportSettings(Section):
    verify: bool = Field(False, description="also compare from the files on")
    images: PositiveInt = Field(64, description="how many files to compare")


class LabelsSection(Section):
    """The code book: class → `LabelCode`. Its keys are the data's, so they are no fields."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, LabelCode]

    @property
    def codes(self) -> dict[str, LabelCode]:
        return dict(self.__pydantic_extra__)


class Settings(Section):
    """All sections of a workspace's `medimg.yaml`."""

    labels: LabelsSection = LabelsSection()
    ingest: IngestSettings = IngestSettings()
    label_audit: LabelAuditSettings = LabelAuditSettings()
    deidentify: DeidentifySettings = DeidentifySettings()
    preprocess: PreprocessSettings = PreprocessSettings()
    train: TrainSettings = TrainSettings()
    tune: TuneSettings = TuneSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    predict: PredictSettings = PredictSettings()
    report: ReportSettings = ReportSettings()
    export: ExportSettings = ExportSettings()
    serve: ServeSettings = ServeSettings()

    @field_validator("labels", mode="before")
    @classmethod
    def _nothing_below_labels(cls, value: Any) -> Any:
        return {} if value is None else value
