"""medimg preprocess: manifest to pixel cache."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session, fields_of
from medimg_cli.cli.setting_options import DIVIDED, takes
from medimg_cli.workspace.plain_text import plural

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.preprocess import PreprocessResult


_Preview = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also draw a contact sheet (.png, .jpg): originals, pixels, and what --augment makes of them.",
    ),
]


@takes(
    "preprocess",
    {
        "train.augment": "augmentation the preview shows",
        "train.arch": "network the size is for",
        **DIVIDED,
    },
)
def preprocess(session: Session, preview: _Preview = None) -> None:
    """Decode and resize every image once, into one memory-mapped array.

    Commands that need it run it themselves; what is there already is not decoded again, and a call that was
    killed is continued. In this order: window, channels, border crop, CLAHE, resize.

    Example: `medimg preprocess --size 224 --preview sheet.png`
    """
    from medimg_cli.api.prerequisites import images_wanted, network_of
    from medimg_cli.images.pictures import check_sheet_path
    from medimg_cli.stages.preprocess import preprocess as run_stage

    settings = session.settings()
    if preview is not None:
        check_sheet_path(preview)
    result = run_stage(
        session.workspace,
        settings.preprocess,
        train=(chosen := network_of(session.workspace, settings)),
        wants=images_wanted(chosen),
        progress=session.progress,
    )
    if preview is not None:
        from medimg_cli.stages.preprocess_preview import draw_preview

        draw_preview(
            session.workspace,
            result.cache,
            preview,
            augment=settings.train.augment,
            seed=settings.train.seed,
            progress=session.progress,
        )
    cache = session.workspace.relative(result.cache.folder)
    figures = {name: getattr(result, name) for name in ("images_per_second", "bytes", "cropped")}
    payload = fields_of(result, cache=cache, preview=preview, recipe=result.cache.recipe, **figures)
    session.show(payload, lambda console: _draw(console, result, cache, preview))


def _draw(console: "Console", result: "PreprocessResult", cache: str, preview: Path | None) -> None:
    text = result.cache.recipe.in_words()
    if result.cropped:
        text += f" (frames cut from {result.cropped:,})"
    did = "up to date"
    if result.images_per_second is not None:
        rate = f"{result.images_per_second:,.0f}/s"
        did = f"{result.decoded:,} decoded in {result.seconds:.1f} s ({rate})"
    console.print(
        f"{plural(result.images, 'image')}, {text}; {_bytes(result.bytes)}: {did}\ncache: {cache}",
        markup=False,
    )
    if preview is not None:
        console.print(f"preview: {preview}", markup=False)


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
