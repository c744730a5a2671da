"""bundle: a run → one zip with which another machine answers as this one does."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from medimg_cli import __version__
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.load import open_classifier
from medimg_cli.inference.predictor import members_of
from medimg_cli.inference.similar_cases import FILE as SIMILAR
from medimg_cli.inference.similar_cases import MOST, SimilarCases, gathered
from medimg_cli.preprocessing.recipe import noise
from medimg_cli.privacy.pixels.text_policy import covered
from medimg_cli.reporting.study_facts import NOT_REPORTED, QUESTIONS
from medimg_cli.runs.bundle import ABOUT, MODEL_CARD, NOTICE, About, write_bundle
from medimg_cli.runs.explanation import read_explanation
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.runs.tested import tested_of, withheld_sets
from medimg_cli.workspace.files import atomic_path, sha256_of_file
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.progress import Progress, SilentProgress, tracked
from medimg_cli.workspace.workspace import Workspace

FACTS = "intended_use intended_users care_setting out_of_scope limitations licence citation contact".split()
"""What travels of `report.yaml`: what whoever uses a model has to know of it."""
_HELD_AGAINST = 2
_NOTICE_HEAD = """\
Decision support for research. Not a medical device, and not for diagnosis.

This bundle was written by medimg {version}. `medimg predict IMAGE --run FILE.zip` and `medimg serve FILE.zip` answer from
it. It holds {images} and no name of a patient.{reference}
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
        similar_cases: training images that travel.
        not_reported: facts that nobody gave.
    """

    out: Path
    sha256: str
    size_bytes: int
    files: tuple[str, ...]
    model_card: bool
    no_heat_maps: str
    restriction: str
    similar_cases: int
    not_reported: tuple[str, ...]


def check_out(out: Path) -> None:
    """Refuse another suffix than .zip, and a folder, with a `UsageError`."""
    if out.suffix.lower() != ".zip":
        raise UsageError(f"--out {out} is not a .zip file", "name a file .zip")
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder", "name a file .zip that does not exist yet")


def bundle(
    run: Run,
    out: Path,
    *,
    facts: Mapping[str, str] | None = None,
    model_card: str | None = None,
    shown: Workspace | None = None,
    progress: Progress = SilentProgress(),
) -> BundleResult:
    """Write the bundle of a run; it is opened and has to answer like the run before it takes its place.

    Args:
        run: its networks have ONNX copies.
        facts: about the model that only people know; those of `FACTS` travel.
        model_card: Markdown, None where there is none.
        shown: the study whose training images travel, to be shown beside answers; None: none does.

    Raises:
        UsageError: `out` is no .zip.
        RunError: the run cannot be used, or has no copies.
        DataError: training images are to travel, and none can be read.
    """
    check_out(out)
    classifier = open_classifier(run.folder)
    if classifier is None:
        raise RunError(f"run '{run.name}' has no ONNX copy", "`medimg bundle` writes it")
    files = _model_files(run, classifier.card)
    content = {name: facts[name] for name in FACTS if facts and facts.get(name)}
    cases = None if shown is None else _similar_cases(shown, classifier, progress)
    files[ABOUT] = _about(run, classifier.card, content)
    files[NOTICE] = _notice(content, classifier, 0 if cases is None else len(cases.labels))
    if cases is not None:
        files[SIMILAR] = cases.to_bytes()
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
        similar_cases=0 if cases is None else len(cases.labels),
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


def _similar_cases(workspace: Workspace, classifier: Classifier, progress: Progress) -> SimilarCases:
    """Return training images as the network sees them: at most `MOST`, of every class alike where there are as many."""
    rows = read_dataset(workspace).of_split("train")
    turn = rows.groupby("label").cumcount()
    pairs = rows.assign(turn=turn).sort_values(["turn", "label"], kind="stable")[["path", "label"]]
    options = classifier.card.recipe.read_options

    def readable() -> Iterator[tuple[DecodedImage, str]]:
        for path, label in tracked(pairs[:MOST].itertuples(index=False), progress, "reading training images"):
            with suppress(UnreadableImage):
                yield read_image(workspace.absolute(path), options), str(label)

    images = readable()  # one in memory at a time
    first = next(images, None)
    if first is None:
        raise DataError("no training image can be read", "leave out --similar-cases")
    return gathered(classifier, ((image, covered(image), label) for image, label in chain([first], images)))


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


def _notice(facts: Mapping[str, str], classifier: Classifier, similar: int) -> bytes:
    reference = _REFERENCE if classifier.references is not None else ""
    images = f"small pictures of {plural(similar, 'training image')}" if similar else "no image"
    head = _NOTICE_HEAD.format(version=__version__, reference=reference, images=images)
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
