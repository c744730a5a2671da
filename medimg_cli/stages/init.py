"""init: a commented settings file."""

from pathlib import Path

import yaml
from pydantic import BaseModel

from medimg_cli.errors import UsageError
from medimg_cli.workspace.files import write_text
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
    write_text(path, _HEAD + "".join(_section(name, section) for name, section in _sections()))
    return path


def _sections() -> list[tuple[str, BaseModel]]:
    return [(name, getattr(Settings(), name)) for name in Settings.model_fields]


def _section(name: str, section: BaseModel) -> str:
    if name == "labels":
        return _LABELS
    defaults = section.model_dump(mode="json")
    lines = []
    for key, field in type(section).model_fields.items():
        value = yaml.safe_dump(defaults[key], default_flow_style=True).removesuffix("...\n").strip()
        lines.append(f"#  {key}: {value}".ljust(36) + f" # {field.description}\n")
    return f"\n#{name}:\n" + "".join(lines)
