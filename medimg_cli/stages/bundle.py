"""bundle: a run → one zip with which another machine answers as this one does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medimg_cli import __version__
from medimg_cli.errors import RunError, UsageError
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.load import open_classifier
from medimg_cli.inference.predictor import members_of
from medimg_cli.preprocessing.probe_images import noise
from medimg_cli.reporting.study_facts import NOT_REPORTED, QUESTIONS
from medimg_cli.runs.bundle import ABOUT, MODEL_CARD, NOTICE, About, write_bundle
from medimg_cli.runs.explanation import read_explanation
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.runs.tested import tested_of, withheld_sets
from medimg_cli.workspace.files import atomic_path, sha256_of_file

FACTS = "intended_use intended_users care_setting out_of_scope limitations licence citation contact".split()
"""What travels of `report.yaml`: what whoever uses a model has to know of it."""
_HELD_AGAINST = 2
_NOTICE_HEAD = """\
Decision support for research. Not a medical device, and not for diagnosis.

This bundle was written by medimg {version}. `medimg predict IMAGE --run FILE.zip` and `medimg serve FILE.zip` answer from
it. It holds no image and no name of a patient.{reference}
"""
_REFERENCE = """ Of the training images it holds what the network made of some
of them, and their mean and principal components: by these it tells images that are unlike them."""


@dataclass(frozen=True)
class BundleResult:
    """What was written.

    Args:
        files: names of what is in it.
        model_card: whether it has one, for which the run has to be evaluated.
        no_heat_maps: why another machine will show none, "" where it will.
        restriction: what the licence of the weights that training began with forbids, "" where nothing.
        not_reported: facts that nobody gave.
    """

    out: Path
    sha256: str
    size_bytes: int
    files: tuple[str, ...]
    model_card: bool
    no_heat_maps: str
    restriction: str
    not_reported: tuple[str, ...]


def check_out(out: Path) -> None:
    """Refuse another suffix than .zip, and a folder, with a `UsageError`."""
    if out.suffix.lower() != ".zip":
        raise UsageError(f"--out {out} is not a .zip file", "name a file .zip")
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder", "name a file .zip that does not exist yet")


def bundle(
    run: Run, out: Path, *, facts: Mapping[str, str] | None = None, model_card: str | None = None
) -> BundleResult:
    """Write the bundle of a run; it is opened and has to answer like the run before it takes its place.

    Args:
        run: its networks have ONNX copies.
        facts: about the model that only people know; those of `FACTS` travel.
        model_card: Markdown, None where there is none.

    Raises:
        UsageError: `out` is no .zip.
        RunError: the run cannot be used, or has no copies.
    """
    check_out(out)
    classifier = open_classifier(run.folder)
    if classifier is None:
        raise RunError(f"run '{run.name}' has no ONNX copy", "`medimg bundle` writes it")
    files = _model_files(run, classifier.card)
    content = {name: facts[name] for name in FACTS if facts and facts.get(name)}
    files |= {ABOUT: _about(run, classifier.card, content), NOTICE: _notice(content, classifier)}
    if model_card is not None:
        files[MODEL_CARD] = model_card.encode()
    with atomic_path(out) as temporary:
        write_bundle(temporary, files)
        _hold_against(temporary, classifier)
        digest, size = sha256_of_file(temporary), temporary.stat().st_size
    began = classifier.card.began_with
    return BundleResult(
        out=out,
        sha256=digest,
        size_bytes=size,
        files=tuple(sorted(files)),
        model_card=model_card is not None,
        no_heat_maps=_no_heat_maps(run, classifier),
        restriction=began.restriction if began else "",
        not_reported=tuple(name for name in FACTS if name not in content),
    )


def _model_files(run: Run, card: ModelCard) -> dict[str, Path | bytes]:
    """Return name → file of the model and of each network it is made of."""
    found: dict[str, Path | bytes] = {}
    for own, _ in [(run, card), *members_of(run, card)]:
        prefix = "" if own.folder == run.folder else f"{own.folder.relative_to(run.folder).as_posix()}/"
        found[prefix + "model.json"] = own.card_path
        for path in (own.onnx_path, own.reference_path, own.explanation_path):
            if path.is_file():
                found[prefix + path.name] = path
    return found


def _about(run: Run, card: ModelCard, facts: Mapping[str, str]) -> bytes:
    versions = run.read_record().versions if run.record_path.is_file() else {}
    about = About(
        medimg=__version__,
        run=run.name,
        weights_sha256=card.weights_sha256,
        said=dict(facts),
        versions=versions,
        tested=tested_of(run, card),
        withheld_sets=withheld_sets(run, card),
    )
    return (json.dumps(about.model_dump(), indent=2, ensure_ascii=False) + "\n").encode()


def _notice(facts: Mapping[str, str], classifier: Classifier) -> bytes:
    reference = _REFERENCE if classifier.references is not None else ""
    head = _NOTICE_HEAD.format(version=__version__, reference=reference)
    if (began := classifier.card.began_with) is not None:
        head += f"\nWeights that training began with\n  {began.in_words}\n"
        head += f"  {began.restriction}\n" if began.restriction else ""
    lines = [f"\n{QUESTIONS[name].title}\n  {facts.get(name, NOT_REPORTED)}\n" for name in FACTS]
    return (head + "".join(lines)).encode()


def _no_heat_maps(run: Run, classifier: Classifier) -> str:
    if classifier.predictor.answer(noise(classifier.card.recipe, 1), maps=True).maps is None:
        return "the network has none that torch is not needed for"
    explanation = read_explanation(run, classifier.card)
    if explanation is None:
        return "nobody has looked at them yet: `medimg predict IMAGE --explain DIR` does"
    return explanation.withheld


def _hold_against(path: Path, classifier: Classifier) -> None:
    """Refuse a bundle that does not answer, bit by bit, as the run it was made of."""
    opened = open_classifier(path)
    pixels = noise(classifier.card.recipe, _HELD_AGAINST)
    expected = classifier.predictor.of_pixels(pixels)
    if opened is None or not np.array_equal(opened.predictor.of_pixels(pixels), expected):
        raise RunError("the bundle does not answer like the run it was made of", "run the command again")
