"""One number for a leak: images of a split with a counterpart elsewhere, the same wherever it is reported."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from medimg_cli.dataset.name_groups import groups_in_names


@dataclass(frozen=True)
class Leak:
    """How many images of the evaluated splits have a counterpart in another split, in all and by kind.

    Args:
        of: images of the evaluated splits.
        images: those with a counterpart of any kind.
        identical: the same file.
        near: the same picture in another file; None where nobody searched.
        patient: of the same patient.
        group: of the same group by file names, which may be one patient; a suspicion.
        ids: of `images`.
    """

    of: int
    images: int
    identical: int
    near: int | None
    patient: int
    group: int
    ids: tuple[str, ...] = ()

    def line(self, split: str = "test") -> str:
        """Return the one sentence on the leak."""
        unsearched = "; near duplicates were not searched for" if self.near is None else ""
        if not self.images:
            return f"none of {self.of:,} {split} images has a known counterpart in another split{unsearched}"
        kinds = (
            ("identical", self.identical),
            ("near duplicates", self.near),
            ("of the same patient", self.patient),
            ("of the same group by file names, a suspicion", self.group),
        )
        by_kind = ", ".join(f"{count:,} {kind}" for kind, count in kinds if count)
        have = "has" if self.images == 1 else "have"
        return (
            f"{self.images:,} of {self.of:,} {split} images {have} a counterpart in another split "
            f"({by_kind}){unsearched}"
        )

    def counts(self) -> dict[str, int | None]:
        """Return the numbers for JSON, without the ids."""
        return {
            name: getattr(self, name) for name in ("images", "of", "identical", "near", "patient", "group")
        }


def leak_of(
    rows: pd.DataFrame,
    splits: Collection[str],
    near: Collection[str] | None = None,
    *,
    patients_known: bool,
    patients_certain: bool = True,
    name_pattern: str | None = None,
) -> Leak:
    """Return what the images of `splits` share with those of the other splits.

    Args:
        rows: columns image_id, patient_id, sha256, split, such as usable manifest rows.
        splits: those that are evaluated.
        near: ids of images there that look like one elsewhere; None where nobody searched.
        patients_known, patients_certain, name_pattern: as `DatasetInfo` has them.
    """
    inside = rows["split"].isin(splits)
    here, others = rows[inside], rows[~inside]
    identical = here["sha256"].isin(set(others["sha256"]))
    nothing = pd.Series(data=False, index=here.index)
    named = here["patient_id"].isin(set(others["patient_id"])) if patients_known else nothing
    patient, group = (named, nothing) if patients_certain else (nothing, named)
    if not patients_known and name_pattern is not None:
        elsewhere = {name for name in groups_in_names([*others["image_id"]], name_pattern) if name}
        groups = groups_in_names([*here["image_id"]], name_pattern)
        group = pd.Series([name in elsewhere for name in groups], index=here.index, dtype=bool)
    alike = here["image_id"].isin(near or ())
    any_kind = identical | alike | patient | group
    return Leak(
        of=len(here),
        images=int(any_kind.sum()),
        identical=int(identical.sum()),
        near=None if near is None else int(alike.sum()),
        patient=int(patient.sum()),
        group=int(group.sum()),
        ids=tuple(map(str, here.loc[any_kind, "image_id"])),
    )
