"""medimg recalibrate: a run for another place, from few labelled cases there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import RunName, Session
from medimg_cli.cli.setting_options import takes

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.recalibrate import RecalibrateResult


@takes(
    "recalibrate",
    {
        "ingest.layout": "arrangement of the images of --data, as in `ingest`",
        "ingest.labels": "table of labels of the images of --data, as in `ingest`",
        "ingest.sheet": "sheet of the workbook of --labels, by name or number from 1",
        "ingest.map_classes": "the model's class that a label of the images of --data is",
        "ingest.patient_regex": "patient of an image of --data, as in `ingest`",
        "ingest.patient_col": "column of patients in --labels",
    },
)
def recalibrate(
    session: Session,
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Labelled cases of the place: a folder, or a workspace.")
    ],
    run: RunName = None,
) -> None:
    """Adapt a run to another place by 30 to 200 labelled cases from there; the network stays as it is.

    Writes a run of its own: temperature and intercept where the cases show that they are needed, and a threshold chosen
    on the cases, with what so few can promise. They are no test: evaluate the new run on other images of the place.

    Example: `medimg recalibrate small-cnn-1 --data ../sample-of-other-hospital --target-recall 0.95 --assurance 0.9`
    """
    from medimg_cli.api.prerequisites import images_from_elsewhere, pixels_elsewhere
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.recalibrate import recalibrate as run_stage

    settings, parent = session.settings(), find_run(session.workspace, run)
    reading, progress = session.options["ingest"], session.progress
    place = images_from_elsewhere(parent, data, reading, session.settings_elsewhere, progress)
    cache = pixels_elsewhere(parent, place, settings, progress)
    result = run_stage(session.workspace, parent, place, cache, settings.recalibrate, progress)
    adapted, point = result.adapted, result.point
    payload = {
        "run": result.run.name,
        "parent": result.parent,
        "images": result.images,
        "patients": result.patients,
        "method": adapted.method,
        "temperature": 1 / adapted.scale,
        "intercepts": adapted.shift,
        "p_any": adapted.p_any,
        "p_temperature": adapted.p_scale,
        "log_loss": {"before": adapted.before, "after": adapted.after},
        "threshold": point.threshold,
        "thresholds": point.thresholds,
        "threshold_before": result.before.threshold.value if result.before.threshold else None,
        "promise": result.promise,
    }
    session.show(payload, lambda console: _draw(console, result))


def _draw(console: "Console", result: "RecalibrateResult") -> None:
    adapted, threshold, before = result.adapted, result.point.threshold, result.before.threshold
    change = {
        "none": "probabilities stay as they are: these cases do not show that they are off",
        "intercept": "intercept moved, temperature kept",
        "temperature and intercept": f"temperature {1 / adapted.scale:.3g} and intercept",
    }[adapted.method]
    patients = f" of {result.patients:,} patients" if result.patients < result.images else ""
    lines = [f"{result.images:,} local cases{patients}: {change}"]
    if adapted.method != "none":
        lines.append(f"log loss on them {adapted.before:.4f} → {adapted.after:.4f}")
    if threshold is not None:
        was = "" if before is None else f" (before {before.value:.4f})"
        lines.append(f"threshold {threshold.value:.4f}{was}: {threshold.rule} on the local cases")
        if threshold.achieved_specificity is not None:
            lines.append(f"specificity on them {threshold.achieved_specificity:.4f}")
    for name, own in result.point.thresholds.items():
        was = (
            f" (before {result.before.thresholds[name].value:.4f})"
            if name in result.before.thresholds
            else ""
        )
        lines.append(f"threshold of {name} {own.value:.4f}{was}: {own.rule} on the local cases")
    lines += [f"{name}: {why}" for name, why in result.point.unmet.items()]
    lines += [result.promise] if result.promise else []
    lines.append(f"run: {result.run.folder}")
    console.print("\n".join(lines), markup=False, highlight=False)
