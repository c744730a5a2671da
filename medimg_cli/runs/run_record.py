"""What a run writes down about itself when training begins, and when it is taken up again."""

import json
from pathlib import Path

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.run import Run, RunRecord
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.provenance import command_line, git_commit, machine_facts, now, package_versions
from medimg_cli.workspace.settings import TrainSettings


def first_record(
    run: Run, chosen: TrainSettings, dataset: Dataset, recipe: Recipe, *, device: str, root: Path
) -> RunRecord:
    """Return the record of a training that begins.

    Args:
        root: the workspace's folder, whose git commit is noted where it has one.
    """
    return RunRecord(
        name=run.name,
        status="running",
        arch=chosen.arch,
        seed=chosen.seed,
        started=now(),
        device=device,
        dataset_hash=dataset.content_hash(),
        recipe_key=recipe.key(),
        command=command_line(),
        versions=package_versions(),
        machine=dict(machine_facts()),
        git_commit=git_commit(root),
    )


def resumed_record(run: Run, here: RunRecord) -> RunRecord:
    """Return `here`, the present machine's facts, with the beginning that the run wrote down."""
    before = run.read_record()
    kept = {"started": before.started, "command": before.command, "resumed": before.resumed + 1}
    return here.model_copy(update=kept)


def state_key(used: TrainSettings, record: RunRecord) -> str:
    """Return what a saved state belongs to: the settings that decide the weights, data, pixels, torch, device."""
    decides = used.model_dump(mode="json", exclude={"name", "track"})
    rests_on = [record.dataset_hash, record.recipe_key, record.versions.get("torch"), record.device]
    return sha256_of_text(json.dumps([decides, *rests_on]))
