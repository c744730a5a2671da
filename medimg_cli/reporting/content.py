"""What a page is made of, gathered before anything is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from medimg_cli.audit.findings import AuditResult
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.reporting.study_facts import Facts
from medimg_cli.runs.explanation import Explanation
from medimg_cli.runs.ledger import EarlierEvaluations
from medimg_cli.runs.run import ModelCard, RunRecord

GALLERY_IMAGES, FALSE_ALARMS = 18, 6  # pictures, six in a row: both kinds of errors stand on one page
TABLE_ROWS = 100  # a table of 1000 rows takes a PDF longer than all the rest; the CSV holds them all
FEW_POSITIVES = 30

STATEMENT = (
    "Research output. Not a medical device, and not for diagnosis or treatment decisions. "
    "A qualified clinician must review every result."
)


@dataclass(frozen=True)
class Fact:
    """One labelled line."""

    label: str
    text: str


@dataclass(frozen=True)
class Case:
    """One image the model got wrong.

    Args:
        image_id: its id in the manifest.
        truth: class of the reference standard.
        predicted: class the model answered.
        probability: of the positive class (or of the class answered, where no class is positive).
        picture: `data:` URI of a small JPEG, None where the image could not be shown.
        absence: why there is no picture.
    """

    image_id: str
    truth: str
    predicted: str
    probability: float | None
    picture: str | None = None
    absence: str = ""


@dataclass(frozen=True)
class Cases:
    """The images of one kind of error: first those with a picture, then a list, then only a number.

    Args:
        title: heading.
        meaning: one sentence: what the reader sees, in which order.
        shown: at most `GALLERY_IMAGES`, with pictures.
        listed: at most `TABLE_ROWS` more.
        total: how many there are.
    """

    title: str
    meaning: str
    shown: tuple[Case, ...]
    listed: tuple[Case, ...]
    total: int

    @property
    def beyond(self) -> int:
        return self.total - len(self.shown) - len(self.listed)


@dataclass(frozen=True)
class Explained:
    """What the report says of the model's heat maps.

    Args:
        known: how they are made, and whether they are of what the model learnt.
        groups: images with their heat maps as pictures; () where none are drawn.
        absence: why none are, "" where they are.
    """

    known: Explanation
    groups: tuple[Cases, ...] = ()
    absence: str = ""


@dataclass(frozen=True)
class ReportContent:
    """Everything one report says.

    Args:
        title: on the cover.
        author: on the cover, None when not given.
        evaluation: the only source of performance numbers.
        record, card: provenance and model of the run.
        settings: how the run was trained, as its `config.yaml` says.
        history: one row per epoch, numeric columns.
        dataset: None where the workspace holds none.
        audit: None when no audit was run.
        cases: kinds of errors, missed cases first.
        notes: what the reader must know that the evaluation cannot say.
        looks: at the same images before; None where they are not counted.
        facts: the authors' answers in `report.yaml`.
        external: evaluations of the same model on data from elsewhere.
        explained: None where nobody looked at the model's heat maps.
    """

    title: str
    author: str | None
    evaluation: Evaluation
    record: RunRecord
    card: ModelCard
    settings: Mapping[str, Any]
    history: pd.DataFrame
    dataset: Dataset | None
    audit: AuditResult | None
    cases: tuple[Cases, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
    looks: EarlierEvaluations | None = None
    facts: Facts = field(default_factory=Facts)
    external: tuple[Evaluation, ...] = ()
    explained: Explained | None = None
