"""What the tests of fetching share: a server that misbehaves, and where its file goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sample_data.odd_server import BODY, OddServer, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OddServer]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(BODY) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "tiny.npz"
