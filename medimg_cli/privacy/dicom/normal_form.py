"""Texts without what hides that they say the same: case, accents, separators, padding."""

import re
from collections.abc import Iterator

from medimg_cli.workspace.plain_text import without_accents

# Letters, and digits, each as one token; a capital after a small letter begins another (`DoeJane`, `MRN123`).
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TWO_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "þ": "th", "ð": "d"})
_TWO, _MARKED = re.compile("[aou]e"), {"ae": "ä", "oe": "ö", "ue": "ü"}
_SHORTEST_RESPELT = 5
_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "ı": "i"}


def plain_letters(text: str) -> str:
    """Return text in lower case without accents.

    >>> plain_letters("Müller-Øst")
    'muller-ost'
    """
    lowered = text.casefold()
    for letter, plain in _LETTERS.items():
        lowered = lowered.replace(letter, plain)
    return lowered if lowered.isascii() else without_accents(lowered)


def respelt(word: str) -> set[str]:
    """Return how else a word is written: without its marks, with two letters for one as in passports, or the other way.

    >>> sorted(respelt("Müller")), sorted(respelt("Mueller")), sorted(respelt("Smith"))
    (['mueller', 'muller'], ['muller', 'müller'], [])
    """
    small = word.casefold()
    several = {plain_letters(word), plain_letters(small.translate(_TWO_LETTERS))}
    if small.isascii() and len(small) > _SHORTEST_RESPELT:
        marked = _TWO.sub(lambda match: _MARKED[match[0]], small)
        several |= {marked, plain_letters(marked)}
    return several - {small}


def joined(text: str) -> str:
    """Return the letters and digits of a text alone, in normal form.

    >>> joined("AB-123.456"), joined("O'Neil, Seán")
    ('ab123456', 'oneilsean')
    """
    return "".join(token for token in _TOKEN.findall(plain_letters(text)))


def tokens(text: str) -> list[str]:
    """Return the runs of letters and of digits of a text in normal form, in order.

    >>> tokens("raw/DoeJane_MRN004711.png")
    ['raw', 'doe', 'jane', 'mrn', '004711', 'png']
    """
    split = _CAMEL.sub(" ", text)
    return _TOKEN.findall(plain_letters(split))


def joins(parts: list[str], longest: int) -> Iterator[str]:
    """Yield every run of neighbouring tokens written together, up to `longest` characters.

    >>> list(joins(["doe", "jane", "7"], 7))
    ['doe', 'doejane', 'jane', 'jane7', '7']
    """
    for start in range(len(parts)):
        run = ""
        for part in parts[start:]:
            run += part
            if len(run) > longest:
                break
            yield run


_WORDS = """
abdomen abdominal abnormal acquisition adult airway analysis anatomy angio ankle anonymous anonymized anterior
aorta artery axial bacteria baseline benign biopsy bladder blood body bone brain breast bronchus calibration
cancer cardiac carotid case cerebral cervical chest child cine clinic clinical cohort colon colour color
compressed compression contrast control copy coronal cranial creator crop current data dataset default demo
dental department derived derm dermatology description device diagnosis diagnostic dicom diffusion digital
display doctor doppler drive dummy echo elbow emergency enhanced enlarged erect exam examination example
exported exposure external eye face female femur fetal fetus file film final finger flair follow folder foot
forearm fracture frame frontal full fundus general grayscale grey group hand head healthy heart helical
hepatic hidden high hip histology horizontal hospital humerus identity image images imaging implant inferior
infection info institute institution internal invalid joint kidney knee label laboratory lateral left
lesion level liver localizer location lossless lossy low lower lumbar lung lungs machine male malignant mammo
mammogram mandible manual mask mass medical medicine medial microscopy middle missing modality model mouth
multi name neck negative neonatal neuro nodule noise none normal number oblique ocular operator optic
optical orbit organ original other outpatient output overlay pacs panoramic pathology patient patients
pediatric paediatric pelvis pelvic person phantom phase photo physician pilot pixel plain plane pneumonia
portable positive posterior practice preprocessed preview private processed projection prone prostate
protocol pulmonary quality radiograph radiography radiologist radiology random raw reconstructed region
removed rendered report research resized resolution result retina retinal right room routine sagittal sample
samples scan scanner scout screen screening secondary section series shoulder sick site skin skull slice
small software soft source specimen spine spleen split standard standing station stomach study subject
superior supine surgery synthetic system table technician technologist temp temporal test testing thigh
thorax thoracic thumb thumbnail thyroid tibia tissue tongue tooth train training trauma tumor tumour ultra
ultrasound unit university unknown upper upright uterus vacuum valid validation variant vascular vein
ventricle version vertebra vertical view virus viral visit volume volunteer ward weighted white window wrist
xray zero
january february march april june july august september october november december monday tuesday wednesday
thursday friday saturday sunday
"""
ORDINARY_WORDS = frozenset(_WORDS.split())
"""Lower case, three letters at least: anatomy, modalities, views, stages of work and what tools write."""
