"""What a name of a class is called like: a case, an identifier, a date, a site, a modality, or a diagnosis."""

import re

_CASE = re.compile(
    r"(?:.*[ _-])?(?:patients?|pat|pats|subjects?|subj|sub|cases?|persons?|participants?|volunteers?|donors?|stud(?:y|ies)"
    r"|exams?|examinations?|series|scans?|slides?|specimens?|samples?|mouse|animals?|visits?|pid|mrn|acc(?:ession)?|pt(?=\W?\d\d))"
    r"[ _.-]*\d+\w{0,3}(?:[ _-].*)?",
    re.IGNORECASE,
)
# A letter or a few and at least three digits (IMD003, P0012, LIDC-IDRI-0001); five digits or more; UIDs; hashes.
_IDENTIFIER = re.compile(
    r"(?:[A-Za-z]+[A-Za-z_-]*[ _-]?\d{3,}|\d{5,}|\d+(?:\.\d+){3,}|(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}"
    r"|[0-9a-f]{8}-[0-9a-f-]{10,}|[A-Z]{1,3}\d{4,}\w*|[A-Za-z]+\^[A-Za-z^]+)",
)
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
    r"|(?:hospital|clinic|site|center|centre|university|scanner)[ _.-].*",
    re.IGNORECASE,
)
_VIEWS = frozenset(
    [
        "ct",
        "cta",
        "mr",
        "mri",
        "us",
        "xr",
        "cr",
        "dx",
        "mg",
        "pet",
        "pt",
        "nm",
        "xa",
        "rf",
        "oct",
        "xray",
        "x-ray",
        "ultrasound",
        "mammography",
        "mammo",
        "dicom",
        "nifti",
        "t1",
        "t2",
        "t1w",
        "t2w",
        "t1c",
        "t1ce",
        "t1gd",
        "flair",
        "adc",
        "dwi",
        "swi",
        "pd",
        "bold",
        "dti",
        "t2flair",
        "stir",
        "axial",
        "coronal",
        "sagittal",
        "ap",
        "pa",
        "lat",
        "lateral",
        "frontal",
        "oblique",
        "cc",
        "mlo",
        "lcc",
        "rcc",
        "lmlo",
        "rmlo",
        "rgb",
        "gray",
        "grey",
        "grayscale",
        "thumbnails",
        "dermoscopic",
        "clinical",
        "he",
        "ihc",
    ]
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


def is_view(name: str) -> bool:
    """Return whether a name is a modality, a sequence, a plane or a projection."""
    return name.lower() in _VIEWS


def is_diagnosis(name: str) -> bool:
    """Return whether a name holds a word for a finding, a tissue or their absence, as classes do.

    >>> [is_diagnosis(name) for name in ("NORMAL", "melanoma", "grade_2", "COVID-19", "pydicom-data", "wg04")]
    [True, True, True, True, False, False]
    """
    return _DIAGNOSES.fullmatch(name.strip()) is not None
