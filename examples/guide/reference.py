"""Write the reference of the guide from the code: python examples/guide/reference.py [DIR].

What it writes is committed, and a test holds it against the code. It imports no torch.
"""

import ast
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from typer.models import ArgumentInfo

from medimg_cli import errors
from medimg_cli.cli.app import COMMANDS
from medimg_cli.cli.options import with_session
from medimg_cli.errors import ExitCode
from medimg_cli.workspace.section import about, choices, kinds
from medimg_cli.workspace.settings import Settings

HERE = Path(__file__).resolve().parent / "reference"
PACKAGE = Path(errors.__file__).resolve().parent
MADE = "<!-- Made by examples/guide/reference.py from the code: change that, not this page. -->\n\n"

# What a script does about an exit code.
CODES = {
    ExitCode.DONE: ("done", "go on"),
    ExitCode.GATE: (
        "a gate said no: audit findings, an unmet `--require`, a leaky split, an exported file that answers otherwise",
        "read what was found; results are written all the same",
    ),
    ExitCode.USAGE: ("wrong usage or configuration", "correct the command or the settings"),
    ExitCode.DATA: ("the data cannot be used", "mend the source; the row or file is named"),
    ExitCode.PARTIAL: ("done, but some inputs could not be read", "look at the rows that say so"),
    ExitCode.MACHINE: (
        "the machine lacks something: Pango, weights, a device, disk space",
        "`medimg doctor` says what; then the same command again",
    ),
    ExitCode.RUN: ("a run or model cannot be used", "name another one, or train again"),
    ExitCode.BUG: ("a bug in medimg", "run it with `MEDIMG_DEBUG=1` and send the traceback"),
    ExitCode.INTERRUPTED: (
        "interrupted; what was done is kept",
        "the same command goes on, training and predicting with `--resume`",
    ),
    ExitCode.BROKEN_PIPE: ("the reader of a pipe went away", "nothing, where that was meant"),
}
# JSON files whose form is a model of the code.
MODELS = {
    "medimg.yaml": ("medimg_cli.workspace.settings", "Settings"),
    "dataset/dataset.json": ("medimg_cli.dataset.manifest", "DatasetInfo"),
    "runs/NAME/model.json": ("medimg_cli.runs.run", "ModelCard"),
    "runs/NAME/run.json": ("medimg_cli.runs.run", "RunRecord"),
    "runs/NAME/metrics-SPLIT.json": ("medimg_cli.evaluation.evaluation", "Evaluation"),
}
# What programs may rely on; a test holds it against what commands write.
JSON_KEYS = {
    "init": "settings, with --schema: schema_of json_schema",
    "ingest": "images patients patients_known quarantined quarantine layout label_source groups classes splits positive folds leak "
    "added changed vanished reused manifest",
    "download": "name size_px path bytes checksum licence citation reused next, without a name: sets",
    "label-audit": "findings passed checks_run checks_skipped did leak",
    "sample-size": "test prevalence images_per_patient icc curve forecasts without_curve",
    "deidentify": "files written not_written identities_removed counts edition profile log key map",
    "preprocess": "images decoded seconds images_per_second cache bytes reused cropped preview recipe",
    "train": "run arch epochs_run best_epoch val threshold thresholds seconds images_per_second parameters device interrupted members "
    "exams, with --folds: folds, with several networks: candidates, with --plan: plan data choices, with --list-archs: architectures",
    "tune": "search metric trials best ranking best_settings seconds out_of_time interrupted",
    "evaluate": "run split n patients positive threshold metrics per_class confusion missed calibration leakage unmet reused "
    "metrics_file looks, and all else of metrics-SPLIT.json but the curves:",
    "recalibrate": "run parent images patients method temperature intercepts p_any p_temperature log_loss threshold thresholds "
    "threshold_before promise",
    "predict": "predictions images statuses resumed out, with --exam: exams, with --dicom-out: dicom_out, each prediction: path status label confidence "
    "probabilities decision prediction_set flags message",
    "report": "outputs not_reported looks",
    "export": "out sha256 bytes networks outputs on_pixels on_files",
    "bundle": "out sha256 bytes files model_card no_heat_maps restriction not_reported, with --dataset: out images patients splits "
    "not_written audited leaking",
    "serve": "address run workers token",
    "merge": "all of the command whose shards they are; what each shard wrote: shard task done resumed folder waiting_for",
    "runs": "runs, with --diff: diff warnings, with --remove: removed bytes",
    "demo": "folder images patients classes flaws",
    "info": "path format bytes width height channels bit_depth pixel_type frames facts header identities histogram minimum maximum "
    "mean seconds",
    "doctor": "checks",
}
SHELVES = {
    "checks": (
        "medimg_cli.audit.checks",
        "CHECKS",
        "What `label-audit` looks for (`--checks`, `--skip`)",
        "about",
    ),
    "layouts": (
        "medimg_cli.dataset.layouts",
        "LAYOUTS",
        "How `ingest` finds the label of an image (`--layout`)",
        "summary",
    ),
    "metrics": ("medimg_cli.evaluation.metrics", "METRICS", "What `evaluate` measures of a class", "__doc__"),
    "flags": ("medimg_cli.inference.flags", "FLAGS", "What `predict` and `serve` say of an image", "meaning"),
    "sets": ("medimg_cli.sample_data.catalogue", "CATALOGUE", "What `download` fetches", "summary"),
}


