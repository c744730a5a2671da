"""init: a commented settings file."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from medimg_cli.errors import UsageError
from medimg_cli.workspace.files import write_text
from medimg_cli.workspace.section import about, described
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.workspace import Workspace

_HEAD = """\
# Settings of this medimg workspace. Every line shows its default; remove the '#' before one to change it.
# Options on the command line go over this file.
"""

_LABELS = """
# What each class means; the report prints it.
#labels:
#  SOME_CLASS: {definition: what readers called so, code: "233604007", system: SNOMED CT, source: who defined it}
"""


def init(workspace: Workspace) -> Path:
    """Write `medimg.yaml` with every setting commented out, and return its path.

    Raises:
        UsageError: there is one already.
    """
    path = workspace.settings_path
    if path.exists():
        raise UsageError(f"{path} exists already", "edit it, or choose another folder")
    write_text(
        path, _HEAD + "".join(_section(name, getattr(Settings(), name)) for name in Settings.model_fields)
    )
    return path


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `medimg.yaml`: of every setting its type, default, unit and description."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(),
        "title": "medimg.yaml",
    }


def _section(name: str, section: BaseModel) -> str:
    if name == "labels":
        return _LABELS
    defaults = section.model_dump(mode="json")
    lines = []
    for key, field in type(section).model_fields.items():
        value = yaml.safe_dump(defaults[key], default_flow_style=True).removesuffix("...\n").strip()
        empty = f"; empty = {unset}" if (unset := about(field).unset) else ""
        unit = f" [{about(field).unit}]" if about(field).unit else ""
        lines.append(f"#  {key}: {value}".ljust(36) + f" # {described(field)}{empty}{unit}\n")
    return f"\n#{name}:\n" + "".join(lines)
