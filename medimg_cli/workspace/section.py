"""What every section of the settings is made of, and how a setting says what it is.

A setting stands in one place, its section: type, default, description, unit, and how the command line names it. `medimg.yaml`
(`init`), its JSON Schema (`init --schema`) and the options of the commands are made from that.
"""

import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

Value = TypeVar("Value")

Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
Chance = Annotated[float, Field(gt=0.0, lt=1.0)]
PositiveInt = Annotated[int, Field(gt=0)]


class Section(BaseModel, extra="forbid", frozen=True, defer_build=True):
    """One command's settings. Names equal the options' names with `_` for `-`."""

    # Built when first used: the help of a command reads what a section holds and checks nothing.


@dataclass(frozen=True)
class About:
    """What is known of a setting beside its type, default and description.

    Args:
        unset: what an empty value (None or no entry) means.
        unit: of a number: px, seconds, images …
        option: whether its command has an option for it; else only `--set` and the file reach it.
        flags: where it is not --NAME: --copy/--link of a yes-or-no setting (else --NAME says yes), or another name.
        metavar: what stands for the value in the help; "" derives it from the type.
        panel: heading it stands under in the help; "" for the usual one.
        envvar: environment variable that is read where the option is missing; "" for none.
        repeated: given once for each value instead of once with commas.
    """

    unset: str = ""
    unit: str = ""
    option: bool = True
    flags: str = ""
    metavar: str = ""
    panel: str = ""
    envvar: str = ""
    repeated: bool = False

    def __call__(self, schema: JsonDict) -> None:
        """Add to a JSON Schema what it has no words of its own for."""
        if self.unit:
            schema["unit"] = self.unit
        if self.unset:
            schema["description"] = f"{schema['description']}; empty = {self.unset}"


_OF_ABOUT = frozenset(field.name for field in fields(About))


def setting(default: Any, description: str, **more: Any) -> Any:
    """Return the field of a section for one setting.

    Args:
        default: its value where nobody sets it.
        description: what it is, in one clause that begins with a small letter; the same in `medimg.yaml` and in `--help`.
        more: what `About` has, and limits of pydantic's `Field` such as `ge` or `min_length`.
    """
    about = About(**{name: value for name, value in more.items() if name in _OF_ABOUT})
    limits = {name: value for name, value in more.items() if name not in _OF_ABOUT}
    return Field(default, description=description, json_schema_extra=about, **limits)


def about(field: FieldInfo) -> About:
    """Return what `setting` recorded of a field."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, About) else About()


def described(field: FieldInfo) -> str:
    """Return a setting's description, with the values to choose from where there are some."""
    possible = choices(field.annotation)
    return f"{field.description} ({', '.join(possible)})" if possible else str(field.description)


def kinds(annotation: Any) -> Iterator[Any]:
    """Yield what a setting's value may be: types, literal values, and tuple types; None and limits are left out.

    >>> list(kinds(PositiveInt | Literal["auto"] | None))
    [<class 'int'>, 'auto']
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from kinds(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from kinds(part)
    elif origin is Literal:
        yield from get_args(annotation)
    elif annotation is not type(None):
        yield annotation


def choices(annotation: Any) -> tuple[str, ...]:
    """Return the values that a setting, or each entry of one that holds several, is one of; () where it is free.

    >>> choices(tuple[Literal["tensorboard", "mlflow"], ...])
    ('tensorboard', 'mlflow')
    """
    found = list(kinds(annotation))
    if len(found) == 1 and get_origin(found[0]) is tuple:
        found = list(kinds(get_args(found[0])[0]))
    free = any(isinstance(each, type) or get_origin(each) for each in found)
    return () if free else tuple(map(str, found))


def listed(value: Any) -> Any:
    """Return a text as the list its commas make of it, a single number as a list of one."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return (value,) if isinstance(value, int | float) else value


class Commas:
    """Says of a setting of several values that a text with commas, or one number, will do; also in the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(listed, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string"}]}


Several = Annotated[tuple[Value, ...], Commas()]


def _holds_a_hundredth(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not (0 < low < high < 1 and high - low >= 0.01):
        raise ValueError("two probabilities, 0.01 or more apart and between 0 and 1, such as 0.01,0.5")
    return value


ProbabilityRange = Annotated[tuple[float, float], Commas(), AfterValidator(_holds_a_hundredth)]


class LabelCode(BaseModel, extra="forbid", frozen=True, coerce_numbers_to_str=True, defer_build=True):
    """What a class means, for people of another house: one entry of the `labels:` section.

    Args:
        definition: in words, as the readers who labelled understood it.
        code: in a terminology; texts, as ICD-10 codes have letters and SNOMED CT codes may outgrow numbers.
        system: the terminology: "SNOMED CT", "ICD-10", …
        source: who defined or assigned the label.
    """

    definition: str = ""
    code: str = ""
    system: str = ""
    source: str = ""


_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_PARTS = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?")


def seconds_of(text: str) -> float:
    """Return the seconds that `text` says; a number alone is seconds.

    Raises:
        ValueError: it is no length of time.

    >>> seconds_of("30m"), seconds_of("1h30m"), seconds_of("90")
    (1800.0, 5400.0, 90.0)
    """
    plain = text.replace(" ", "").lower()
    if re.fullmatch(r"\d+(\.\d+)?", plain):
        return float(plain)
    found = _PARTS.fullmatch(plain)
    if not plain or found is None:
        raise ValueError("a length of time such as 90s, 30m or 1h30m")
    return sum(_SECONDS[unit] * float(number) for unit, number in found.groupdict().items() if number)


def _read(value: Any) -> Any:
    return seconds_of(value) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_read), Field(gt=0)]
"""A setting that holds seconds and takes texts such as "30m"."""
