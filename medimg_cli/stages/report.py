"""Report: an evaluation and the records of its run, as one HTML page and one PDF."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from PIL import Image

from medimg_cli.audit.findings import read_audit
from medimg_cli.dataset.manifest import Dataset, read_dataset
from medimg_cli.errors import RunError, UsageError
from medimg_cli.evaluation.evaluation import Evaluation, is_of_model, read_evaluation
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.inference.explaining import case_pictures, known_of
from medimg_cli.predictions.predictions import read_predictions
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.reporting.author_facts import not_reported
from medimg_cli.reporting.cases import explained_cases, predictions_csv, wrong_cases
from medimg_cli.reporting.content import Case, Cases, Explained, ReportContent
from medimg_cli.reporting.croissant import croissant_of
from medimg_cli.reporting.markdown import render_card, render_datasheet
from medimg_cli.reporting.page import Part, render_page
from medimg_cli.reporting.pdf import Attached, check_pango, write_pdf
from medimg_cli.reporting.study_facts import Facts, read_facts, write_questions
from medimg_cli.runs.ledger import EarlierEvaluations, looks_before
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.workspace.files import atomic_path, read_under_seal, write_json, write_text
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.progress import Progress, SilentProgress, tracked
from medimg_cli.workspace.settings import ReportSettings
from medimg_cli.workspace.tables import read_table, table_sha256
from medimg_cli.workspace.workspace import Workspace

_THUMBNAIL_PX = 168
_JPEG_QUALITY = 82
_EXPLAINED_CASES = 5  # of each kind
_SUFFIXES = (".html", ".pdf")


@dataclass(frozen=True)
class ReportResult:
    """What was written, the facts only people know that the report lists as missing, and earlier looks at the images."""

    outputs: tuple[Path, ...]
    not_reported: tuple[str, ...]
    looks: EarlierEvaluations | None = None


def report(
    workspace: Workspace,
    run: Run,
    outputs: Sequence[Path],
    settings: ReportSettings,
    progress: Progress = SilentProgress(),
    *,
    split: str = "test",
    card: Path | None = None,
    datasheet: Path | None = None,
) -> ReportResult:
    """Write the report of `run` on `split`; the same records give the same bytes.

    Args:
        outputs: files to write; the suffix .html or .pdf decides. An appendix of its own is named after its report.
        split: whose evaluation is reported.
        card, datasheet: Markdown files to write of the model and of its data, each None where not wanted. Beside the
            datasheet goes a Croissant file, .json, where the data set is at hand.

    Raises:
        UsageError: a suffix is neither, or the templates cannot be rendered.
        RunError: the run was not evaluated on `split`, or its records cannot be read.
        MachineError: Pango is missing (PDF only), or a file cannot be written.
    """
    check_outputs(outputs, card, datasheet)
    content = gather(workspace, run, settings, progress, split=split)
    pages: dict[Part, str] = {}
    written = []
    for output in outputs:
        for target, part in _parts(output, settings.appendix):
            if part not in pages:
                pages[part] = render_page(content, templates=settings.templates, part=part)
            _write(target, pages[part], [] if part == "appendix" else _attachments(run, split))
            written.append(target)
    beside = ((card, render_card), (datasheet, render_datasheet))
    for path, render in beside:
        if path is not None:
            write_text(path, render(content, templates=settings.templates))
    written += [path for path, _ in beside if path is not None]
    if datasheet is not None and content.dataset is not None:
        written.append(_write_croissant(workspace, content.dataset, content.facts, datasheet))
    return ReportResult(tuple(written), not_reported(content), content.looks)


def _write_croissant(workspace: Workspace, dataset: Dataset, facts: Facts, datasheet: Path) -> Path:
    """Write the data set's description for programs beside its datasheet."""
    path, table = datasheet.with_suffix(".json"), workspace.manifest_path
    url = Path(os.path.relpath(table, datasheet.absolute().parent)).as_posix()
    text = {name: answer for name, answer in facts.answers.items() if answer is not None}
    write_json(path, croissant_of(dataset, table, url, [str(name) for name in dataset.rows.columns], text))
    return path


