"""What the records of data, model and training say on the items of guidelines; "" where they say nothing."""

import re

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.evaluation.subgroup_levels import looked_for
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.tables.number_format import grouped, split_title
from medimg_cli.reporting.tables.tables import source_names
from medimg_cli.workspace.plain_text import plural

_METHOD = re.compile(
    r"\b(ai|cnn|artificial intelligence|machine[- ]learning|deep[- ]learning|neural|network|networks)\b",
    re.IGNORECASE,
)
_SHOWN_SPLITS = ("train", "val", "test")
_IDENTITY_CHECKS = (
    "dicom-headers",
    "raster-metadata",
    "identities-by-value",
    "burned-in-text",
    "raw-identifiers",
)
_DEVICE_COLUMNS = (
    "manufacturer",
    "model",
    "modality",
    "scanner",
    "device",
    "view",
    "projection",
    "kvp",
    "sequence",
)
_OF_PERSONS = ("sex", "age", "ethnicity", "skin type")
_LIBRARIES = ("medimg", "python", "torch", "torchvision")


def title_names_method(content: ReportContent) -> str:
    """Look for the kind of technology in the title: a reader must see it there."""
    return "the title names the technology" if _METHOD.search(content.title) else ""


def title_names_outcome(content: ReportContent) -> str:
    """Look for a class in the title, which says what is predicted."""
    title = content.title.lower()
    named = [name for name in content.evaluation.classes if name.lower() in title]
    return f"the title names {', '.join(named)}" if named else ""


def sources(content: ReportContent) -> str:
    if content.dataset is None:
        return ""
    info = content.dataset.info
    return f"{', '.join(source_names(info.sources))}, content hash {info.content_hash[:12]}"


def excluded(content: ReportContent) -> str:
    """Return how many files fell out on the way, each of which has its row and reason."""
    if content.dataset is None:
        return ""
    left_out = len(content.dataset.rows) - len(content.dataset.usable)
    return (
        f"{plural(content.dataset.info.quarantined, 'file')} that could not be used and "
        f"{plural(left_out, 'excluded image')} are listed with reasons"
    )


def missing_data(content: ReportContent) -> str:
    unjudged = sum(content.evaluation.unknown_labels.values())
    labels = f", {plural(unjudged, 'label')} nobody judged left out of the figures" if unjudged else ""
    found = excluded(content)
    return found and f"{found}; nothing was imputed{labels}"


def preprocessing(content: ReportContent) -> str:
    return f"pixels {content.card.recipe.in_words()}; standardised with figures of the training split"


def deidentification(content: ReportContent) -> str:
    """Return what was done or looked for; neither says which standard the data meet."""
    found = []
    if content.dataset is not None and content.dataset.info.settings.get("deidentify"):
        found.append("copies were de-identified at ingest")
    ran = (
        []
        if content.audit is None
        else [name for name in _IDENTITY_CHECKS if name in content.audit.checks_run]
    )
    if ran:
        found.append(f"identities were looked for ({', '.join(ran)})")
    return "; ".join(found)


def acquisition(content: ReportContent) -> str:
    """Return what files tell of their acquisition: their sizes at least, and what columns name devices."""
    if content.dataset is None or content.dataset.usable.empty:
        return ""
    usable = content.dataset.usable
    sizes = usable[["width", "height"]]
    low, high = sizes.min(), sizes.max()
    depth = "/".join(str(bits) for bits in sorted(usable["bit_depth"].unique()))
    columns = [name for name in usable.columns if name.lower() in _DEVICE_COLUMNS]
    beside = f", columns {', '.join(columns)}" if columns else ""
    return f"images of {low['width']} × {low['height']} to {high['width']} × {high['height']} px, {depth} bits{beside}"


def code_book(content: ReportContent) -> str:
    book = content.dataset.info.code_book if content.dataset is not None else {}
    return f"the code book defines {', '.join(book)}" if book else ""


def agreement(content: ReportContent) -> str:
    ran = content.audit is not None and "annotator-agreement" in content.audit.checks_run
    return "agreement of readers was measured by the label audit" if ran else ""


def partition(content: ReportContent) -> str:
    if content.dataset is None:
        return ""
    return f"{content.dataset.info.split_origin}; images: {_images_by_split(content.dataset)}"


def _images_by_split(dataset: Dataset) -> str:
    return ", ".join(f"{split_title(name)} {grouped(len(dataset.of_split(name)))}" for name in _SHOWN_SPLITS)


