"""The audit log: a line for each image before it is answered, and nothing in it that names anybody."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from medimg_cli.errors import MachineError
from medimg_cli.web.serving.audit_log import AuditLog
from tests.web.serving import Served, dicom, png, serve_for_tests


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def served(path: Path) -> Served:
    return serve_for_tests(audit=AuditLog(path, "ab" * 32))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_image_has_a_line_with_its_hash_and_its_answer(served: Served, path: Path) -> None:
    answer = served.predict(("Doe_Jane.png", png()), ("b.dcm", dicom((0, 224))), ("c", b"none"))
    first, second, third, bad = lines(path)
    assert first["upload_sha256"] == hashlib.sha256(png()).hexdigest()
    assert first["request"] == answer.headers["x-request-id"]
    assert (first["label"], first["decision"], first["model_sha256"]) == ("LIGHT", "positive", "ab" * 32)
    assert first["probabilities"] == answer.json()["predictions"][0]["probabilities"]
    assert (second["member"], third["member"]) == ("frame/0", "frame/1")
    assert (bad["status"], bad["label"]) == ("unreadable", None)


def test_no_name_no_pixel_and_no_header_is_in_it(served: Served, path: Path) -> None:
    served.predict(("Doe_Jane.png", png()), ("b.dcm", dicom(modality="CT")))
    served.client.post("/api/result.pdf", files={"files": ("Doe_Jane.png", png())})
    text = path.read_text()
    assert "Doe" not in text
    assert "4711" not in text
    assert max(map(len, text.splitlines())) < 1000
    assert [line["route"] for line in lines(path)] == ["/api/predict"] * 2 + ["/api/result.pdf"]


def test_it_is_only_added_to_and_only_its_owner_reads_it(path: Path) -> None:
    for _ in range(2):
        serve_for_tests(audit=AuditLog(path, "ab" * 32)).predict(("a.png", png()))
    assert len(lines(path)) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["deleted", "full"])
def test_what_cannot_be_recorded_is_not_answered(
    damage: str, served: Served, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if damage == "deleted":
        path.unlink()
    else:
        monkeypatch.setattr("os.write", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
    for route in ("/api/predict", "/api/result.pdf"):
        assert served.code(route, ("a.png", png())) == (503, "internal")


def test_a_place_where_nothing_can_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        AuditLog(tmp_path / "no" / "folder" / "log", "")
