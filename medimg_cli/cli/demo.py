"""medimg demo: a synthetic cohort to try everything on."""

from pathlib import Path
from typing import Annotated

import typer

from medimg_cli.cli.options import Session, fields_of


def demo(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="New or empty folder.")] = Path("demo"),
    patients: Annotated[int, typer.Option(min=4, help="How many patients.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other patients.")] = 0,
    flaws: Annotated[
        bool, typer.Option("--flaws", help="Plant duplicates, identities, broken files …")
    ] = False,
    findings: Annotated[
        bool,
        typer.Option("--findings", help="Several findings an image, in labels.csv, instead of two classes."),
    ] = False,
    exams: Annotated[
        bool, typer.Option("--exams", help="Exams of several slices, few of which show anything.")
    ] = False,
) -> None:
    """Write a synthetic cohort of X-ray-like phantoms, with and without opacities, as PNG and DICOM.

    `truth.json` names every image's class and patient, and every planted flaw. No picture of a patient is used.

    Example: `medimg demo cohort --patients 40 --flaws`
    """
    from medimg_cli.stages.demo import demo as run_stage

    result = run_stage(
        folder,
        patients=patients,
        seed=seed,
        flaws=flaws,
        findings=findings,
        exams=exams,
        progress=session.progress,
    )
    session.show(
        fields_of(result),
        lambda console: console.print(
            f"{result.images} images of {result.patients} patients in {result.folder}"
            + (f", {len(result.flaws)} flaws planted" if result.flaws else ""),
            markup=False,
        ),
    )
