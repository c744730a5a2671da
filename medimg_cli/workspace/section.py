"""What every section of the settings is made of."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
Chance = Annotated[float, Field(gt=0.0, lt=1.0)]
PositiveInt = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """One command's settings. Names equal the options' names with `_` for `-`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def listed(value: Any) -> Any:
    """Return a text as the list its commas make of it, a single number as a list of one."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return (value,) if isinstance(value, int) else value


def _holds_a_hundredth(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not (0 < low < high < 1 and high - low >= 0.01):
        raise ValueError("two probabilities, 0.01 or more apart and between 0 and 1, such as 0.01,0.5")
    return value


ProbabilityRange = Annotated[tuple[float, float], BeforeValidator(listed), AfterValidator(_holds_a_hundredth)]


class LabelCode(BaseModel):
    """What a class means, for people of another house: one entry of the `labels:` section.

    Args:
        definition: in words, as the readers who labelled understood it.
        code: in a terminology; texts, as ICD-10 codes have letters and SNOMED CT codes may outgrow numbers.
        system: the terminology: "SNOMED CT", "ICD-10", …
        source: who defined or assigned the label.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    definition: str = ""
    code: str = ""
    system: str = ""
    source: str = ""
