"""How a plan and the list of networks look on a terminal."""

from typing import TYPE_CHECKING

from rich.console import Console

from medimg_cli.cli.views.render import plain_table

if TYPE_CHECKING:
    from medimg_cli.stages.train import PlanResult
    from medimg_cli.training.candidates import Chosen
    from medimg_cli.training.networks.arch_listing import ArchitectureFacts


def draw_plan(console: Console, found: "PlanResult") -> None:
    table = plain_table("setting", "chosen", "because")
    for choice in found.choices:
        table.add_row(choice.setting, "" if choice.value is None else str(choice.value), choice.reason)
    console.print(f"{found.about}\n", markup=False)
    console.print(table)
    console.print(f"\n`medimg train` follows {found.path}, which you may change", markup=False)


def draw_choice(console: Console, choice: "Chosen") -> None:
    table = plain_table("candidate", ">AUROC", "95 %", ">behind the best", ">s", "")
    for each in choice.tried:
        known = each.auroc is not None and each.behind is not None
        table.add_row(
            each.name,
            f"{each.auroc:.3f}" if known else "",
            f"{each.low:.3f}–{each.high:.3f}" if known else "",
            f"{each.behind[0]:.3f} ± {each.behind[1]:.3f}" if each.behind else "",
            f"{each.seconds:,.0f}",
            "chosen" if each.chosen else each.ended,
        )
    console.print(table)
    optimism = (
        ""
        if choice.optimism is None
        else f"; choosing makes the best look better by about {choice.optimism:.3f}"
    )
    console.print(
        f"{choice.images:,} images in {choice.folds} folds by patient; {choice.rule}{optimism}\n",
        markup=False,
    )


def draw_architectures(console: Console, found: "list[ArchitectureFacts]") -> None:
    table = plain_table("network", ">px", ">parameters", ">GMAC an image", ">s per 1,000 images", "weights")
    for facts in found:
        table.add_row(
            facts.name,
            str(facts.size_px),
            f"{facts.parameters:,}",
            "" if facts.gmacs is None else f"{facts.gmacs:.2f}",
            "" if facts.seconds_per_1000 is None else f"{facts.seconds_per_1000:,.0f}",
            "imagenet" if facts.imagenet else "",
        )
    console.print(table)
    console.print("\nseconds: one epoch of training on this processor, estimated to a factor of about two")
