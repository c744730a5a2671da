"""The one family of errors and the exit code each of them ends with."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a shell script may rely on; the guide's reference carries the same table."""

    DONE = 0
    GATE = 1
    USAGE = 2
    DATA = 3
    PARTIAL = 4
    MACHINE = 5
    RUN = 6
    BUG = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class MedimgError(Exception):
    """An error a user can act on: what went wrong, and what to do about it.

    Args:
        what: one line naming the path, row or value at fault.
        hint: one line saying what to do.
    """

    exit_code = ExitCode.BUG

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __reduce__(self) -> tuple[type["MedimgError"], tuple[str, str]]:
        return type(self), (self.what, self.hint)  # it may be raised in another process


class GateError(MedimgError):
    """A gate said no: audit findings, an unmet requirement, a leaky split."""

    exit_code = ExitCode.GATE


class UsageError(MedimgError):
    """Wrong options or a wrong configuration."""

    exit_code = ExitCode.USAGE


class DataError(MedimgError):
    """The data cannot be used as they are."""

    exit_code = ExitCode.DATA


class MachineError(MedimgError):
    """The machine lacks something: Pango, weights, a device, disk space."""

    exit_code = ExitCode.MACHINE


class RunError(MedimgError):
    """A run, model or checkpoint cannot be used."""

    exit_code = ExitCode.RUN
