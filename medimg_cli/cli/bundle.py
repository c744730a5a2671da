"""medimg bundle: a run as one zip for another machine, or the labelled data set for other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import RunName, Session, fields_of
from medimg_cli.errors import ExitCode, UsageError
from medimg_cli.workspace.plain_text import plural

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.bundle import BundleResult


def bundle(
    session: Session,
    run: RunName = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.zip", help="The file.", show_default="RUN.zip; dataset-bundle/"),
    ] = None,
    dataset: Annotated[
        bool, typer.Option("--dataset", help="The labelled images instead: a folder, or FILE.zip.")
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="With --dataset: columns of the manifest that travel, such as sex,age."
        ),
    ] = None,
    similar_cases: Annotated[
        bool,
        typer.Option(
            "--similar-cases",
            help="Let small pictures of training images travel: `serve` shows the three most alike.",
        ),
    ] = False,
) -> None:
    """Write a run as one zip that `predict --run` and `serve` take where nothing else of the study is.

    It holds the ONNX copies, thresholds and limits, a checksum of every file, what `report.yaml` says of use and
    licence and, of an evaluated run, a model card; no patient, and no image unless `--similar-cases` asks for it.

    Example: `medimg bundle --out model.zip`

    `--dataset` writes the usable images as PNG in SPLIT/CLASS/ (ImageFolder), `metadata.csv`, a Croissant description, the
    audit's verdict and checksums; patients are numbered, and columns stay behind unless `--columns` names them.
    """
    if dataset:
        if similar_cases:
            raise UsageError("--similar-cases is of a model's bundle", "leave it out with --dataset")
        _bundle_dataset(session, run, out or Path("dataset-bundle"), columns)
        return
    if columns:
        raise UsageError("--columns needs --dataset", "a model's bundle holds no rows")
    from medimg_cli.api.prerequisites import copies_of_run, facts_given, model_card_of
    from medimg_cli.preprocessing.probe_images import pixels_at_hand
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.bundle import bundle as run_stage
    from medimg_cli.stages.bundle import check_out

    settings = session.settings()
    found = find_run(session.workspace, run)
    target = out or Path(f"{found.name}.zip")
    check_out(target)
    facts = facts_given(session.workspace, settings)
    card = found.read_card()
    found.note_seal(card, session.progress)
    copies_of_run(found, pixels_at_hand(session.workspace, card.recipe), session.progress)
    result = run_stage(
        found,
        target,
        facts=facts,
        model_card=model_card_of(session.workspace, found, settings, session.progress),
        shown=session.workspace if similar_cases else None,
        progress=session.progress,
    )
    more = {"no_heat_maps": result.no_heat_maps or None, "restriction": result.restriction or None}
    payload = fields_of(result, "size_bytes", bytes=result.size_bytes, **more)
    if result.restriction:
        session.progress.warn(result.restriction)
    session.show(payload, lambda console: _draw(console, result))


def _draw(console: "Console", result: "BundleResult") -> None:
    lines = [f"wrote {result.out}: {plural(len(result.files), 'file')}, {result.size_bytes / 1e6:.1f} MB"]
    lines.append(f"SHA-256 {result.sha256}")
    if result.similar_cases:
        pictures = f"pictures of {plural(result.similar_cases, 'training image')}"
        lines.append(f"{pictures} travel in it: give it only to those who may see them")
    if not result.model_card:
        lines.append("no model card: the run was not evaluated on test")
    if result.no_heat_maps:
        lines.append(f"no heat maps: {result.no_heat_maps}")
    if result.not_reported:
        lines.append(f"not answered in report.yaml: {', '.join(result.not_reported)}")
    console.print("\n".join(lines), markup=False, highlight=False)


def _bundle_dataset(session: Session, run: str | None, out: Path, columns: str | None) -> None:
    from dataclasses import asdict

    from medimg_cli.api.prerequisites import facts_given
    from medimg_cli.stages.bundle_dataset import bundle_dataset as run_stage

    if run is not None:
        raise UsageError(f"--dataset bundles the data set, not run '{run}'", "leave out one of them")
    named = tuple(name.strip() for name in (columns or "").split(",") if name.strip())
    facts = facts_given(session.workspace, session.settings())
    result = run_stage(session.workspace, out, columns=named, facts=facts, progress=session.progress)
    if result.leaking:
        session.progress.warn(
            f"{result.leaking} patients or files stand in two splits: `medimg label-audit` names them"
        )
    if not result.audited:
        session.progress.warn("the data set was not audited: `medimg label-audit`")
    for image, reason in list(result.not_written.items())[:20]:
        session.progress.warn(f"not written: {image}: {reason}")
    splits = ", ".join(f"{name} {count:,}" for name, count in result.splits.items())
    line = f"wrote {out}: {plural(result.images, 'image')} of {plural(result.patients, 'patient')} ({splits})"
    payload = asdict(result)
    session.show(payload, lambda console: console.print(line, markup=False))
    if result.not_written:
        raise typer.Exit(ExitCode.PARTIAL)
