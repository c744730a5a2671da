"""Words and figures modalities burn in that name nobody: sides, views, techniques, scales, anatomy."""

import re

# Sides: of the body, or of the picture. They are no identity, and they can give a label away.
_SIDES = "R L RT LT RIGHT LEFT RE LI DX SX DEX SIN BILAT BILATERAL"
SIDES = frozenset(_SIDES.split())
_VIEWS = """
A P AP PA A-P P-A LAT LATERAL OBL OBLIQUE RAO LAO RPO LPO CC MLO ML LM RCC LCC RMLO LMLO XCCL CV AXIAL AX SAG
SAGITTAL COR CORONAL TRANS TRANSVERSE TRV LONG LONGITUDINAL SUP SUPERIOR INF INFERIOR ANT ANTERIOR POST POSTERIOR
MED MEDIAL PROX PROXIMAL DIST DISTAL ERECT SUPINE PRONE PORTABLE SEMI UPRIGHT SITTING STANDING DECUB DECUBITUS
BEDSIDE MOBILE INSP INSPIRATION EXP EXPIRATION WEIGHT BEARING GRID SCOUT VIEW FLIPPED INVERTED UP DOWN HEAD FEET
FOOT H F S I PRE POST PLAIN CONTRAST ART VEN
"""
_ANATOMY = """
CHEST THORAX LUNG HEART ABDOMEN ABD PELVIS SPINE SKULL BRAIN NECK HIP KNEE ANKLE WRIST HAND ELBOW SHOULDER FINGER
TOE RIB LIVER KIDNEY SPLEEN PANCREAS GALLBLADDER GB CBD AORTA IVC UTERUS OVARY BLADDER PROSTATE THYROID TESTIS
BREAST AXILLA AXILLARY NODE NODES NIPPLE AREOLA UOQ UIQ LOQ LIQ UO UI LO OUTER INNER UPPER LOWER QUADRANT RTUO RTUI
RTLO RTLI LTUO LTUI LTLO LTLI RTUOQ RTLOQ LTUOQ LTLOQ RETROAREOLAR SUBAREOLAR PERIAREOLAR CLOCK ARAD RAD CYST MASS
LESION SATELLITE LYMPH DUCT TISSUE RETINA MACULA DISC OD OS OU FETUS HC AC BPD FL CRL EFW VEIN ARTERY VALVE LV RV LA
RA BASE APEX MID DEEP
"""
_TECHNIQUE = """
KV KVP MA MAS MS MSEC SEC SID FFD EI DI EXI REX GY MGY CGY DAP CM MM UM NM KHZ MHZ HZ DB FPS FR RES GN GAIN DR DYN
PERS PERSIST MI TI TIS TIB TIC THI CHI CH HI HAR PEN GEN PRF WF SV FOCUS DEPTH ZOOM MAP FREQ POWER TX RX AO SRI CRI
XRES ADV PMED PLOW PHIGH LOW HIGH MED 2D 3D 4D B M PW CW CFM CD CPA WW WL W C WINDOW LEVEL TR TE TA FA FOV NEX
THICK SLICE ST SP SE IM IMA IMG FRAME SERIES IMAGE PAGE PERCENT AEC FINE SMALL LARGE STD STANDARD BONE SOFT PROC
PROCESSED RAW CAL DIST AREA VOL ANGLE RATIO VEL CALIPER CALIPERS
"""
# Makers and their lines of devices: a device is identified by its serial number, not by these.
_MAKERS = """
SIEMENS HEALTHINEERS PHILIPS GE HEALTHCARE LOGIQ VOLUSON TOSHIBA CANON APLIO SAMSUNG MEDISON MINDRAY ESAOTE HITACHI
ALOKA ACUSON FUJIFILM FUJI SONOSITE AGFA CARESTREAM KODAK KONICA MINOLTA HOLOGIC SHIMADZU SUPERSONIC AIXPLORER EPIQ
AFFINITI BUTTERFLY
"""
WORDS = SIDES | frozenset(f"{_VIEWS} {_ANATOMY} {_TECHNIQUE} {_MAKERS}".split())
# Pressed together as the reader gives them: 2.5MAS, LT3, TIS0.5, 3MHZ.
_WITH_FIGURE = re.compile(r"(?P<before>[A-Z]*)(?P<figure>\d{1,4}(?:[.,]\d{1,3})?)(?P<after>[A-Z]*)")


_MOST_LONE_DIGITS = 4


def is_marker(text: str) -> bool:
    """Return whether a text, in capitals, holds nothing but known words, single signs and figures of four digits.

    Figures alone are a scale up to four digits together; with more they may be a time or a number misread.

    >>> is_marker("R LAT"), is_marker("KV:80 MAS:2.5"), is_marker("LT3"), is_marker("MRN 123"), is_marker("18:5222")
    (True, True, True, False, False)
    """
    if not known_words(text) and sum(sign.isdigit() for sign in text) > _MOST_LONE_DIGITS:
        return False
    return all(_is_known(part) for part in re.split(r"[\s:;/|=,()%°+~<>*#\"'`_⁻−-]+", text) if part)


def known_words(text: str) -> set[str]:
    """Return the known words and sides of a text, in capitals, figures left out.

    >>> sorted(known_words("LT AXILLA 12")), sorted(known_words("KV:80"))
    (['AXILLA', 'LT'], ['KV'])
    """
    return {word for word in re.findall(r"[^\W\d_]+", text) if word in WORDS}


def has_known_word(text: str) -> bool:
    """Return whether one of the words of a text, in capitals, is known; single letters do not count."""
    return any(len(word) > 1 for word in known_words(text))


def _is_known(part: str) -> bool:
    bare = part.strip(".")
    if len(bare) <= 1 or bare in WORDS:
        return True
    match = _WITH_FIGURE.fullmatch(bare)
    return match is not None and all(
        len(word) <= 1 or word in WORDS for word in (match["before"], match["after"])
    )
