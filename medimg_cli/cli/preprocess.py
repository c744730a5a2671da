"""medimg preprocess: manifest to pixel cache."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medimg_cli.cli.options import Session, said

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.preprocess import PreprocessResult


_Size = Annotated[
    str | None,
    typer.Option(metavar="N|auto", help="Side in pixels; auto: what --arch prefers.", show_default="auto"),
]
_Channels = Annotated[
    str | None, typer.Option(metavar="auto|1|3", help="Grey or colour.", show_default="auto")
]
_ResizeMode = Annotated[
    str | None, typer.Option(help="pad (letterbox), stretch or crop.", show_default="pad")
]
_Window = Annotated[
    str | None,
    typer.Option(
        metavar="C,W|auto",
        help="DICOM window: centre and width in modality values, such as HU.",
        show_default="as the file says",
    ),
]
_Bits = Annotated[
    str | None,
    typer.Option(
        metavar="8|16", help="16: keep the depth of images that have more than 8.", show_default="8"
    ),
]
_Clahe = Annotated[
    bool | None,
    typer.Option("--clahe/--no-clahe", help="Even out local contrast.", show_default="no"),
]
_BorderCrop = Annotated[
    bool | None,
    typer.Option(
        "--border-crop/--no-border-crop",
        help="Cut black and white frames, at most a quarter of a side at each end.",
        show_default="no",
    ),
]
_Preview = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also draw a contact sheet (.png, .jpg): originals, pixels, and what --augment makes of them.",
    ),
]
_Augment = Annotated[str | None, typer.Option(help="Augmentation the preview shows.", show_default="auto")]
_Arch = Annotated[str | None, typer.Option(help="Network the size is for.", show_default="small-cnn")]
_Workers = Annotated[int | None, typer.Option(help="Decoding threads.", show_default="all cores")]


def preprocess(
    session: Session,
    size: _Size = None,
    channels: _Channels = None,
    resize_mode: _ResizeMode = None,
    window: _Window = None,
    bits: _Bits = None,
    clahe: _Clahe = None,
    border_crop: _BorderCrop = None,
    preview: _Preview = None,
    augment: _Augment = None,
    arch: _Arch = None,
    workers: _Workers = None,
) -> None:
    """Decode and resize every image once, into one memory-mapped array.

    Commands that need it run it themselves; what is there already is not decoded again, and a call that was
    killed is continued. In this order: window, channels, border crop, CLAHE, resize.

    Example: `medimg preprocess --size 224 --preview sheet.png`
    """
    options = said(locals(), "arch", "augment", "preview")
    from medimg_cli.cli.prerequisites import network_of
    from medimg_cli.images.contact_sheet import check_sheet_path
    from medimg_cli.stages.preprocess import draw_preview
    from medimg_cli.stages.preprocess import preprocess as run_stage

    settings = session.settings(preprocess=options, train={"arch": arch, "augment": augment})
    if preview is not None:
        check_sheet_path(preview)
    result = run_stage(
        session.workspace, settings.preprocess, arch=network_of(session, settings), progress=session.progress
    )
    if preview is not None:
        draw_preview(
            session.workspace,
            result.cache,
            preview,
            augment=settings.train.augment,
            seed=settings.train.seed,
            progress=session.progress,
        )
    cache = session.workspace.relative(result.cache.folder)
    session.show(_payload(result, cache, preview), lambda console: _draw(console, result, cache, preview))


def _payload(result: "PreprocessResult", cache: str, preview: Path | None) -> dict[str, Any]:
    return {
        "images": result.images,
        "decoded": result.decoded,
        "seconds": result.seconds,
        "images_per_second": result.images_per_second,
        "cache": cache,
        "bytes": result.bytes,
        "reused": result.reused,
        "cropped": result.cropped,
        "preview": preview,
        "recipe": result.cache.recipe.model_dump(),
    }


def _draw(console: "Console", result: "PreprocessResult", cache: str, preview: Path | None) -> None:
    said = result.cache.recipe.in_words()
    if result.cropped:
        said += f" (frames cut from {result.cropped:,})"
    did = "up to date"
    if result.images_per_second is not None:
        rate = f"{result.images_per_second:,.0f}/s"
        did = f"{result.decoded:,} decoded in {result.seconds:.1f} s ({rate})"
    console.print(
        f"{result.images:,} images, {said}; {_bytes(result.bytes)}: {did}\ncache: {cache}", markup=False
    )
    if preview is not None:
        console.print(f"preview: {preview}", markup=False)


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
