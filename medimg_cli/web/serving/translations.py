"""What the page says, in the languages that have a file in `templates/serve/strings`; English is the catalogue."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from medimg_cli.workspace.files import templates_dir

CATALOGUE = "en"
_PLACE = re.compile(r"\{(\w+)\}")
_LANGUAGE_RANGE = re.compile(
    r"^\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?$"
)


@dataclass(frozen=True)
class Words:
    """The strings of one language.

    Args:
        language: its tag, the stem of its file.
        texts: key → text; `{name}` in a text is a place for a value.
    """

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of `key` with its places filled.

        Raises:
            KeyError: there is no such key, or a place has no value.
        """
        return _PLACE.sub(lambda place: str(values[place[1]]), self.texts[key])

    def has(self, key: str) -> bool:
        return key in self.texts

    def number(self, value: float, digits: int) -> str:
        """Return a number as the language writes it.

        >>> Words("de", {"number.decimal": ","}).number(0.25, 2)
        '0,25'
        """
        return f"{value:.{digits}f}".replace(".", self.texts["number.decimal"])

    def percent(self, share: float) -> str:
        """Return a share, 0..1, in per cent with one decimal."""
        return self("number.percent", n=self.number(share * 100, 1))

    def probability(self, share: float) -> str:
        """Return a probability in per cent; no model is certain, so none reads 0 or 100 %."""
        if share >= 0.9995:
            return self("number.above", n=self.percent(0.999))
        if share < 0.0005:
            return self("number.below", n=self.percent(0.001))
        return self.percent(share)

    def of_hundred(self, share: float) -> str:
        """Return a share as a count of 100, which never rounds to all or to none where it is neither."""
        count = int(share * 100 + 0.5)
        if count == 100 and share < 1:
            return self("number.above", n=99)
        if count == 0 and share > 0:
            return self("number.below", n=1)
        return str(count)

    def rest_of_hundred(self, share: float) -> str:
        """Return the rest of 100 beside `of_hundred`: the two always make a hundred."""
        count = int(share * 100 + 0.5)
        return str(100 - count) if 0 < count < 100 else self.of_hundred(1 - share)


@lru_cache(maxsize=1)
def languages() -> tuple[str, ...]:
    """Return the languages there are, English first."""
    found = sorted(path.stem for path in _folder().glob("*.yaml"))
    return (CATALOGUE, *(name for name in found if name != CATALOGUE))


@lru_cache(maxsize=32)
def words_of(language: str) -> Words:
    """Return the strings of one of `languages()`; what its file lacks is English."""
    texts = _read(CATALOGUE)
    return Words(language, texts if language == CATALOGUE else texts | _read(language))


def chosen_language(asked: str | None, accepted: str | None) -> str:
    """Return the language to answer in.

    Args:
        asked: what the address says, `?lang=vi`; a language there is no file of counts as not asked.
        accepted: the header Accept-Language (RFC 9110, 12.5.4).
    """
    if asked in languages():
        return str(asked)
    wanted = []
    for place, part in enumerate((accepted or "").split(",")[:32]):
        if (match := _LANGUAGE_RANGE.match(part)) and match[1].lower() in languages():
            wanted.append((-float(match[2] or 1), place, match[1].lower()))
    wanted = [entry for entry in sorted(wanted) if entry[0] < 0]
    return wanted[0][2] if wanted else CATALOGUE


def _folder() -> Path:
    return templates_dir() / "serve" / "strings"


def _read(language: str) -> dict[str, str]:
    """Return the file's sections as `section.key` → text."""
    content = yaml.safe_load((_folder() / f"{language}.yaml").read_text(encoding="utf-8"))
    return {
        f"{section}.{key}": str(text) for section, texts in content.items() for key, text in texts.items()
    }
