"""Images of one single grey value or colour."""

from medimg_cli.checks import check, plural
from medimg_cli.core.audit import AuditContext, Checked, Finding

NAME = "blank-images"


@check(NAME, "images show nothing: every pixel has the same value")
def blank_images(context: AuditContext) -> Checked:
    """Report images whose darkest pixel is as bright as the brightest."""
    measured = context.measurements
    blank = measured[measured["readable"].eq(True) & measured["minimum"].eq(measured["maximum"])]
    did = f"{plural(len(measured), 'image')} compared with one single value"
    if blank.empty:
        return Checked((), did)
    rows = context.dataset.usable
    rows = rows[rows["image_id"].isin(blank.index)]
    classes = ", ".join(f"{label}: {count:,}" for label, count in rows["label"].value_counts().items())
    message = f"{plural(len(rows), 'image')} of one single value ({classes})"
    advice = "look at them and exclude them: a model learns the label of an empty picture by heart"
    found = Finding(NAME, "warning", message, advice, tuple(rows["image_id"]), len(rows), remedy="exclude")
    return Checked((found,), did)
