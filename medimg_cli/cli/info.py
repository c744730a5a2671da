"""medimg info: how one file is read."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medimg_cli.cli.options import Session, fields_of
from medimg_cli.cli.setting_options import takes

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.info import InfoResult

_BLOCKS = " ▁▂▃▄▅▆▇█"
_LINES = 4


@takes("", {"preprocess.window": "", "preprocess.bits": ""})
def info(
    session: Session,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, or a member: set.npz#train/12.")],
) -> None:
    """Show how one file is read: format, size, window, histogram, and of a DICOM header what matters for display.

    Names, numbers and dates of a header are never shown, only that they are there. A file that cannot be read ends
    with exit code 3 and the reason the quarantine would give.

    Example: `medimg info image.dcm`
    """
    from medimg_cli.images.image import ReadOptions
    from medimg_cli.stages.info import info as run_stage

    chosen = session.settings().preprocess
    options = ReadOptions(window=None if chosen.window == "auto" else chosen.window, bits=chosen.bits)
    result = run_stage(path, options, seconds=chosen.decode_seconds)
    payload = fields_of(result, "image_format", format=result.image_format)
    session.show(payload, lambda console: _draw(console, result))


def _draw(console: "Console", result: "InfoResult") -> None:
    from rich.markup import escape

    colour = "grey" if result.channels == 1 else "colour"
    size = f"{result.width:,} × {result.height:,} {colour}, {result.bit_depth} bits a sample"
    frames = f", {result.frames} frames" if result.frames > 1 else ""
    console.print(f"[bold]{escape(result.path)}[/bold]")
    console.print(
        f"{result.image_format}, {size}{frames}, {result.bytes:,} bytes, {result.seconds * 1000:.0f} ms"
    )
    _draw_pairs(console, "read as", result.facts)
    _draw_pairs(console, "DICOM header (what matters for display)", result.header)
    if result.identities:
        console.print("\n[bold]identities, dates and free text in the header[/bold] (values not shown)")
        console.print("  " + ", ".join(result.identities))
    white = 255 if result.pixel_type == "uint8" else 65535
    console.print(
        f"\n[bold]intensities[/bold] ({result.pixel_type}, least {result.minimum}, mean {result.mean:.1f}, "
        f"greatest {result.maximum})"
    )
    for line in bars(result.histogram, lines=_LINES):
        console.print(f"  {line}")
    console.print("  0" + str(white).rjust(len(result.histogram) - 1))


def _draw_pairs(console: "Console", title: str, pairs: Any) -> None:
    from rich.markup import escape

    if not pairs:
        return
    console.print(f"\n[bold]{title}[/bold]")
    wide = max(len(name) for name in pairs)
    for name, value in pairs.items():
        console.print(f"  [dim]{name.ljust(wide)}[/dim]  {escape(str(value))}")


def bars(counts: "tuple[int, ...]", *, lines: int) -> list[str]:
    """Return a histogram of block characters, top line first; a bin that is not empty shows at least a trace.

    >>> bars((0, 1, 8), lines=1)
    [' ▁█']
    """
    steps = len(_BLOCKS) - 1
    highest = max(max(counts), 1)
    levels = [max(round(count / highest * steps * lines), 1 if count else 0) for count in counts]
    return [
        "".join(_BLOCKS[min(max(level - steps * line, 0), steps)] for level in levels)
        for line in reversed(range(lines))
    ]