def disjointness(content: ReportContent) -> str:
    leakage = content.evaluation.leakage
    if not leakage.patients_known:
        return f"by image, as patients are not known; {plural(leakage.shared_files, 'identical file')} shared"
    sure = "" if leakage.patients_certain else " (names from files, not certain)"
    return (
        f"by patient{sure}: {plural(leakage.shared_patients, 'patient')} and "
        f"{plural(leakage.shared_files, 'identical file')} in two splits"
    )


def flow(content: ReportContent) -> str:
    if content.dataset is None:
        return ""
    return f"{excluded(content)}; images: {_images_by_split(content.dataset)}"


def patients(content: ReportContent) -> str:
    """Return which columns describe the patients."""
    if content.dataset is None:
        return ""
    columns = [name for name in content.dataset.rows.columns if looked_for(name) in _OF_PERSONS]
    return f"columns {', '.join(columns)}" if columns else ""


def clusters(content: ReportContent) -> str:
    """Return by which centres results are broken down."""
    if content.evaluation.subgroups is None:
        return ""
    columns = [
        grouping.column
        for grouping in content.evaluation.subgroups.groupings
        if looked_for(grouping.column) == "site" or grouping.column.lower() == "country"
    ]
    return f"results by {', '.join(columns)}" if columns else ""


def counts_by_split(content: ReportContent) -> str:
    if content.dataset is None:
        return ""
    found = []
    for name in _SHOWN_SPLITS:
        rows = content.dataset.of_split(name)
        classes = ", ".join(
            f"{grouped(count)} {label}" for label, count in content.dataset.counts(rows).items()
        )
        found.append(f"{split_title(name)} {classes or 'none'}")
    return "; ".join(found)


def architecture(content: ReportContent) -> str:
    return f"{content.card.arch}, {grouped(content.record.parameters)} parameters"


def software(content: ReportContent) -> str:
    versions = content.record.versions
    return ", ".join(f"{name} {versions[name]}" for name in _LIBRARIES if name in versions)


def initialisation(content: ReportContent) -> str:
    weights = content.settings.get("weights")
    if weights is None:
        return ""
    return f"{'random' if weights == 'none' else f'weights {weights!s}'}, seed {content.record.seed}"


def training(content: ReportContent) -> str:
    if not content.settings:
        return ""
    return f"{plural(content.record.epochs_run, 'epoch')}, {plural(len(content.settings), 'setting')} listed"


def selection(content: ReportContent) -> str:
    monitor, best = content.settings.get("monitor"), content.record.best_epoch
    return f"epoch {best}, the best by {monitor} on validation" if monitor and best is not None else ""


def ensemble(content: ReportContent) -> str:
    members = len(content.card.members)
    return f"mean of the calibrated probabilities of {members} networks" if members else ""


def imbalance(content: ReportContent) -> str:
    """Return what training did about classes of unequal size."""
    weights, sampler = content.settings.get("class_weights"), content.settings.get("sampler")
    if weights is None or sampler is None:
        return ""
    return f"class weights in the loss: {weights}; sampler: {sampler}; temperature {content.card.temperature:.3g}"


def development(content: ReportContent) -> str:
    found = training(content)
    print_of = content.card.fingerprint
    return found and (
        f"trained on {plural(print_of.train_images, 'image')}, tuned on {grouped(print_of.val_images)}, "
        f"tested on {grouped(content.evaluation.n)}; {found}"
    )


def pixels_alone(_content: ReportContent) -> str:
    """Say what every network of medimg is given."""
    return "the network is given the pixels of one image, and nothing else of the patient"


def unreadable(_content: ReportContent) -> str:
    """Say what medimg does with a file it cannot read: see `readers`."""
    return "a file that cannot be read is answered with its reason, never with a class"


def hashes(content: ReportContent) -> str:
    evaluation = content.evaluation
    return f"SHA-256 of data {evaluation.dataset_hash[:12]}, weights {evaluation.weights_sha256[:12]}"


def updated(content: ReportContent) -> str:
    """Say whether the weights are others than those that were evaluated."""
    same = content.card.weights_sha256 == content.evaluation.weights_sha256
    return (
        ""
        if same
        else "the weights were changed after this evaluation, and these figures are of the earlier ones"
    )


def stored_outputs(content: ReportContent) -> str:
    return f"every answer is stored, SHA-256 {content.evaluation.predictions_sha256[:12]}, and can be measured again"
