"""The document of benchmarks names commands that are there, and says what failed."""

from pathlib import Path

import pytest

from tests.benchmarks import document
from tests.benchmarks.document import BENCHMARKS, ROOT, Benchmark


def test_every_benchmark_of_the_document_is_there_and_has_a_mode() -> None:
    for each in BENCHMARKS:
        place = ROOT / "tests" / "benchmarks" / f"bench_{each.name}"
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), each.name
        assert each.full is not None


def test_a_benchmark_that_cannot_run_is_named_and_the_exit_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Benchmark("decode", "{data}/pictures", "", needs="pictures")
    broken = Benchmark("threshold_rules", "many", "")
    monkeypatch.setattr(document, "BENCHMARKS", (absent, broken))
    monkeypatch.setattr("sys.argv", ["document", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert document.main() == 1
    text = (tmp_path / "out" / "benchmarks.md").read_text()
    assert "Not run: pictures is not in the data folder." in text
    assert "Exit code 1: ValueError" in text and "bench_threshold_rules many" in text
