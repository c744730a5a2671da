"""Groups that file names give away, with images in more than one split: a leak to suspect."""

from medimg_cli.audit.checks import check, split_pairs
from medimg_cli.audit.findings import AuditContext, Checked, Finding
from medimg_cli.dataset.leakage import leak_of
from medimg_cli.dataset.name_groups import groups_in_names
from medimg_cli.workspace.plain_text import plural

NAME = "groups-across-splits"


@check(NAME, "file names seem to say whose images these are, and such a group stands in more than one split")
def groups_across_splits(context: AuditContext) -> Checked:
    """Look for groups of the pattern that ingest found in the file names, where patients are not known."""
    info, rows = context.dataset.info, context.dataset.usable
    if info.patients_known:
        return Checked((), "patients are known: patients-across-splits looks at them")
    if info.name_pattern is None:
        return Checked((), f"{plural(len(rows), 'file name')} searched for what groups them: nothing")
    named = rows.assign(group=groups_in_names([*rows["image_id"]], info.name_pattern))
    named = named[named["group"] != ""]
    did = f"{plural(named['group'].nunique(), 'group')} of file names looked for in every split"
    across = named[named.groupby("group")["split"].transform("nunique") > 1]
    if across.empty:
        return Checked((), did)
    parts = [part for _, part in across.groupby("group", sort=False)]
    groups = tuple(tuple(map(str, part["image_id"])) for part in parts)
    leak = leak_of(
        rows,
        ("test",),
        patients_known=info.patients_known,
        patients_certain=info.patients_certain,
        name_pattern=info.name_pattern,
    )
    message = (
        f"{plural(len(groups), 'group')} by file names in more than one split "
        f"({split_pairs(part['split'] for part in parts)}), {plural(len(across), 'image')}; a leak to suspect: "
        f"{leak.group:,} of {plural(leak.of, 'test image')} have one of their group in another split"
    )
    advice = (
        f"if a group is one patient or source: `medimg ingest --fresh --patient-regex {info.name_pattern!r}`"
    )
    images = tuple(map(str, across["image_id"]))
    return Checked((Finding(NAME, "warning", message, advice, images, len(groups), groups=groups),), did)