def named(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def cell(text: object) -> str:
    """Return a text as one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;") or "–"


def code(text: object) -> str:
    return f"`{' '.join(str(text).split())}`".replace("|", "\\|") if str(text) else "–"


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    names = head.split(" · ")
    lines = [names, ["---"] * len(names), *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in lines) + "\n"


def commands() -> str:
    """Every command with its arguments and options."""
    page = (
        MADE
        + "# Commands\n\nOptions that every command has stand at the end. Types and limits: [settings](settings.md).\n\n"
    )
    shared: list[inspect.Parameter] = []
    for name, body in COMMANDS.items():
        parameters = list(inspect.signature(with_session(name, body)).parameters.values())
        page += f"## {name}\n\n" + re.sub(r"(?m)^ {4}", "", (body.__doc__ or "").strip()) + "\n\n"
        own = [each for each in parameters if declared(each).rich_help_panel != "Shared options"]
        shared = [each for each in parameters if each not in own]
        if own:
            page += table("option · meaning · value · default", map(option_row, own))
    return (
        page + "## Shared options\n\n" + table("option · meaning · value · default", map(option_row, shared))
    )


def declared(parameter: inspect.Parameter) -> Any:
    """Return what Typer was told of an argument or option."""
    return get_args(parameter.annotation)[-1]


def option_row(parameter: inspect.Parameter) -> list[str]:
    told, found = declared(parameter), list(kinds(get_args(parameter.annotation)[0]))
    if isinstance(told, ArgumentInfo):
        names = told.metavar or parameter.name.upper()
    else:
        flags = told.default if isinstance(told.default, str) else ""
        names = ", ".join([flags, *told.param_decls]).strip(", ") or "--" + parameter.name.replace("_", "-")
    letters = {int: "N", float: "NUMBER", Path: "FILE", bool: ""}
    value = "" if isinstance(told, ArgumentInfo) else told.metavar or letters.get(found[0], "TEXT")
    default = told.show_default if isinstance(told.show_default, str) else ""
    if (
        not default
        and isinstance(parameter.default, int | str | Path)
        and not isinstance(parameter.default, bool)
    ):
        default = str(parameter.default)
    return [code(names), cell(told.help or ""), code(value), cell(default)]


def kind_of(field: Any) -> str:
    """Return a setting's type in words: the values to choose from, or what may be written."""
    words = {int: "whole number", float: "number", str: "text", bool: "yes or no", Path: "path"}
    possible = choices(field.annotation)
    if possible:
        return ", ".join(possible)
    found = [
        words.get(each, "several" if not isinstance(each, str | int) else str(each))
        for each in kinds(field.annotation)
    ]
    limits = [
        f"{sign} {getattr(each, name)}"
        for each in field.metadata
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if hasattr(each, name)
    ]
    return " or ".join(dict.fromkeys(found)) + (", " + ", ".join(limits) if limits else "")


def settings() -> str:
    """Every setting with type, default and unit."""
    page = MADE + (
        "# Settings\n\nOne section a command. `medimg init` writes them all into `medimg.yaml`; `--set SECTION.KEY=VALUE` sets "
        "one. Over each other go, the last one in force: `plan.yaml`, `medimg.yaml`, `--config FILE`, `--set`, options.\n\n"
    )
    for section in Settings.model_fields:
        if section == "labels":
            page += "## labels\n\nWhat each class means, printed by the report: `CLASS: {definition, code, system, source}`.\n\n"
            continue
        rows = []
        for key, field in Settings.fields_of(section).items():
            default = field.get_default(call_default_factory=True)
            empty = about(field).unset
            shown = f"none: {empty}" if empty else "none" if default in (None, (), {}) else ""
            if not shown:
                shown = (
                    {True: "yes", False: "no"}.get(default, default) if isinstance(default, bool) else default
                )
                shown = ",".join(map(str, shown)) if isinstance(shown, tuple) else shown
            rows.append(
                [
                    code(key),
                    cell(field.description),
                    cell(kind_of(field)),
                    cell(shown),
                    about(field).unit or "–",
                ]
            )
        page += f"## {section}\n\n" + table("setting · meaning · type · default · unit", rows)
    return page


def bare(schema: Any) -> Any:
    """Return a JSON Schema without the prose of the code."""
    if isinstance(schema, dict):
        return {
            key: bare(value)
            for key, value in schema.items()
            if key != "description" or not isinstance(value, str)
        }
    return [bare(each) for each in schema] if isinstance(schema, list) else schema


def schemas() -> dict[str, str]:
    """Return file name → JSON Schema of the JSON files of a workspace."""
    pages = {}
    for file, place in MODELS.items():
        if file == "medimg.yaml":
            continue  # `medimg init --schema` prints it
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **bare(named(*place).model_json_schema()),
        }
        pages[f"schemas/{Path(file).stem.lower()}.schema.json"] = (
            json.dumps(schema, indent=1, sort_keys=True) + "\n"
        )
    return pages


