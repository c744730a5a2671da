"""The split of a data set: official where the source says so, kept where an image has one, dealt for the rest."""

from collections.abc import Sequence

from medimg_cli.dataset.ingest.previous import Standing
from medimg_cli.dataset.listing import Entry
from medimg_cli.dataset.manifest import SPLITS
from medimg_cli.dataset.splits import assign_folds, complete_splits, group_identical
from medimg_cli.errors import DataError
from medimg_cli.workspace.settings import IngestSettings


class SplitPlan:
    """Splits and folds of the images of one ingest.

    Args:
        patients: of each image (N,).
        hashes: content of each image (N,); identical ones never stand in two splits.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        patients: Sequence[str],
        hashes: Sequence[str],
        settings: IngestSettings,
        standing: Standing,
    ) -> None:
        self._entries = entries
        self._labels = [entry.label for entry in entries]
        self._groups = group_identical(patients, hashes)
        self._settings = settings
        self._standing = standing
        self._said = {entry.split for entry in entries}

    @property
    def official(self) -> bool:
        """Return whether the source came with splits."""
        return self._said != {None}

    def assign(self) -> list[str]:
        """Return the split of each image (N,).

        Raises:
            DataError: nobody is in train.
        """
        settings = self._settings
        fractions = dict(zip(SPLITS, settings.split, strict=True))
        standing = self._standing.info is not None
        # An official split without val gave some of its train to val. New images of train take part in that.
        cut = standing and self.official and "val" not in self._said and fractions["val"] > 0
        if cut:
            fractions["test"] = 0.0
        splits = complete_splits(
            self._labels,
            self._groups,
            [
                self._standing.split_of(entry.image_id)
                or (None if cut and entry.split == "train" else entry.split)
                for entry in self._entries
            ],
            fractions=fractions,
            seed=settings.seed,
            standing=standing,
            multi_label=settings.multi_label,
        )
        if "train" not in splits:
            raise DataError(
                "no image is in the train split", "name another split column, or leave --use-split-col out"
            )
        return splits

    def folds(self, splits: Sequence[str]) -> list[str]:
        """Return the fold "0" … of each image (N,) of train and val, "" for the others.

        Raises:
            DataError: fewer patients than folds.
        """
        count = self._settings.folds or 0
        places = [i for i, split in enumerate(splits) if split in ("train", "val")]
        groups = [self._groups[i] for i in places]
        if len(set(groups)) < count:
            raise DataError(
                f"--folds {count}: train and val hold {len(set(groups))} patients", "choose fewer folds"
            )
        dealt = assign_folds(
            [self._labels[i] for i in places],
            groups,
            [self._standing.cell(self._entries[i].image_id, "fold") for i in places],
            folds=count,
            seed=self._settings.seed,
            multi_label=self._settings.multi_label,
        )
        result = [""] * len(splits)
        for place, fold in zip(places, dealt, strict=True):
            result[place] = fold
        return result

    def origin(self, splits: Sequence[str], *, known: bool) -> str:
        """Return how the split came about, for people."""
        grouped = "patient-grouped, " if known else ""
        made = f"{grouped}stratified, seed {self._settings.seed}"
        if not self.official:
            return made
        if None in self._said:
            return f"official where given, the rest {made}"
        return f"official; val cut from train, {made}" if set(splits) > self._said else "official"
