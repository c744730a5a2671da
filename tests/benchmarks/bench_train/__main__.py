"""Measure whole commands, from a raw folder of images to a trained model, medimg beside its peers.

    python -m tests.benchmarks.bench_train prepare --envs DIR [--tools plain,fastai]
    python -m tests.benchmarks.bench_train run small --data DATA --envs DIR --work DIR [--tools medimg,plain] [--seeds 5]

`prepare` makes a virtual environment a peer with pip. `run` makes the images, then lets every tool train with seed 0,
every tool with seed 1, and so on, each as a process of its own at its default number of threads. The clock stops when
the model is on disk; the test folder is predicted after that. A row a run goes to `results.csv` at once, the table to
`table-SCENARIO.md` and to the screen. Data is a folder with `chest_xray_fullres`, `chest_xray` and `weights`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.bench_train import environments, results, scores, tools
from tests.benchmarks.bench_train.cohorts import COHORTS, Cohort
from tests.benchmarks.bench_train.scenarios import SCENARIOS, Scenario
from tests.benchmarks.killing import say

_OUTSIDE = Path(tempfile.gettempdir())
_START_MINUTES = 0.3  # imports and the predictions that are not measured


def main() -> int:
    """Return 0 when every environment was made, or every run ended well."""
    options = _options()
    if options.action == "prepare":
        return _prepare(options.envs, options.tools or list(environments.PEERS))
    scenario = SCENARIOS[options.scenario].scaled(options.images, options.epochs)
    chosen = options.tools or list(scenario.tools)
    _announce(scenario, chosen, options)
    cohort = _cohort(scenario, options)
    rows = []
    for seed in range(options.seeds):
        for tool in chosen:
            folder = options.work / "runs" / f"{options.scenario}-{tool}-{seed}"
            row = _measured(tool, tools.Job(scenario, cohort, seed, options.data, folder), options)
            results.append(options.work / "results.csv", row)
            rows.append(row)
    table = results.table(rows)
    (options.work / f"table-{options.scenario}.md").write_text(table + "\n")
    say("\n" + table)
    return 1 if any(row.code for row in rows) else 0


def _prepare(envs: Path, names: list[str]) -> int:
    failed = 0
    for name in names:
        said = environments.prepare(envs, name)
        failed += said is not None
        say(f"{name}: {said or _named(environments.versions(envs, name))}")
    return 1 if failed else 0


def _measured(tool: str, job: tools.Job, options: argparse.Namespace) -> results.Row:
    """Train once; a tool that failed makes a row with its exit status, and its log says why."""
    _remove_left_overs(job.cohort)
    cost = tools.train(tool, job, options.envs)
    auroc = accuracy = None
    if not cost.code:
        auroc, accuracy = scores.score(job.predictions, job.cohort.test)
    row = results.Row(
        scenario=options.scenario,
        tool=tool,
        seed=job.seed,
        wall_seconds=round(cost.wall_seconds, 2),
        cpu_seconds=round(cost.cpu_seconds, 2),
        peak_mb=round(cost.peak_bytes / 1e6, 1),
        auroc=auroc,
        accuracy=accuracy,
        code=cost.code,
    )
    worth = f"AUROC {auroc:.3f}, accuracy {accuracy:.3f}" if auroc is not None else f"FAILED, see {job.log}"
    say(
        f"seed {job.seed} {tool:11} wall {row.wall_seconds:7.1f} s, CPU {row.cpu_seconds:7.1f} s, "
        f"peak {row.peak_mb:6.0f} MB, {worth}"
    )
    return row


def _remove_left_overs(cohort: Cohort) -> None:
    """Take away what a tool left beside the images (Ultralytics keeps what it knows of them): each starts anew."""
    for file in [*cohort.fit.glob("*.cache"), *cohort.test.parent.glob("*.cache")]:
        file.unlink()


def _cohort(scenario: Scenario, options: argparse.Namespace) -> Cohort:
    counts = "-".join(str(count) for count in scenario.images.values())
    cohort = COHORTS[scenario.cohort](
        options.data, options.work / "images" / f"{scenario.cohort}-{counts}", scenario.images
    )
    bytes_read = sum(
        len(path.read_bytes()) for path in cohort.fit.rglob("*.jpeg")
    )  # nobody reads from a cold disk
    say(f"images: {bytes_read / 1e6:.0f} MB in train and val")
    return cohort


def _announce(scenario: Scenario, chosen: list[str], options: argparse.Namespace) -> None:
    """Say what is measured, with which versions, and for how long."""
    say(f"{scenario.about}; {scenario.epochs} epochs, batch {scenario.batch}, images {scenario.images}")
    for tool in chosen:
        known = environments.versions(options.envs, tool) if tool != tools.MEDIMG else _own_versions()
        say(f"  {tool}: {_named(known)}")
    minutes = len(chosen) * options.seeds * (scenario.minutes + _START_MINUTES)
    say(f"about {minutes:.0f} minutes on two idle cores, and up to 5 to make the images the first time")


def _own_versions() -> dict[str, str]:
    return environments.versions_in(Path(sys.executable), ("medimg", "torch", "torchvision"))


def _named(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _tools(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in tools.TOOLS:
            raise argparse.ArgumentTypeError(f"unknown tool '{name}': {', '.join(tools.TOOLS)}")
    return names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    prepare, run = actions.add_parser("prepare"), actions.add_parser("run")
    for action in (prepare, run):
        action.add_argument("--envs", type=Path, default=_OUTSIDE / "medimg-bench-envs")
        action.add_argument("--tools", type=_tools, help="separated by commas")
    run.add_argument("scenario", choices=list(SCENARIOS))
    run.add_argument("--data", type=Path, required=True, help="folder of the real images")
    run.add_argument("--work", type=Path, default=_OUTSIDE / "medimg-bench-train")
    run.add_argument("--seeds", type=int, default=5)
    run.add_argument("--images", type=int, help="fewer images, to try it out")
    run.add_argument("--epochs", type=int)
    options = parser.parse_args()
    for name in ("envs", "data", "work"):  # the tools run elsewhere
        if name in options:
            setattr(options, name, getattr(options, name).resolve())
    return options


if __name__ == "__main__":
    sys.exit(main())