def shown_keys(part: str) -> str:
    """Return one part of an entry of `JSON_KEYS`: when the keys are written, and the keys."""
    when, _, keys = part.rpartition(":")
    return " ".join([when, *map(code, keys.split())]).strip()


def json_page() -> str:
    """JSON on stdout and on disk."""
    page = MADE + (
        "# JSON\n\nWith `--json`, stdout holds exactly one object with `schema` (1) and `command`, and the keys below. A number that "
        "does not exist is `null`. Other keys may come; these stay.\n\n"
    )
    rows = [
        [code(f"medimg {name}"), "; ".join(map(shown_keys, keys.split(", ")))]
        for name, keys in JSON_KEYS.items()
    ]
    page += "## What commands write\n\n" + table("command · keys", rows)
    page += "## Files\n\nThe schema of `medimg.yaml` is what `medimg init --schema` prints; the others stand here:\n\n"
    files = [(file, place) for file, place in MODELS.items() if file != "medimg.yaml"]
    rows = []
    for file, place in files:
        name = f"{Path(file).stem.lower()}.schema.json"
        rows.append(
            [code(file), f"[{name}](schemas/{name})", ", ".join(map(code, named(*place).model_fields))]
        )
    return page + table("file · schema · keys", rows)


def exit_codes() -> str:
    """Exit codes and what to do about each."""
    classes = {kind.exit_code: kind.__name__ for kind in errors.MedimgError.__subclasses__()}
    rows = [
        [str(int(number)), cell(CODES[number][0]), code(classes.get(number, "")), CODES[number][1]]
        for number in ExitCode
    ]
    return (
        MADE
        + (
            "# Exit codes\n\nEvery error is two lines on stderr: `error:` says what is wrong, with the path, row or value; `hint:` says "
            "what to do. The [catalogue](errors.md) lists them all.\n\n"
        )
        + table("code · meaning · in Python · what to do", rows)
    )


