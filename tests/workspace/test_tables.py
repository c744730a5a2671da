"""A large table as Parquet: what comes back, what a kill leaves, two forms at once, and no library for it."""

import importlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from medimg_cli.errors import DataError, MachineError, UsageError
from medimg_cli.stages.export import export_table
from medimg_cli.workspace import table_form, tables
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.table_form import check_single, keep_as_parquet_from, rows_of, stored
from medimg_cli.workspace.tables import keep_table, read_table, table_sha256, write_table

CELLS = ["", " ", "007", "1e5", "nan", "NaN", "NA", "None", "null", "inf", "-1.50", "é", "漢字", "a\nb", "a\r\nb", "\r", '"',
    "a,b", "=1+1", "'=x", "'", "\t", "a;=b", "true", "\u200e", "🩻", "\ufeff"]  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(tables, "_ROWS_AT_ONCE", 7)
    keep_as_parquet_from(10)
    yield
    keep_as_parquet_from(200_000)


def drawn(seed: int, rows: int = 40) -> pd.DataFrame:
    draw = random.Random(seed)
    cells = [draw.choice(CELLS) + draw.choice(["", "", draw.choice(CELLS)]) for _ in range(4 * rows)]
    numbers = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "image_id": cells[:rows],
        "=b": cells[rows : 2 * rows],
        "c d": pd.Series(cells[2 * rows : 3 * rows], dtype=object).where(numbers.random(rows) > 0.2, None),
        "p": numbers.normal(0, 10.0 ** numbers.integers(-9, 9, rows)),
        "q": np.where(numbers.random(rows) > 0.5, np.nan, 1.0),
        "n": numbers.integers(-5, 5, rows),
        "b": numbers.random(rows) > 0.5,
    }
    names = draw.sample(list(columns), draw.randint(1, len(columns)))
    return pd.DataFrame({name: columns[name] for name in names})


@pytest.mark.parametrize("seed", range(25))
def test_parquet_gives_back_what_the_csv_does_cell_by_cell_and_has_its_hash(
    tmp_path: Path, seed: int
) -> None:
    rows = drawn(seed)
    write_table(tmp_path / "csv" / "t.csv", rows)
    path = keep_table(tmp_path / "t.csv", rows)
    assert path == stored(tmp_path / "t.csv") == tmp_path / "t.parquet"
    plain = read_table(tmp_path / "csv" / "t.csv")
    assert_frame_equal(read_table(path), plain)
    assert table_sha256(path) == sha256_of_file(tmp_path / "csv" / "t.csv")
    name = plain.columns[0]
    assert [row[name] for row in rows_of(path, (name,))] == plain[name].tolist()
    before = path.read_bytes()
    keep_table(path, rows)
    assert path.read_bytes() == before
    assert_frame_equal(read_table(export_table(path, tmp_path / "out.csv")), plain)


def test_one_form_takes_the_place_of_the_other(tmp_path: Path) -> None:
    rows = drawn(0)
    for kept, name in ((rows, "t.parquet"), (rows[:9], "t.csv"), (rows, "t.parquet"), (rows[:0], "t.csv")):
        assert keep_table(stored(tmp_path / "t.csv"), kept) == tmp_path / name
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert len(read_table(tmp_path / name)) == len(kept)
    keep_as_parquet_from(0)
    assert keep_table(tmp_path / "t.csv", rows).suffix == ".csv"


def test_an_edited_csv_beside_it_is_neither_passed_over_nor_written_over(tmp_path: Path) -> None:
    path = keep_table(tmp_path / "t.csv", drawn(1))
    with pytest.raises(UsageError, match=r"t\.csv would stand beside t\.parquet"):
        export_table(path, tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("mine\n1\n")
    for use in (
        lambda: read_table(stored(path)),
        lambda: table_sha256(path),
        lambda: keep_table(path, drawn(2)),
        lambda: list(rows_of(path, ("p",))),
    ):
        with pytest.raises(DataError, match=r"t\.csv and t\.parquet are both there") as caught:
            use()
        assert caught.value.hint.startswith("delete t.parquet if the CSV is to count")
    path.unlink()
    check_single(path)
    assert read_table(stored(path)).columns.tolist() == ["mine"]


def test_damage_is_an_error_or_changes_no_cell(tmp_path: Path) -> None:
    path = keep_table(tmp_path / "t.csv", drawn(3).assign(image_id=[f"{n:040}" for n in range(40)]))
    whole, plain, found = path.read_bytes(), read_table(path), 0
    for place in range(3, len(whole), 61):
        flipped = bytes([*whole[:place], whole[place] ^ 255, *whole[place + 1 :]])
        for damaged in (flipped, whole[:place]):
            path.write_bytes(damaged)
            try:
                assert_frame_equal(read_table(path), plain)
            except DataError as error:
                assert "t.parquet cannot be read" in error.what
                found += 1
    assert found > 0.8 * len(range(3, len(whole), 61)) * 2


def test_a_killed_write_leaves_the_table_before(tmp_path: Path) -> None:
    killed = """
import os, signal, sys, pandas as pd
from pathlib import Path
from medimg_cli.workspace import tables, table_form
table_form.keep_as_parquet_from(10); tables._ROWS_AT_ONCE = 7
read, times = tables._read_csv, iter(range(9))
def dies(source):
    if next(times) == 4: os.kill(os.getpid(), signal.SIGKILL)
    return read(source)
tables._read_csv = dies
tables.keep_table(Path(sys.argv[1]), pd.DataFrame({"a": range(40)}))
"""
    for before in (drawn(4, 9), drawn(5)):
        path = keep_table(stored(tmp_path / "t.csv"), before)
        plain = read_table(path)
        ended = subprocess.run(
            [sys.executable, "-c", killed, str(path)], env=os.environ, check=False, timeout=60
        )
        assert ended.returncode == -signal.SIGKILL
        assert stored(tmp_path / "t.csv") == path
        assert_frame_equal(read_table(path), plain)


def test_without_the_library_tables_stay_csv_and_a_parquet_file_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep_table(tmp_path / "t.csv", drawn(6))

    def absent(name: str) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return importlib.import_module(name)

    monkeypatch.setattr(table_form, "import_module", absent)
    monkeypatch.setattr(tables, "has_parquet", lambda: False)
    for use in (lambda: read_table(path), lambda: table_sha256(path), lambda: list(rows_of(path, ("p",)))):
        with pytest.raises(MachineError) as caught:
            use()
        assert caught.value.hint == "pip install 'medimg[parquet]'"
    assert keep_table(tmp_path / "u.csv", drawn(6)) == tmp_path / "u.csv"