def _parts(output: Path, appendix: str | None) -> list[tuple[Path, Part]]:
    """Return the files of one output: a PDF has its appendix beside it, a page behind it, by default."""
    where = appendix or ("separate" if output.suffix.lower() == ".pdf" else "inside")
    if where == "inside":
        return [(output, "whole")]
    beside = output.with_name(f"{output.stem}-appendix{output.suffix}")
    return [(output, "report"), *([(beside, "appendix")] if where == "separate" else [])]  # type: ignore[list-item]


def _write(path: Path, html: str, attached: Sequence[Attached]) -> None:
    if path.suffix.lower() == ".html":
        write_text(path, html)
        return
    with atomic_path(path) as temporary:
        write_pdf(temporary, html, attached)


def ask(path: Path) -> Path:
    """Write the questions that only people can answer to `path`, and return it.

    Raises:
        UsageError: the file is there already.
    """
    write_questions(path)
    return path


def _attachments(run: Run, split: str) -> list[Attached]:
    """Return the files every PDF carries: all its numbers, and the answers they were computed from."""
    metrics, predictions = run.metrics_path(split), run.predictions_path(split)
    found = [
        Attached(metrics.name, metrics.read_bytes(), "The evaluation every number of this report comes from")
    ]
    if predictions.is_file():
        text = "The answer to every image; paths are left out, and patients are numbered"
        found.append(Attached(f"{predictions.stem}.csv", predictions_csv(read_table(predictions)), text))
    return found


def check_outputs(outputs: Sequence[Path], *notes: Path | None) -> None:
    """Refuse what could not be written at the end, before anything is computed for it.

    Args:
        notes: files of model card and datasheet, None where not wanted.

    Raises:
        UsageError: a suffix is neither .html nor .pdf, or that of a card is not .md.
        MachineError: a PDF is wanted and Pango is missing.
    """
    for output in outputs:
        if output.suffix.lower() not in _SUFFIXES:
            raise UsageError(
                f"--out {output}: '{output.suffix}' is not a kind of report", "name a file .html or .pdf"
            )
    for note in notes:
        if note is not None and note.suffix.lower() != ".md":
            raise UsageError(f"{note}: cards and datasheets are Markdown", "name a file .md")
    if any(output.suffix.lower() == ".pdf" for output in outputs):
        check_pango()


def gather(
    workspace: Workspace, run: Run, settings: ReportSettings, progress: Progress, *, split: str
) -> ReportContent:
    """Collect everything one report says from the records of a run; raises as `report` does."""
    evaluation = read_evaluation(run, split)
    if evaluation is None:
        raise RunError(f"{run.folder} holds no evaluation of '{split}'", "run `medimg evaluate` first")
    answers = run.predictions_path(split)
    if answers.is_file() and table_sha256(answers) != evaluation.predictions_sha256:
        raise RunError(
            f"{answers} is not what the evaluation is of: damaged, or edited by hand",
            "run `medimg evaluate` again",
        )
    dataset = read_dataset(workspace) if workspace.manifest_path.exists() else None
    card = run.read_card()
    run.note_seal(card, progress)
    looks = None if dataset is None else looks_before(workspace, dataset.of_split(split))
    return ReportContent(
        title=settings.title or _default_title(evaluation),
        author=settings.author,
        evaluation=evaluation,
        record=run.read_record(),
        card=card,
        settings=_read_settings(run),
        history=read_table(run.history_path) if run.history_path.is_file() else pd.DataFrame(),
        dataset=dataset,
        audit=read_audit(workspace),
        cases=_all_cases(workspace, run, evaluation, card, progress),
        notes=_notes(evaluation, card, dataset),
        looks=looks,
        facts=facts_of(workspace, settings),
        external=_external(run, card),
        explained=_explained(workspace, run, evaluation, progress),
    )


def facts_of(workspace: Workspace, settings: ReportSettings) -> Facts:
    """Return the authors' facts: from the file they named, else in the workspace's own, else nothing.

    Raises:
        UsageError: the file cannot be read, or holds an answer that nobody asked for.
    """
    if settings.facts is not None:
        return read_facts(settings.facts)
    return read_facts(workspace.facts_path) if workspace.facts_path.is_file() else Facts()


def _external(run: Run, card: ModelCard) -> tuple[Evaluation, ...]:
    """Return the evaluations on data from elsewhere of the model as it is now, in the order of their names."""
    names = sorted(path.stem.removeprefix("metrics-") for path in run.folder.glob("metrics-external-*.json"))
    found = [read_evaluation(run, name) for name in names]
    return tuple(each for each in found if each is not None and is_of_model(each, card))


