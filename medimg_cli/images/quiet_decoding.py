"""Our own terms for libraries that open files nobody vouches for: silence, and no half image."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import ImageFile


class _OwnTerms:
    """While at least one thread is inside, warnings are ignored and Pillow refuses truncated files.

    Both are switches of the whole process: `warnings.catch_warnings` alone is not safe in threads, and other
    libraries (WeasyPrint, when it is imported) tell Pillow to fill with grey what a file lacks. Here the first
    thread in saves the switches and the last one out restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._stack = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                self._stack.callback(_fill_truncated, ImageFile.LOAD_TRUNCATED_IMAGES)
                _fill_truncated(False)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._stack.close()


def _fill_truncated(wanted: bool) -> None:
    ImageFile.LOAD_TRUNCATED_IMAGES = wanted


_OWN_TERMS = _OwnTerms()


@contextmanager
def own_terms() -> Iterator[None]:
    """Run foreign code on a file: what is wrong with it becomes a reason, not a line on stderr; safe in threads.

    A panic of a decoder written in Rust, which is no `Exception` to Python, becomes a `RuntimeError`.
    """
    with _OWN_TERMS:
        try:
            yield
        except BaseException as error:
            if type(error).__module__ == "pyo3_runtime":
                raise RuntimeError(f"the decoder failed: {error}") from error
            raise
