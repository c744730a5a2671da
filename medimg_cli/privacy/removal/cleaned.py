"""What de-identification of one file comes to: a clean file, or the reason why there is none."""

from collections import Counter
from dataclasses import dataclass, field


class CannotDeidentify(Exception):  # noqa: N818 -- not a failure of the command: the file is named with the reason
    """Raised for a file that cannot be cleaned; its text is the reason, one line, without a value."""


@dataclass(frozen=True)
class CleanFile:
    """A de-identified file.

    Args:
        content: its bytes.
        counts: what was done → how often; see `profile.Verb`.
    """

    content: bytes
    counts: Counter[str] = field(default_factory=Counter)
