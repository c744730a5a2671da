"""The ONNX copy of a network: it answers like torch, or there is none."""

import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from medimg_cli.errors import RunError
from medimg_cli.inference.onnx_network import OnnxNetwork
from medimg_cli.inference.predictor import Predictor, quick_predictor
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import HeadKind, Run
from medimg_cli.runs.run_folders import find_run
from medimg_cli.statistics.probabilities import AnswerKind
from medimg_cli.training.networks.torch_network import predictor_of
from medimg_cli.training.onnx.export import MOST_DIFFERENT, write_missing_copies
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import REPOSITORY, medimg
from tests.inference.small_runs import Notes, card_of, ensemble_of, images_for, run_of


def both(run: Run) -> tuple[Predictor, Predictor]:
    quick = quick_predictor(run)
    assert quick is not None
    return quick, predictor_of(run, device="cpu", quick=False)


def alike(run: Run, pixels: Pixels) -> None:
    quick, torch_one = both(run)
    for count in (1, len(pixels)):
        found, expected = quick.answer(pixels[:count]), torch_one.answer(pixels[:count])
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=MOST_DIFFERENT, rtol=0)
        np.testing.assert_allclose(found.features[0], expected.features[0], rtol=1e-2, atol=1e-3)
        assert found.features[0].shape == expected.features[0].shape


NETWORKS: list[tuple[str, int, HeadKind, tuple[str, ...]]] = [
    ("small-cnn", 32, "own", ()),
    ("squeezenet1_1", 32, "own", ()),
    ("resnet18", 32, "own", ("slow",)),
    ("mobilenet_v2", 32, "own", ("slow",)),
    ("vgg11", 32, "own", ("slow",)),
    ("vgg11", 32, "pooled", ("slow",)),
    ("densenet121", 32, "own", ("slow",)),
    ("vit_b_16", 32, "own", ("slow",)),
]


@pytest.mark.parametrize(
    ("arch", "size_px", "head"),
    [
        pytest.param(*case, marks=[getattr(pytest.mark, mark) for mark in marks], id=f"{case[0]}-{case[2]}")
        for *case, marks in NETWORKS
    ],
)
def test_the_copy_of_a_network_answers_like_torch(
    tmp_path: Path, arch: str, size_px: int, head: HeadKind, capfd: pytest.CaptureFixture[str]
) -> None:
    progress = Notes()
    card = card_of(arch, size_px=size_px, head=head)
    run = run_of(tmp_path / "run", card, progress)
    assert progress.said == []
    assert capfd.readouterr() == ("", "")
    alike(run, images_for(card))


@pytest.mark.parametrize(
    ("answers", "bits", "channels"), [("softmax", 8, 3), ("sigmoid", 16, 1), ("ordinal", 8, 1)]
)
def test_the_copy_answers_like_torch_for_every_kind_of_answer_and_pixel(
    tmp_path: Path, answers: AnswerKind, bits: int, channels: int
) -> None:
    card = card_of("small-cnn", answers=answers, bits=bits, channels=channels)
    pixels = images_for(card)
    assert pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    alike(run_of(tmp_path / "run", card), pixels)


def test_an_answer_does_not_hang_on_the_images_beside_it(tmp_path: Path) -> None:
    card = card_of("small-cnn")
    quick, _ = both(run_of(tmp_path / "run", card))
    pixels = images_for(card)
    together = quick.of_pixels(pixels)
    np.testing.assert_array_equal(together, np.concatenate([quick.of_pixels(one[None]) for one in pixels]))


