"""What every section of the settings is made of."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """One command's settings. Names equal the options' names with `_` for `-`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def listed(value: Any) -> Any:
    """Return a text as the list its commas make of it, a single number as a list of one."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return (value,) if isinstance(value, int) else value
