"""medimg sample-size: how many cases a study needs."""

from typing import TYPE_CHECKING

from medimg_cli.cli.options import Session, fields_of
from medimg_cli.cli.setting_options import takes

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.sample_size import SampleSize


@takes("sample_size")
def sample_size(session: Session) -> None:
    """Say how many test cases a wanted precision needs, and what more training cases would bring.

    The test size is exact binomial, with a design effect for several images a patient. With a data set in the workspace
    a learning curve is measured on folds of train and validation, and its AUROC forecast at twice and four times the
    patients.

    Example: `medimg sample-size --recall 0.95 --width 0.1 --prevalence 0.2`
    """
    from medimg_cli.api.prerequisites import embedder_for_curve
    from medimg_cli.stages.sample_size import sample_size as run_stage

    settings = session.settings()
    embed = embedder_for_curve(session.workspace, settings, session.progress)
    found = run_stage(session.workspace, settings.sample_size, embed, session.progress)
    session.show(fields_of(found), lambda console: _draw(console, found))


def _draw(console: "Console", found: "SampleSize") -> None:
    from medimg_cli.cli.views.render import plain_table

    table = plain_table(
        "figure", ">expected", "aim", ">cases", ">images", ">patients", ">in all", ">have", "gives"
    )
    for size in found.test:
        numbers = [size.cases, size.images, size.patients, size.in_all, size.have]
        cells = ["–" if number is None else f"{number:,}" for number in numbers]
        gives = "" if size.have_low is None else f"{size.have_low:.3f}–{size.have_high:.3f}"
        table.add_row(size.figure, f"{size.expected:g}", size.aim, *cells, gives)
    console.print(table)
    known = "unknown" if found.prevalence is None else f"{found.prevalence:.3g}"
    console.print(
        f"[dim]prevalence {known}, {found.images_per_patient:.3g} images a patient, intra-patient correlation "
        f"{found.icc:g}; cases are independent ones[/dim]"
    )
    if found.without_curve:
        console.print(f"[dim]no learning curve: {found.without_curve}[/dim]")
        return
    console.print()
    table = plain_table(">training patients", ">images", ">AUROC", "range of folds")
    for point in found.curve:
        table.add_row(
            f"{point.patients:,}",
            f"{point.images:,}",
            f"{point.auroc:.4f}",
            f"{point.low:.4f}–{point.high:.4f}",
        )
    for ahead in found.forecasts:
        table.add_row(
            f"{ahead.patients:,}", "", f"{ahead.value:.4f}", f"{ahead.low:.4f}–{ahead.high:.4f} (forecast)"
        )
    console.print(table)
    console.print(
        "[dim]features are frozen: the curve tells the gain, not the figure of a fine-tuned network[/dim]"
    )