def pattern(node: ast.AST, named_texts: Mapping[str, ast.AST] = {}) -> str | None:
    """Return a message as it is written in the code, with … for what it names; None where it is made elsewhere.

    Args:
        named_texts: names of the file that stand for one text → that text.
    """
    if isinstance(node, ast.Name) and node.id in named_texts:
        return pattern(named_texts[node.id])
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values]
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = pattern(node.left, named_texts), pattern(node.right, named_texts)
        return (left or "…") + (right or "…")
    return None


def texts_of(tree: ast.AST) -> dict[str, ast.AST]:
    """Return the names of a file that are given a text once, and that text."""
    given: dict[str, list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            given.setdefault(node.targets[0].id, []).append(node.value)
    return {name: values[0] for name, values in given.items() if len(values) == 1 and pattern(values[0])}


def error_page() -> str:
    """Every message that an error can have, with its hint, by exit code."""
    kinds_of = {kind.__name__: int(kind.exit_code) for kind in errors.MedimgError.__subclasses__()}
    found: dict[int, set[tuple[str, str]]] = {number: set() for number in kinds_of.values()}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = texts_of(tree)
        for node in ast.walk(tree):
            name = getattr(getattr(node, "func", None), "id", "")
            if name not in kinds_of or not isinstance(node, ast.Call) or len(node.args) != 2:
                continue
            what, hint = (pattern(each, texts) for each in node.args)
            if what and what.strip("… "):
                found[kinds_of[name]].add((what, hint or "…"))
    page = MADE + (
        "# Errors\n\nWhat medimg may say, and the hint that goes with it; … stands for what is named there: a path, a row, a value. "
        "Some messages are put together from several places and are not listed.\n\n"
    )
    for number in sorted(found):
        page += f"## Exit code {number}: {CODES[ExitCode(number)][0].split(':')[0]}\n\n"
        page += table("error · hint", ([cell(what), cell(hint)] for what, hint in sorted(found[number])))
    return page


def shelves() -> str:
    """What the shelves hold."""
    page = MADE + "# Checks, layouts, metrics, flags, data sets\n\n"
    for module, registry, title, key in SHELVES.values():
        entries = named(module, registry)
        rows = []
        for name in entries.names():
            entry = entries.get(name)
            more = (
                f"; {entry.classes} classes, {entry.images:,} images, {entry.licence}"
                if hasattr(entry, "licence")
                else ""
            )
            meaning = getattr(entry, key).partition("\n")[0].removeprefix("Return ")
            rows.append([code(name), cell(meaning) + more])
        page += f"## {title}\n\n" + table("name · meaning", rows)
    return page + (
        "`medimg train --list-archs` lists networks with their size and time on this machine; `medimg download` lists the sets "
        "with their sizes.\n"
    )


def pages() -> dict[str, str]:
    """Return file name → content of every page of the reference that is made from the code."""
    return {
        "commands.md": commands(),
        "settings.md": settings(),
        "json.md": json_page(),
        "exit-codes.md": exit_codes(),
        "errors.md": error_page(),
        "shelves.md": shelves(),
        **schemas(),
    }


def main(folder: Path) -> None:
    for name, content in pages().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content.rstrip("\n") + "\n", encoding="utf-8")
        print(f"wrote {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
