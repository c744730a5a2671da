"""MedMNIST v2 and its larger versions ("MedMNIST+"): twelve 2-D sets, one archive a size.

Addresses, MD5 sums, counts and licences are those the authors publish with their package, version 3.0.2
(medmnist/info.py); the files lie in Zenodo record 10519652. Two things to know: the archives of the three
organ sets at 28 px are not those of the earlier record 6496656, and DermaMNIST alone is non-commercial.
"""

from medimg_cli.sample_data.catalogue import CATALOGUE, PublicSet
from medimg_cli.sample_data.http_download import RemoteFile

_RECORD = "https://zenodo.org/records/10519652/files"
_CITATION = (
    "Yang J. et al., MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image "
    "classification, Scientific Data 10:41 (2023), doi:10.1038/s41597-022-01721-8; and the set's source"
)
_BY = ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")
_BY_NC = ("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/")
_SIZES = (28, 64, 128, 224)


def _add(
    name: str,
    summary: str,
    *,
    classes: int,
    images: int,
    md5: tuple[str, str, str, str],
    licence: tuple[str, str] = _BY,
    multi_label: bool = False,
    positive: str | None = None,
) -> None:
    """Register one set; `md5` are the sums of its archives at 28, 64, 128 and 224 px."""
    CATALOGUE.register(f"medmnist/{name}")(
        PublicSet(
            summary=summary,
            classes=classes,
            images=images,
            licence=licence[0],
            licence_address=licence[1],
            citation=_CITATION,
            homepage="https://medmnist.github.io",
            files={size: _file(name, size, digits) for size, digits in zip(_SIZES, md5, strict=True)},
            multi_label=multi_label,
            positive=positive,
        )
    )


def _file(name: str, size: int, digits: str) -> RemoteFile:
    stem = name if size == _SIZES[0] else f"{name}_{size}"
    return RemoteFile(f"{_RECORD}/{stem}.npz?download=1", f"md5:{digits}")


_add(
    "pathmnist",
    "colon tissue on histology slides, 9 kinds of tissue",
    classes=9,
    images=107_180,
    md5=(
        "a8b06965200029087d5bd730944a56c1",
        "55aa9c1e0525abe5a6b9d8343a507616",
        "ac42d08fb904d92c244187169d1fd1d9",
        "2c51a510bcdc9cf8ddb2af93af1eadec",
    ),
)
_add(
    "chestmnist",
    "chest X-rays, 14 findings, several an image",
    classes=14,
    images=112_120,
    md5=(
        "02c8a6516a18b556561a56cbdd36c4a8",
        "9de6cd0b934ebb5b7426cfba5efbae16",
        "db107e5590b27930b62dbaf558aebee3",
        "45bd33e6f06c3e8cdb481c74a89152aa",
    ),
    multi_label=True,
)
_add(
    "dermamnist",
    "dermatoscopy of pigmented skin lesions",
    classes=7,
    images=10_015,
    md5=(
        "0744692d530f8e62ec473284d019b0c7",
        "b70a2f5635c6199aeaa28c31d7202e1f",
        "2defd784463fa5243564e855ed717de1",
        "8974907d8e169bef5f5b96bc506ae45d",
    ),
    licence=_BY_NC,
)
_add(
    "octmnist",
    "retinal optical coherence tomography",
    classes=4,
    images=109_309,
    md5=(
        "c68d92d5b585d8d81f7112f81e2d0842",
        "e229e9440236b774d9f0dfef9d07bdaf",
        "0a97e76651ace45c5d943ee3f65b63ae",
        "abc493b6d529d5de7569faaef2773ba3",
    ),
)
_add(
    "pneumoniamnist",
    "chest X-rays of children, pneumonia or not",
    classes=2,
    images=5_856,
    md5=(
        "28209eda62fecd6e6a2d98b1501bb15f",
        "8f4eceb4ccffa70c672198ea285246c6",
        "05b46931834c231683c68f40c47b2971",
        "d6a3c71de1b945ea11211b03746c1fe1",
    ),
    positive="pneumonia",
)
_add(
    "retinamnist",
    "fundus photographs, five grades of diabetic retinopathy",
    classes=5,
    images=1_600,
    md5=(
        "bd4c0672f1bba3e3a89f0e4e876791e4",
        "afda852cc34dcda56f86ad2b2457dbcc",
        "e48e916a24454daf90583d4e6efb1a18",
        "eae7e3b6f3fcbda4ae613ebdcbe35348",
    ),
)
_add(
    "breastmnist",
    "breast ultrasound, malignant or not",
    classes=2,
    images=780,
    md5=(
        "750601b1f35ba3300ea97c75c52ff8f6",
        "742edef2a1fd1524b2efff4bd7ba9364",
        "363e4b3f8d712e9b5de15470a2aaadf1",
        "b56378a6eefa9fed602bb16d192d4c8b",
    ),
    positive="malignant",
)
_add(
    "bloodmnist",
    "blood cells under the microscope",
    classes=8,
    images=17_092,
    md5=(
        "7053d0359d879ad8a5505303e11de1dc",
        "2b94928a2ae4916078ca51e05b6b800b",
        "adace1e0ed228fccda1f39692059dd4c",
        "b718ff6835fcbdb22ba9eacccd7b2601",
    ),
)
_add(
    "tissuemnist",
    "kidney cortex cells under the microscope",
    classes=8,
    images=236_386,
    md5=(
        "ebe78ee8b05294063de985d821c1c34b",
        "123ece2eba09d0aa5d698fda57103344",
        "61b955355d7425a89687b06cca3ce0c2",
        "b077128c4a949f0a4eb01517f9037b9c",
    ),
)
_add(
    "organamnist",
    "abdominal CT, axial, 11 organs",
    classes=11,
    images=58_830,
    md5=(
        "68e3f8846a6bd62f0c9bf841c0d9eacc",
        "2dcccc29b88e6da5a01161ef20cda288",
        "eeae80d0a227a8d099027e1b3cfd3b60",
        "50747347e05c87dd3aaf92c49f9f3170",
    ),
)
_add(
    "organcmnist",
    "abdominal CT, coronal, 11 organs",
    classes=11,
    images=23_583,
    md5=(
        "b9ceb9546e10131b32923c5bbeaea2b1",
        "3ce34a8724ea6f548e6db4744d03b6a9",
        "773c1f009daa3fe5d9a2a201b2a7ed94",
        "050f5e875dc056f6768abf94ec9995d1",
    ),
)
_add(
    "organsmnist",
    "abdominal CT, sagittal, 11 organs",
    classes=11,
    images=25_211,
    md5=(
        "9ab87b696fb54e2a387ebe992d6ed5f1",
        "53a6d115339d874c25e309a994ff46d3",
        "ded0c5fa01a95dc4978b956f613e9b8e",
        "b354719e553fbbb2513d5533f52a4cb1",
    ),
)