@pytest.fixture
def without_older(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return which exporters were asked for, in a torch that has lost the older one."""
    asked: list[bool] = []
    export = torch.onnx.export

    def newer_alone(*given: Any, dynamo: bool = True, **options: Any) -> Any:
        asked.append(dynamo)
        if not dynamo:
            raise TypeError("export() got an unexpected keyword argument 'dynamo'")
        return export(*given, dynamo=True, **options)

    monkeypatch.setattr(torch.onnx, "export", newer_alone)
    return asked


@pytest.mark.slow
def test_a_torch_without_the_older_exporter_uses_the_newer_one(
    tmp_path: Path, without_older: list[bool], capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    card = card_of("small-cnn")
    run = run_of(tmp_path / "run", card)
    assert without_older == [False, True]
    assert b"site-packages" not in run.onnx_path.read_bytes()
    assert str(REPOSITORY).encode() not in run.onnx_path.read_bytes()
    assert capfd.readouterr() == ("", "")
    alike(run, images_for(card))


def test_a_network_that_cannot_be_copied_gets_one_note_and_answers_through_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **options: Any) -> None:
        raise RuntimeError(f"no such operator ({options['dynamo']})\nand more")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    progress = Notes()
    card = card_of("small-cnn")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.onnx").write_bytes(b"of an earlier training")
    run = run_of(tmp_path / "run", card, progress)
    assert progress.said == ["no ONNX copy of small-cnn: no such operator (True); predicting will need torch"]
    assert run.read_card().onnx_sha256 is None
    assert {path.name for path in run.folder.iterdir()} == {"model.json", "model.safetensors"}
    assert quick_predictor(run) is None
    assert predictor_of(run, device="cpu").of_pixels(images_for(card)).shape == (5, 3)


def test_a_copy_that_answers_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = OnnxNetwork.__call__

    def skewed(self: OnnxNetwork, pixels: Pixels, *, maps: bool = False) -> Any:
        seen = honest(self, pixels, maps=maps)
        logits: NDArray[np.float64] = seen.logits + np.array([0.01, 0, 0])
        return type(seen)(logits, seen.features)

    monkeypatch.setattr(OnnxNetwork, "__call__", skewed)
    progress = Notes()
    run = run_of(tmp_path / "run", card_of("small-cnn"), progress)
    assert "it differs by 0.00" in progress.said[0]
    assert not run.onnx_path.exists()


def test_training_leaves_a_copy_that_its_card_names(trained: Workspace) -> None:
    run = find_run(trained, "first")
    assert run.read_card().onnx_sha256 is not None
    assert run.onnx_path.is_file()


def copied(trained: Workspace, tmp_path: Path) -> Run:
    shutil.copytree(trained.root / "runs" / "first", tmp_path / "own")
    return Run(tmp_path / "own")


def test_a_changed_copy_is_refused_and_may_be_deleted(trained: Workspace, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    content = bytearray(run.onnx_path.read_bytes())
    content[-1] ^= 1
    run.onnx_path.write_bytes(bytes(content))
    with pytest.raises(RunError, match="is not the copy this run wrote") as refused:
        predictor_of(run, device="cpu")
    assert "delete it" in refused.value.hint
    run.onnx_path.unlink()
    image = next((trained.root / "raw" / "SPOT").iterdir())
    assert medimg(trained.root, "predict", str(image), "--run", str(run.folder)) == 0


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x07" * 40, b"unknown step"])
def test_a_copy_that_is_no_network_is_refused(
    trained: Workspace, tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    if content == b"unknown step":  # whose name, which stands in the error, is no text
        step = onnx.helper.make_node("Relu", ["x"], ["y"])
        given = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
        graph = onnx.helper.make_graph([step], "g", given[:1], given[1:])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        content = model.SerializeToString().replace(b"Relu", b"R\xbalu")
    path.write_bytes(content)
    card = find_run(trained, "first").read_card()
    with pytest.raises(RunError, match=r"cannot be used|is refused: "):
        OnnxNetwork(path, card.model_copy(update={"onnx_sha256": sha256(content).hexdigest()}))
    assert capfd.readouterr() == ("", "")


def test_a_copy_for_other_pixels_or_classes_than_the_card_says_is_refused(trained: Workspace) -> None:
    run = find_run(trained, "first")
    card = run.read_card()
    other_size = card.recipe.model_copy(update={"size_px": card.recipe.size_px * 2})
    for change in ({"recipe": other_size}, {"classes": ("A", "B", "C")}):
        with pytest.raises(RunError, match="does not fit the model card"):
            OnnxNetwork(run.onnx_path, card.model_copy(update=change))


def test_a_run_of_before_gets_the_copies_it_lacks(tmp_path: Path) -> None:
    run = ensemble_of(tmp_path / "run")
    pixels = images_for(run.read_card())
    expected = predictor_of(run, device="cpu").of_pixels(pixels)
    kept, old = (Run(run.folder / member.folder) for member in run.read_card().members)
    before = kept.onnx_path.stat().st_mtime_ns
    old.onnx_path.unlink()
    old.write_card(old.read_card().model_copy(update={"onnx_sha256": None}))
    assert quick_predictor(run) is None
    progress = Notes()
    write_missing_copies(run, pixels, progress)
    quick = quick_predictor(run)
    assert quick is not None
    np.testing.assert_array_equal(quick.of_pixels(pixels), expected)
    assert kept.onnx_path.stat().st_mtime_ns == before
    assert progress.said == [f"wrote {old.onnx_path}"]


def test_a_run_of_before_that_cannot_be_copied_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    run = run_of(tmp_path / "run", card_of("small-cnn"))
    with pytest.raises(RunError, match="none can be made: no ONNX copy of small-cnn: no such operator"):
        write_missing_copies(run, images_for(run.read_card()), SilentProgress())
