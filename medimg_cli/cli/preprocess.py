"""medimg preprocess: manifest to pixel cache."""

from typing import Annotated

import typer

from medimg_cli.cli.options import Session


def preprocess(
    session: Session,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto", help="Side in pixels; auto: what --arch prefers.", show_default="auto"
        ),
    ] = None,
    channels: Annotated[
        str | None, typer.Option(metavar="auto|1|3", help="Grey or colour.", show_default="auto")
    ] = None,
    resize_mode: Annotated[
        str | None, typer.Option(help="pad (letterbox), stretch or crop.", show_default="pad")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="Network the size is for.", show_default="small-cnn")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Decoding threads.", show_default="all cores")] = None,
) -> None:
    """Decode and resize every image once, into one memory-mapped array.

    Commands that need it run it themselves; what is there already is not decoded again.

    Example: `medimg preprocess --size 224`
    """
    from medimg_cli.stages.preprocess import preprocess as run_stage

    options = {"size": size, "channels": channels, "resize_mode": resize_mode, "workers": workers}
    settings = session.settings(preprocess=options, train={"arch": arch})
    result = run_stage(
        session.workspace, settings.preprocess, arch=settings.train.arch, progress=session.progress
    )
    recipe = result.cache.recipe
    payload = {
        "images": result.images,
        "decoded": result.decoded,
        "seconds": result.seconds,
        "images_per_second": result.images_per_second,
        "cache": session.workspace.relative(result.cache.folder),
        "bytes": result.bytes,
        "reused": result.reused,
        "recipe": recipe.model_dump(),
    }
    size_text = f"{recipe.size_px} × {recipe.size_px} × {recipe.channels}"
    did = "up to date" if result.reused else f"{result.decoded:,} decoded in {result.seconds:.1f} s"
    session.show(
        payload,
        lambda console: console.print(
            f"{result.images:,} images of {size_text} ({result.bytes / 1e6:.0f} MB): {did}\ncache: {payload['cache']}",
            markup=False,
        ),
    )
