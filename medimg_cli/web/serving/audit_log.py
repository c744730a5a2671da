"""Who asks the model what, for an audit: hashes and answers, one JSON object a line, appended and never changed.

No pixels, no file names, no identity. A line is on the disk before the answer leaves the server; where it cannot be
written, there is no answer.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medimg_cli.errors import MachineError
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.web.serving.refusals import Refusal
from medimg_cli.workspace.files import to_jsonable
from medimg_cli.workspace.provenance import now

_ONLY_OWNER = 0o600


class AuditLog:
    """A file that is only ever appended to; several processes may share it.

    Args:
        path: the file; made, readable by its owner alone, where it does not exist.
        model_sha256: of the weights that answer.

    Raises:
        MachineError: it cannot be opened for writing.
    """

    def __init__(self, path: Path, model_sha256: str) -> None:
        self._path, self._model = path, model_sha256
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _ONLY_OWNER)
        except OSError as error:
            raise MachineError(
                f"the audit log {path} cannot be written: {error.strerror}", "choose another --audit-log"
            ) from error

    def write(
        self, request_id: str, route: str, answers: Sequence[tuple[str, str | None, Prediction]]
    ) -> None:
        """Append a line for each answer and see it on the disk.

        Args:
            request_id: as sent to the client.
            route: what was asked.
            answers: (SHA-256 of the upload, frame of it or None, prediction).

        Raises:
            Refusal: it could not be written; nothing may be answered then.
        """
        when = now()
        lines = [self._line(when, request_id, route, *answer) for answer in answers]
        data = "".join(json.dumps(to_jsonable(line), allow_nan=False) + "\n" for line in lines).encode()
        try:
            if os.fstat(self._file).st_nlink == 0:  # deleted: lines would go where nobody finds them
                raise OSError("deleted")
            if os.write(self._file, data) != len(data):  # one call, so that processes do not mix lines
                raise OSError("cut short")
            os.fsync(self._file)
        except OSError as error:
            detail = "The audit log cannot be written, so nothing is answered."
            raise Refusal(503, "internal", detail, retry_after=30) from error

    def _line(
        self, when: str, request_id: str, route: str, sha256: str, member: str | None, answer: Prediction
    ) -> dict[str, Any]:
        text = answer.entry("")
        del text["path"], text["message"]  # the one is a name, and the other may quote a header
        return {
            "time": when,
            "request": request_id,
            "route": route,
            "upload_sha256": sha256,
            "member": member,
            "model_sha256": self._model,
            **text,
        }

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
