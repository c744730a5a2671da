"""What is implausible about the classes of a listing: each doubt as a question with the option that answers it."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import quote
from statistics import median

from medimg_cli.dataset.layouts.file_names import proposed
from medimg_cli.dataset.layouts.folders import IMAGE_FOLDERS, is_mask_folder
from medimg_cli.dataset.listing import NO_LABEL, Entry, Listing
from medimg_cli.dataset.official_splits import SPLIT_NAMES
from medimg_cli.errors import DataError
from medimg_cli.images.image import HEAD_BYTES, sniff_format
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.spreadsheets import TABLES, read_workbook

_CASE = re.compile(
    r"(?:.*[ _-])?(?:patients?|pat|pats|subjects?|subj|sub|cases?|persons?|participants?|volunteers?|donors?|stud(?:y|ies)"
    r"|exams?|examinations?|series|scans?|slides?|specimens?|samples?|mouse|animals?|visits?|pid|mrn|acc(?:ession)?|pt(?=\W?\d\d))"
    r"[ _.-]*\d+\w{0,3}(?:[ _-].*)?",
    re.IGNORECASE,
)
# A letter or a few and at least three digits (IMD003, P0012, LIDC-IDRI-0001); five digits or more; UIDs; hashes.
_IDENTIFIER = re.compile(
    r"(?:[A-Za-z]+[A-Za-z_-]*[ _-]?\d{3,}|\d{5,}|\d+(?:\.\d+){3,}|(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}"
    r"|[0-9a-f]{8}-[0-9a-f-]{10,}|[A-Z]{1,3}\d{4,}\w*|[A-Za-z]+\^[A-Za-z^]+)"
)
_MONTH = re.compile(r"0[1-9]|1[0-2]")
_YEAR = re.compile(r"(?:19|20)\d\d")
_DATE = re.compile(
    r"(?:19|20)\d\d[-_./]?(?:0?[1-9]|1[0-2])(?:[-_./]?(?:0?[1-9]|[12]\d|3[01]))?(?:[ T].*)?"
    r"|(?:0?[1-9]|[12]\d|3[01])[-_./](?:0?[1-9]|1[0-2]|[A-Za-z]{3})[-_./](?:(?:19|20)?\d\d)(?: .*)?"
    r"|(?:0?[1-9]|1[0-2])[-_./](?:0?[1-9]|[12]\d|3[01])[-_./](?:(?:19|20)?\d\d)(?: .*)?"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ _-]?(?:(?:19|20)?\d\d)?",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"(?:.*[ _-])?(?:sites?|hospitals?|cent(?:er|re)s?|clinics?|institut(?:e|ion)s?|universit\w+|scanners?|vendors?"
    r"|manufacturers?|devices?|machines?|cameras?|batch(?:es)?|folds?|parts?|sets?|datasets?|subsets?|cohorts?|folders?"
    r"|dirs?|vol|volumes?|disks?|cds?|dvds?|shards?|chunks?|archives?|uploads?|exports?|readers?|raters?|annotators?)"
    r"(?:[ _.-]*(?:\d{1,3}|[A-Za-z]|[ivx]{1,4}))?|ge|siemens|philips|canon|toshiba|hologic|fuji(?:film)?|zeiss|topcon"
    r"|(?:hospital|clinic|site|center|centre|university|scanner|praxis|klinik|klinikum|krankenhaus|spital|standort"
    r"|hôpital|hopital|clinique|centro|ospedale|clinica|clínica)[ _.-].*",
    re.IGNORECASE,
)
_WITHOUT_SIGNS = re.compile(r"[\s_]+|(?<!\d)[.,;:]|[.,;:](?!\d)|(?<=[^\W\d])-(?=[^\W\d])")
_TITLED = re.compile(r"(?:dr|prof|mr|mrs|ms|herr|frau|mme|pd)\b\.? ", re.IGNORECASE)
_VIEWS = frozenset(
    """
        ct cta mr mri us xr cr dx mg pet pt nm xa rf oct xray x-ray ultrasound mammography mammo dicom nifti
        t1 t2 t1w t2w t1c t1ce t1gd flair adc dwi swi pd bold dti t2flair stir axial coronal sagittal ap pa
        lat lateral frontal oblique cc mlo lcc rcc lmlo rmlo rgb gray grey grayscale thumbnails dermoscopic
        clinical he ihc
    """.split()
)
_DIAGNOSES = re.compile(
    r"(?:.*(?:oma|omas|itis|osis|oses|emia|aemia|pathy|pathies|plasia|trophy|ectasis|thorax|megaly|phils?|cytes?|blasts?)"
    r"|.*(?:normal|health|control|negativ|positiv|benign|malign|cancer|carcin|tumou?r|metasta|lesion|nodul|mass|cyst"
    r"|fractur|o?edema|effusion|opacit|consolid|infiltrat|pneumon|covid|corona|viral|virus|bacteri|tubercul|^tb$|fibro"
    r"|hernia|stroke|bleed|h[ae]+morr|infarct|isch|aneurysm|dementia|demented|alzheimer|retinop|glauco|cataract|drusen"
    r"|ulcer|polyp|wart|nev(?:us|i)|mole|kerato|eczema|psoria|acne|rash|herpes|rosacea|scabies|tinea|vitiligo|infect"
    r"|disease|disorder|syndrome|abnormal|patholog|finding|defect|damage|degener|stenosis|calcif|diabet|sick|well$"
    r"|dying|dead|alive|responder|relaps|stage|grade|severity|score|bi-?rads|pi-?rads|class|type|level|category|degree"
    r"|mild|moderate|severe|prolif|absent|present|invasive|adeno|squamous|gland|stroma|adipose|mucosa|muscle|vessel"
    r"|iasis|derma|algia|lichen|lupus|pemphig|pityria|urticaria|impetigo|melasma|erythem|purpura|candid|alopecia|scler"
    r"|varic|dysp|lymph|leuk|pox|fever|burn|bite|bulla|palsy|gout|goit|hydro|spond|arthr|crohn|hyper|hypo|inflam|necro|atroph|scar|parasit|malaria|granul|platelet).*"
    r"|no|non|none|yes|true|false|pos|neg|sick|well|ill|other|others|unknown|[01]|cnv|dme|amd|adhd|als|ms|copd|tb|akiec"
    r"|bcc|bkl|df|mel|nv|vasc|scc|ak|sk|idc|ilc|dcis|luad|lusc|aca|n|p|ad|mci|cn|nc|hc|pd)",
    re.IGNORECASE,
)


def is_case(name: str) -> bool:
    """Return whether a name counts patients, cases or examinations.

    >>> [is_case(name) for name in ("patient_012", "sub-07", "Case 3", "stage 3", "benign")]
    [True, True, True, False, False]
    """
    return _CASE.fullmatch(name) is not None


def is_identifier(name: str) -> bool:
    """Return whether a name is a number of many digits, a UID, a hash or a code.

    >>> [is_identifier(name) for name in ("IMD003", "77654033", "1.2.840.10008.1", "covid19", "grade 3", "Doe^Jane")]
    [True, True, True, False, False, True]
    """
    return _IDENTIFIER.fullmatch(name) is not None and not is_year(name)


def is_year(name: str) -> bool:
    """Return whether a name is a year of this century or the last."""
    return _YEAR.fullmatch(name) is not None


def is_date(name: str) -> bool:
    """Return whether a name is a date, a month or a year with a month.

    >>> [is_date(name) for name in ("2021-03-04", "20210304", "4.3.2021", "March 2021", "mild", "3.5")]
    [True, True, True, True, False, False]
    """
    return _DATE.fullmatch(name) is not None


def is_place(name: str) -> bool:
    """Return whether a name counts sites, devices, readers or parts of a data set.

    >>> [is_place(name) for name in ("site_A", "Hospital 2", "part1", "fold3", "Philips", "partial")]
    [True, True, True, True, True, False]
    """
    return _PLACE.fullmatch(name) is not None


def is_titled(name: str) -> bool:
    """Return whether a name is a person's, by a title before it.

    >>> [is_titled(name) for name in ("Dr. Weber", "Prof Ito", "Mrs. X", "Drusen", "mild")]
    [True, True, True, False, False]
    """
    return _TITLED.match(name) is not None


def is_view(name: str) -> bool:
    """Return whether a name is a modality, a sequence, a plane or a projection."""
    return name.lower() in _VIEWS


def is_diagnosis(name: str) -> bool:
    """Return whether a name holds a word for a finding, a tissue or their absence, as classes do.

    >>> [is_diagnosis(name) for name in ("NORMAL", "melanoma", "grade_2", "COVID-19", "pydicom-data", "wg04")]
    [True, True, True, True, False, False]
    """
    return _DIAGNOSES.fullmatch(name.strip()) is not None


_NO_IMAGES = (*TABLES, *".txt .md .json .xml .html .pdf .doc .docx .py .ipynb .yaml .yml .log".split())
_COPY = re.compile(r"(.+?)(?: \(\d+\)|[ _-]+(?:copy|kopie|copie|copia)(?: ?\(?\d+\)?)?)", re.IGNORECASE)
"""How file managers call a second folder."""
_SNIFFED = 40
_MOSTLY = 0.7
_MANY, _NUMBERED, _FEW_IMAGES = 40, 20, 10
"""So many folders of so few images are cases, whatever they are called; fewer where they are numbered."""


@dataclass(frozen=True)
class Question:
    """A doubt about what an ingest would do.

    Args:
        question: one sentence.
        option: what to type; `--yes` always says that it is meant so.
    """

    question: str
    option: str


def open_questions(listing: Listing, layout: str) -> list[Question]:
    """Return what a careful reader would ask about the classes of a listing; nothing for an ordinary data set.

    Args:
        layout: the layouts that it was read by, joined by "+".
    """
    images = [e for e in listing.entries if not e.relative.lower().endswith(_NO_IMAGES)]
    counts = Counter(entry.label for entry in images)
    if not counts:
        return []
    spelling = list(_of_spelling(counts))
    if listing.columns:
        return [*spelling, *_of_column(listing, counts)]
    if layout == "names" and (kind := _kind_of(list(counts))) is not None:
        return [Question(f"{_named(list(counts))} look like {kind}, not classes", "--label-regex RE")]
    if "folders" not in layout:
        return spelling if layout == "names" else []
    return [*spelling, *_of_folders(listing, counts)]


def _of_spelling(counts: Mapping[str, int]) -> Iterator[Question]:
    """Ask about classes that differ in spaces and the like, and a rare one that is a frequent one but for one letter."""
    spelt: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda name: -counts[name]):
        spelt.setdefault(_WITHOUT_SIGNS.sub("", name.casefold()), []).append(name)
    for first, *others in spelt.values():
        for name in (name for name in others if name.casefold() != first.casefold()):
            question = f"'{name}' ({plural(counts[name], 'image')}) may be '{first}' ({counts[first]:,})"
            yield Question(question, f"--map {quote(f'{name}={first}')}")
    for rare, few in counts.items():
        near = [name for name, many in counts.items() if many >= 5 * few and is_misspelt(rare, name)]
        for name in near[:1]:
            question = f"'{rare}' ({plural(few, 'image')}) may be '{name}' ({counts[name]:,}), misspelt"
            yield Question(question, f"--map {quote(f'{rare}={name}')}")


def is_misspelt(text: str, right: str) -> bool:
    """Return whether a name is another but for one letter in a word of five and more: left out, added, wrong, exchanged.

    What tells grades and kinds apart is none: digits, a last letter, a beginning such as "a" or "un", and another
    letter among the first three, unless only the other name is that of a known finding.

    >>> [is_misspelt(*pair) for pair in (("NROMAL", "NORMAL"), ("Pneumona", "Pneumonia"), ("melanomas", "melanoma"))]
    [True, True, True]
    >>> [is_misspelt(*pair) for pair in (("grade 2", "grade 1"), ("atypical", "typical"), ("type_a", "type_b"))]
    [False, False, False]
    >>> [is_misspelt(*pair) for pair in (("microadenoma", "macroadenoma"), ("Nirmal", "Normal"))]
    [False, True]
    """
    first, second = text.casefold(), right.casefold()
    if first == second + "s" or second == first + "s":
        return len(second) >= 5
    if min(len(first), len(second)) < 5 or first.endswith(second) or second.endswith(first):
        return False
    start = next((k for k, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    if start is None:  # one is the other's beginning
        return False
    rests = first[start:], second[start:]
    words = (re.search(r"[^\W\d_]*$", first[:start]), re.match(r"[^\W\d_]*", rests[1]))
    length = sum(len(found[0]) for found in words if found is not None)
    early = words[0] is not None and len(words[0][0]) < 3 and rests[0][1:] == rests[1][1:]
    if early and (is_diagnosis(text) or not is_diagnosis(right)):
        return False  # two terms: "micro" and "macro", "hepatoma" and "hematoma", "mesial" and "medial"
    changed = rests[0][0] + rests[1][0]
    if length < 5 or not changed.isalpha() or set(changed) <= set("ivx"):
        return False
    same = {rests[0][1:] == rests[1], rests[0] == rests[1][1:]}
    same.add(len(rests[1]) > 1 and rests[0][1:] == rests[1][1:])
    same.add(rests[0][:2] == rests[1][:2][::-1] and rests[0][2:] == rests[1][2:])
    return True in same


def tables_in(listing: Listing) -> list[str]:
    """Return the tables among the files that were listed, the one highest up first."""
    paths = [*(entry.path for entry in listing.entries), *(row.path for row in listing.rejected)]
    found = [path for path in paths if path.lower().endswith(TABLES) and "#" not in path]
    return sorted(found, key=lambda path: (path.count("/"), path))


def _of_folders(listing: Listing, counts: Counter[str]) -> Iterator[Question]:
    names = [name for name in listing.classes if name in counts]
    table = next(iter(tables_in(listing)), None)
    by_table = f"--labels {quote(table) if table else 'FILE'}"
    folders = _named(names)
    kind = "months" if len(names) > 2 and all(map(_MONTH.fullmatch, names)) else _kind_of(names)
    if kind is not None:
        inside = _classes_below(listing.entries, each=False)
        option = "--layout inner-folders" if inside else _findings_in_names(listing)[1] or by_table
        yield Question(f"{folders} look like {kind}, not classes", option)
        return
    below = _classes_below(listing.entries)
    inner = "--layout inner-folders" if below else None
    for name in names:
        if (copy := _COPY.fullmatch(name)) and copy[1] in names:
            yield Question(
                f"'{name}' is called as a copy of '{copy[1]}'", f"--map {quote(f'{name}={copy[1]}')}"
            )
    yield from _of_holders(listing, names, by_table)
    known = sum(map(is_diagnosis, names)) > len(names) / 10
    words, pattern = ({}, "") if known and not _are_numbered(names) else _findings_in_names(listing)
    if {*map(str.lower, words)} != {*map(str.lower, names)} and pattern:
        yield Question(f"the names hold {_named([*words])}: are these the classes, not {folders}?", pattern)
        return
    splits = [name for name in names if name.lower() in SPLIT_NAMES]
    few = median(counts.values()) <= _FEW_IMAGES
    if splits and not known:
        yield _of_split(listing.entries, splits, inner or by_table)
    elif inner is not None and not known:
        yield Question(f"{_named(below)} lie in each of {folders}: the class may be the inner folder", inner)
    elif not known and few and len(names) >= (_NUMBERED if _are_numbered(names) else _MANY):
        question = f"{len(names):,} folders of about {median(counts.values()):g} images look like cases"
        yield Question(f"{question}, not classes", by_table)
    elif not known and (share := _share_of_dicom(listing.entries)) > 0.5:
        question = f"{share:.0%} of the files are DICOM, and {folders} name no finding: where are the labels?"
        yield Question(question, by_table)
    elif not known and table is not None:
        yield from _of_unused_table(listing, table)


def _of_split(entries: Sequence[Entry], splits: Sequence[str], option: str) -> Question:
    """Return what to ask about class folders called as splits, where no other split stands beside them."""
    inside = (
        e.relative.partition(f"{splits[0]}/")[2].split("/")[:-1] for e in entries if e.label == splits[0]
    )
    classes = sorted({folders[0] for folders in inside if folders})
    if len(classes) > 1:
        question = f"{_named(splits)} is called as a split: are {_named(classes)} in it the classes?"
        return Question(question, f"SOURCE/{splits[0]} in place of SOURCE")
    return Question(f"{_named(splits)} is called as a split, and no class folder lies in it", option)


def _findings_in_names(listing: Listing) -> tuple[dict[str, int], str]:
    """Return words for findings that part the files by their paths, and the option that takes them for labels."""
    words, option = proposed([entry.relative for entry in listing.entries])
    return (words, option) if any(map(is_diagnosis, words)) else ({}, "")


def _of_holders(listing: Listing, names: Sequence[str], by_table: str) -> Iterator[Question]:
    """Ask about classes called as folders of masks or of all images, and about files outside the class folders."""
    masks = [name for name in names if is_mask_folder(name)]
    holders = [name for name in names if name.lower() in IMAGE_FOLDERS]
    if masks and (holders or _same_stems(listing.entries, masks)):
        yield Question(f"{_named(masks)} looks like a folder of segmentation masks, no class", by_table)
    elif holders:
        yield Question(f"{_named(holders)} is called as folders that hold all images, no class", by_table)
    places = ("stands outside the class folders", "stands in no class folder")
    images = [row for row in listing.rejected if not row.path.lower().endswith(_NO_IMAGES)]
    outside = sum(row.reason in places for row in images)
    if outside > len(listing.entries):
        inside = f"{len(listing.entries):,} inside {_named(names)}"
        yield Question(f"{outside:,} files stand outside the class folders, {inside}", by_table)


_KINDS: Mapping[str, Callable[[str], bool]] = {
    "cases or patients": is_case,
    "identifiers": is_identifier,
    "years": is_year,
    "dates": is_date,
    "sites, devices or parts of the data set": is_place,
    "people": is_titled,
    "modalities or views": is_view,
}


def _kind_of(names: Collection[str]) -> str | None:
    """Return what most of some names are called as, None where they may be classes."""
    kinds = (kind for kind, fits in _KINDS.items() if sum(map(fits, names)) >= _MOSTLY * len(names) > 0)
    return next(kinds, None)


def _of_unused_table(listing: Listing, table: str) -> Iterator[Question]:
    """Ask about a table that names most of the images, as it may hold the labels."""
    stems = [PurePosixPath(entry.relative).stem for entry in listing.entries]
    sample = [stem for stem in stems[:: max(1, len(stems) // 50)] if not stem.isdigit()]
    text = _text_of(Path(table)) if sample else ""
    if text and sum(stem in text for stem in sample) >= _MOSTLY * len(sample):
        question = f"{Path(table).name} names the images: does it hold the labels?"
        yield Question(question, f"--labels {quote(table)}")


def _text_of(table: Path) -> str:
    """Return what stands in a table, a cell a line of a workbook, "" where it cannot be read."""
    if table.suffix.lower() in (".csv", ".tsv"):
        return table.read_text(encoding="utf-8", errors="replace")
    try:
        sheets = read_workbook(table, None)[1].values()
    except DataError:  # named where somebody takes it for the labels
        return ""
    return "\n".join(cell for rows in sheets for _, cells in rows for cell in cells)


def _of_column(listing: Listing, counts: Counter[str]) -> Iterator[Question]:
    names, columns = list(counts), [column.name for column in listing.columns if column.taken_for == "label"]
    column_text = f"{', '.join(columns)} ({_named(names)})"
    rows = len(listing.entries)
    empty = sum(row.reason.startswith(NO_LABEL) for row in listing.rejected)
    others = [c.name for c in listing.columns if c.taken_for == "carried along" and 2 <= c.distinct <= 20]
    option = f"--label-col {others[0] if others else 'NAME'}"
    if empty > rows:
        question = f"the label column {column_text} says nothing in {empty:,} of {empty + rows:,} rows; where one label holds for"
        yield Question(f"{question} rows below it too, fill it in there", option)
    patients = [entry.patient_id for entry in listing.entries if entry.patient_id is not None]
    if len(set(patients)) == len(patients) and 0 < 2 * len(patients) < rows:
        column = next((c.name for c in listing.columns if c.taken_for == "patient"), "")
        question = f"the patient column {column} names nobody in {rows - len(patients):,} of {rows:,} rows, nobody twice; where"
        yield Question(f"{question} one holds for rows below it too, fill it in there", "--patient-col NAME")
    if len(columns) > 1 or len(names) < 2:
        return
    kind = _kind_of(names)
    if kind not in (None, "modalities or views") and (kind != "identifiers" or len(names) >= 5):
        yield Question(f"the label column {column_text} holds {kind}", option)
    elif all(name.lower() in SPLIT_NAMES for name in names):
        yield Question(f"the label column {column_text} holds splits", f"--use-split-col {columns[0]}")
    elif len(names) >= 20 and all(re.fullmatch(r"-?\d+(?:[.,]\d+)?", name) for name in names):
        yield Question(
            f"the label column {column_text} holds measurements: {len(names)} different numbers", option
        )
    elif len(names) >= 8 and 2 * len(names) >= counts.total():
        question = f"the label column {column_text} says something else of nearly each image, as names do"
        yield Question(question, option)


def _are_numbered(names: Sequence[str]) -> bool:
    """Return whether names differ by their numbers alone, but for a few."""
    return len({re.sub(r"\d+", "#", name) for name in names}) <= len(names) / 5


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return f"{shown} and {len(names) - 3:,} more" if len(names) > 3 else shown


def _classes_below(entries: Sequence[Entry], *, each: bool = True) -> list[str]:
    """Return the names of the folders below the class folders, where they may be classes: the same two or more in each.

    Args:
        each: False, where the upper folders are none for sure: a few names, each in several of them, will do.
    """
    below: defaultdict[str, set[str]] = defaultdict(set)
    for entry in entries:
        parts = entry.relative.split("/")[:-1]
        place = parts.index(entry.label) if entry.label in parts else len(parts)
        below[entry.label].add(parts[place + 1] if place + 1 < len(parts) else "")
    if len(below) < 2:
        return []
    shared = set.intersection(*below.values())
    everything = set.union(*below.values())
    usual = any(is_mask_folder(n) or is_view(n) or n.lower() in IMAGE_FOLDERS | {""} for n in everything)
    count = Counter(name for names in below.values() for name in names)
    same = shared == everything if each else 2 * len(everything) <= len(below) or shared == everything
    is_so = len(everything) > 1 and same and min(count.values()) > 1 and not usual
    counted = _are_counted(everything) or _kind_of(everything) is not None
    return (
        sorted(everything)
        if is_so and not counted and not all(n.lower() in SPLIT_NAMES for n in everything)
        else []
    )


def _are_counted(names: Collection[str]) -> bool:
    """Return whether names are one word with numbers, as of series or visits, and no finding's: S0, S1."""
    words = {re.sub(r"\d+", "", name) for name in names}
    return len(words) == 1 and words != {""} and not any(map(is_diagnosis, names))


def _same_stems(entries: Sequence[Entry], masks: Sequence[str]) -> bool:
    """Return whether most files of folders called like masks have the name of a file in another folder."""
    stem = re.compile(r"[ _-]?(?:mask|seg|segmentation|gt|label)\d*$", re.IGNORECASE)
    inside: set[str] = set()
    outside: set[str] = set()
    for entry in entries:
        name = stem.sub("", PurePosixPath(entry.relative).stem)
        (inside if entry.label in masks else outside).add(name)
    return len(inside & outside) > len(inside) / 2


def _share_of_dicom(entries: Sequence[Entry]) -> float:
    """Return the share of DICOM files in a sample of files on disk."""
    sample = entries[:: max(1, len(entries) // _SNIFFED)]
    found = 0
    for entry in sample:
        path = Path(entry.path)
        if "#" in entry.path and not path.is_file():
            found += entry.path.lower().endswith((".dcm", ".dicom"))
        elif path.is_file():
            with path.open("rb") as stream:
                found += sniff_format(stream.read(HEAD_BYTES)) == "dicom"
    return found / len(sample)