def _default_title(evaluation: Evaluation) -> str:
    if evaluation.positive is not None:
        return f"Detection of {evaluation.positive} in medical images"
    if evaluation.several_labels:
        return f"Detection of {plural(len(evaluation.classes), 'finding')} in medical images"
    return f"Classification of medical images into {plural(len(evaluation.classes), 'class')}"


def _read_settings(run: Run) -> dict[str, Any]:
    if not run.config_path.is_file():
        return {}
    try:
        content = yaml.safe_load(read_under_seal(run.config_path))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise RunError(f"{run.config_path} cannot be read", "restore the file or train again") from error
    if not isinstance(content, dict):
        return {}
    # Other sections may name folders and tables; the recipe says what became of `preprocess`.
    chosen = content.get("train", content)
    return {name: value for name, value in chosen.items() if value is not None}


def _notes(evaluation: Evaluation, card: ModelCard, dataset: Dataset | None) -> tuple[str, ...]:
    notes = []
    if dataset is not None and dataset.info.content_hash != evaluation.dataset_hash:
        notes.append("The data set has changed since this evaluation; its counts are those of today.")
    if not is_of_model(evaluation, card):
        notes.append("The model has changed since this evaluation; the numbers are those of the earlier one.")
    return tuple(notes)


def _all_cases(
    workspace: Workspace, run: Run, evaluation: Evaluation, card: ModelCard, progress: Progress
) -> tuple[Cases, ...]:
    path = run.predictions_path(evaluation.split)
    if not path.is_file():
        return ()
    table = read_predictions(path)
    kinds = wrong_cases(evaluation, table)
    if "image_id" not in table or "path" not in table:
        return kinds
    path_of = dict(zip(table["image_id"], table["path"], strict=True))
    recipe = card.recipe.model_copy(update={"size_px": _THUMBNAIL_PX, "bits": 8})
    with_pictures = []
    for kind in kinds:
        cases = tracked(kind.shown, progress, f"pictures of {kind.title.lower()}")
        shown = tuple(
            _with_picture(case, workspace.absolute(path_of[case.image_id]), recipe) for case in cases
        )
        with_pictures.append(replace(kind, shown=shown))
    return tuple(with_pictures)


def _explained(
    workspace: Workspace, run: Run, evaluation: Evaluation, progress: Progress
) -> Explained | None:
    """Return what is known of the model's heat maps, with those of a few images; None where nobody looked."""
    known = known_of(run.folder)
    path = run.predictions_path(evaluation.split)
    if known is None or not path.is_file():
        return None if known is None else Explained(known)
    drawing = case_pictures(run.folder, known)
    if drawing is None:
        absence = (
            "" if not known.passed else "`medimg predict --explain` draws them; a report does without torch"
        )
        return Explained(known, absence=absence)
    table = read_predictions(path)
    if "image_id" not in table or "path" not in table:
        return Explained(known)
    path_of = dict(zip(table["image_id"], table["path"], strict=True))

    def drawn(case: Case) -> Case:
        label = evaluation.positive or case.predicted
        label = label if label in evaluation.classes else case.truth  # of several positive classes together
        try:
            picture = drawing(workspace.absolute(path_of[case.image_id]), label)
        except UnreadableImage as reason:
            return replace(case, absence=f"No picture: {reason}")
        return replace(case, picture=picture)

    groups = explained_cases(evaluation, table, _EXPLAINED_CASES)
    shown = [tracked(kind.shown, progress, f"heat maps of {kind.title.lower()}") for kind in groups]
    return Explained(
        known,
        tuple(
            replace(kind, shown=tuple(map(drawn, cases))) for kind, cases in zip(groups, shown, strict=True)
        ),
    )


def _with_picture(case: Case, path: str, recipe: Recipe) -> Case:
    """Return the case with a small picture of its original, or with the reason why there is none."""
    try:
        pixels = recipe.apply(read_image(path, recipe.read_options))
    except UnreadableImage as reason:
        return replace(case, absence=f"No picture: {reason}")
    buffer = BytesIO()
    Image.fromarray(pixels[..., 0] if recipe.channels == 1 else pixels).save(
        buffer, "JPEG", quality=_JPEG_QUALITY
    )
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return replace(case, picture=f"data:image/jpeg;base64,{encoded}")
