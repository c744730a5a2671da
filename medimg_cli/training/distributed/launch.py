"""`--nproc N`: torchrun's own launcher starts the same command N times on this machine."""

import logging
import os
import signal
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from medimg_cli.errors import ExitCode, MachineError, UsageError
from medimg_cli.training.distributed.join import LAUNCHED
from medimg_cli.training.distributed.ranks import seat_of

_SECONDS_TO_SAVE = 600
_POLL_SECONDS = 0.2


def is_to_be_launched(processes: int | None) -> bool:
    """Return whether this process has to start others, being none of them.

    Raises:
        UsageError: it is one of another number of processes.
    """
    if processes is None:
        return False
    size = seat_of(os.environ).size
    if size > 1 and LAUNCHED not in os.environ and size != processes:
        raise UsageError(
            f"--nproc {processes} inside a start of {size} processes",
            "leave --nproc out under torchrun or srun",
        )
    return size == 1 and processes > 1


def launch(processes: int) -> None:
    """Run this very command in so many processes; return when all are done.

    What they say goes where this process speaks. Ctrl-C and SIGTERM are passed on to them.

    Raises:
        MachineError: one of them was killed.
        SystemExit: one of them failed, or they were interrupted; it has said why.
    """
    logging.disable(logging.CRITICAL)  # torchrun's own; what went wrong is said once, by us
    os.environ[LAUNCHED] = str(processes)
    # torchrun would warn and set 1; how many threads a process runs is decided in `prepare_processor`.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="medimg-nproc-") as folder:
        try:
            elastic_launch(_config(processes, folder), sys.executable)("-m", "medimg_cli", *sys.argv[1:])
        except ChildFailedError as error:
            raise _told(list(error.failures.values()), processes) from None
        except SignalException:
            raise SystemExit(int(ExitCode.INTERRUPTED)) from None
        finally:
            del os.environ[LAUNCHED]
            logging.disable(logging.NOTSET)


def _config(processes: int, folder: str) -> LaunchConfig:
    options: dict[str, Any] = {
        "min_nodes": 1,
        "max_nodes": 1,
        "nproc_per_node": processes,
        "run_id": f"medimg-{os.getpid()}",
        "rdzv_backend": "c10d",
        "rdzv_endpoint": "localhost:0",
        "max_restarts": 0,
        "monitor_interval": _POLL_SECONDS,
        "local_addr": "localhost",
        "shutdown_timeout": _SECONDS_TO_SAVE,
    }
    known = {
        field.name for field in fields(LaunchConfig)
    }  # older torch lacks the last one, and waits 30 seconds
    os.environ.setdefault("TORCHELASTIC_ERROR_FILE", str(Path(folder) / "error"))
    return LaunchConfig(**{name: value for name, value in options.items() if name in known})


def _told(failures: list[ProcessFailure], processes: int) -> BaseException:
    """Return how this process ends when others failed: as they said, or, of those that could not, saying it."""
    # SIGTERM is what torchrun ends the others with.
    killed = [failure for failure in failures if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM]
    codes = [failure.exitcode for failure in failures if failure.exitcode > 0]
    if codes and not killed:
        return SystemExit(max(codes))
    first = (killed or failures)[0]
    return MachineError(
        f"process {first.local_rank + 1} of {processes} was ended by {first.signal_name()}",
        "the system kills what takes too much memory: lower --batch-size or --nproc, and go on with --resume",
    )
