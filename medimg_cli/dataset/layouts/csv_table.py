"""A table of labels beside a folder, an archive or a stack of images: `--labels FILE`."""

from collections.abc import Sequence

from medimg_cli.dataset.layouts import LAYOUTS, Layout
from medimg_cli.dataset.layouts.labels_file import names_uids, read_labels_file
from medimg_cli.dataset.layouts.table_files import FilesByName
from medimg_cli.dataset.layouts.table_rows import list_rows
from medimg_cli.dataset.layouts.tree import kind_of
from medimg_cli.dataset.listing import Listing, Source
from medimg_cli.workspace.settings import IngestSettings


def misfit(source: Source, settings: IngestSettings) -> str | None:
    """Return why there is no table for `source`, or None."""
    if settings.labels is None:
        return "no --labels FILE"
    if kind_of(source) == "file":
        return "not a folder, an archive or a stack of images (.npy)"
    if settings.layout == "auto" and names_uids(read_labels_file(settings), settings.image_col):
        return "the table names images by DICOM UIDs"
    return None


def list_images(sources: Sequence[Source], settings: IngestSettings) -> Listing:
    """List the images a table names; rows without file and files without row are rejected, each with its reason.

    In a stack of images (.npy) the table names them by number, from 0.

    Raises:
        DataError: the table is unusable, an image has two labels, or a split is called something unknown.
        UsageError: a column is missing or cannot be told.
    """
    table = read_labels_file(settings)
    return list_rows(table, settings, FilesByName(sources, table.path.absolute().parent))


LAYOUTS.register("csv")(
    Layout(summary="a table with a row per image (--labels FILE)", misfit=misfit, list_images=list_images)
)
