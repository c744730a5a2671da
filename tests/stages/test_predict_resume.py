"""predict --resume: a file of rows is gone on with as if nobody had ended the first call."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medimg_cli.errors import MachineError, UsageError
from medimg_cli.inference.classifier import Classifier
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.stages.predict import PredictResult, predict
from medimg_cli.workspace.lock import claim
from medimg_cli.workspace.settings import PredictSettings
from tests.stages.made_up_model import MadeUpNetwork, judge
from tests.stages.test_predict import draw

SETTINGS = PredictSettings(batch_size=4)
SUFFIXES = pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
ODD_NAMES = [
    '0"quote.png',
    "1,comma.png",
    "2\nline.png",
    "3 ü.png",
    *(f"{number}.png" for number in range(4, 9)),
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of nine pictures with names that ask for care, and one file that is none."""
    folder = tmp_path / "set"
    draw(folder, *ODD_NAMES)
    (folder / "5b.png").write_bytes(b"no picture")
    return folder


def whole(images: Path, out: Path) -> bytes:
    """Return the bytes of a file that nobody interrupted."""
    predict(judge(), [images], SETTINGS, out=out)
    return out.read_bytes()


def resumed(images: Path, out: Path, by: Classifier | None = None) -> tuple[PredictResult, list[str]]:
    """Go on with a file; return what came of it and every path that was told."""
    paths: list[str] = []
    result = predict(
        by or judge(),
        [images],
        SETTINGS,
        out=out,
        resume=True,
        tell=lambda path, _: paths.append(Path(path).name),
    )
    return result, paths


@SUFFIXES
def test_an_interrupted_call_keeps_its_rows_and_the_next_adds_the_others(
    images: Path, tmp_path: Path, suffix: str
) -> None:
    expected = whole(images, tmp_path / f"whole{suffix}")
    out = tmp_path / f"rows{suffix}"

    def stop(path: str, _: Prediction) -> None:
        if path.endswith("/5.png"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(judge(), [images], SETTINGS, out=out, tell=stop)
    kept = out.read_bytes()
    assert expected.startswith(kept) and kept.endswith(b"\n") and len(kept) < len(expected)
    by = judge()
    result, paths = resumed(images, out, by)
    assert out.read_bytes() == expected
    network = by.predictor.networks[0]
    assert isinstance(network, MadeUpNetwork)
    assert sum(network.asked) == 9 - (result.resumed)  # of the ten rows one is no image
    assert (result.rows, result.resumed, result.unreadable) == (10, 6, 1)
    assert len(paths) == 10


@SUFFIXES
def test_wherever_a_call_was_killed_the_same_file_comes_out(
    images: Path, tmp_path: Path, suffix: str
) -> None:
    expected = whole(images, tmp_path / f"whole{suffix}")
    out = tmp_path / f"rows{suffix}"
    for length in {
        *range(0, len(expected), 97),
        len(expected) - 1,
        expected.index(b"\n"),
        expected.index(b"\n") + 1,
    }:
        out.write_bytes(expected[:length])
        resumed(images, out)
        assert out.read_bytes() == expected, f"cut at byte {length}"


@SUFFIXES
def test_what_is_told_of_rows_that_were_there_is_what_was_told_then(
    images: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"rows{suffix}"
    first: list[tuple[str, Prediction]] = []
    again: list[tuple[str, Prediction]] = []
    predict(judge(), [images], SETTINGS, out=out, tell=lambda *row: first.append(row))
    predict(judge(), [images], SETTINGS, out=out, resume=True, tell=lambda *row: again.append(row))
    assert again == first and len(first) == 10


def test_a_file_that_came_since_is_added_and_one_that_went_keeps_its_row(
    images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "rows.jsonl"
    whole(images, out)
    draw(images, "3a.png")
    (images / "7.png").unlink()
    result, paths = resumed(images, out)
    assert (result.rows, result.resumed, result.strange) == (10, 9, 1)
    assert paths == sorted([*ODD_NAMES[:7], "3a.png", "5b.png", "8.png"])
    names = [Path(json.loads(line)["path"]).name for line in out.read_text().splitlines()]
    assert names == [*sorted([*ODD_NAMES, "5b.png"]), "3a.png"]


def test_an_input_named_twice_has_two_rows_also_when_one_of_them_is_there(
    images: Path, tmp_path: Path
) -> None:
    out, twice = tmp_path / "rows.csv", [images / "4.png", images / "6.png", images / "4.png"]
    predict(judge(), twice, SETTINGS, out=out)
    expected = out.read_bytes()
    out.write_bytes(expected[: expected.index(b"\n", expected.index(b"\n") + 1) + 1])
    result = predict(judge(), twice, SETTINGS, out=out, resume=True)
    assert (out.read_bytes(), result.resumed) == (expected, 1)


def test_without_resume_the_file_is_begun_anew(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    out.write_text("something else\n")
    assert whole(images, out).startswith(b"image_id,")


@SUFFIXES
def test_rows_of_another_model_are_not_gone_on_with(images: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"rows{suffix}"
    expected = whole(images, out)
    for other in (judge(weights_sha256="0" * 64), judge(temperature=2.0)):
        with pytest.raises(UsageError, match=r"is of model [0-9a-f]{16}, and now [0-9a-f]{16} answers"):
            resumed(images, out, other)
    assert out.read_bytes() == expected


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"path,label\nx,y\n", "does not begin with the columns"),
        ("a.jsonl", b'{"path": "x"}\n', "record 1 is no row"),
        ("a.jsonl", b"just words\n", "record 1 is no row"),
        ("a.jsonl", b"[1]\n", "record 1 is no row"),
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(
    images: Path, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        resumed(images, tmp_path / name)
    assert (tmp_path / name).read_bytes() == content


def test_a_damaged_row_in_the_middle_is_named(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    lines = whole(images, out).splitlines(keepends=True)
    out.write_bytes(b"".join([*lines[:3], b"\x00\x00\n", *lines[3:]]))
    with pytest.raises(UsageError, match=r"rows\.csv record 4 is no row"):
        resumed(images, out)


def test_of_two_calls_that_write_one_file_the_second_is_refused(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    expected = whole(images, out)
    with out.open("ab") as stream:
        claim(stream.fileno(), doing="testing")
        for resume in (True, False):
            with pytest.raises(MachineError, match=r"another medimg is writing .*rows\.csv"):
                predict(judge(), [images], SETTINGS, out=out, resume=resume)
    assert out.read_bytes() == expected


@pytest.mark.parametrize("found", [None, (), ("CLEAR",), ("CLEAR", "SPOT")])
@SUFFIXES
def test_sets_of_classes_come_back_as_they_were(
    images: Path, tmp_path: Path, suffix: str, found: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Classifier.prediction
    monkeypatch.setattr(
        Classifier, "prediction", lambda *asked: replace(answer(*asked), prediction_set=found)
    )
    out, told = tmp_path / f"rows{suffix}", []
    for resume in (False, True):
        predict(
            judge(),
            [images / "4.png"],
            SETTINGS,
            out=out,
            resume=resume,
            tell=lambda _, prediction: told.append(prediction.prediction_set),
        )
    assert told == [found, found]
