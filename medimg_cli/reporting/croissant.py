"""Croissant: what a data set holds, for programs; MLCommons Croissant 1.0, JSON-LD (10.1145/3650203.3663326)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medimg_cli.dataset.manifest import SPLITS, Dataset
from medimg_cli.workspace.files import sha256_of_file

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{name: f"cr:{name}" for name in ["column", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "separator", "source", "subField", "transform"]},
    "citeAs": "cr:citeAs",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}  # fmt: skip
_KINDS = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}
_MEANINGS = {
    "file_name": "image file, relative to the table",
    "image_id": "stable name of the image",
    "label": "reference standard; several labels are joined by |",
    "split": "train, val or test; patients never stand in two",
    "patient_id": "groups the images of one patient",
    "exam_id": "groups the images of one exam",
    "sha256": "SHA-256 of the image",
}
_NUMBERS = {"width", "height", "channels", "bit_depth", "fold"}


def croissant_of(
    dataset: Dataset,
    table: Path,
    url: str,
    columns: list[str],
    facts: Mapping[str, str],
    *,
    files: bool = False,
) -> dict[str, Any]:
    """Return the description of a data set as JSON-LD.

    Args:
        dataset: whose labels, splits and hash it tells; it holds no row.
        table: with a row an image; url: its place relative to the description.
        columns: of that table, those to describe.
        facts: fact → answer of `report.yaml`.
        files: the images stand beside the table, a folder for each split.
    """
    info, rows = dataset.info, dataset.usable
    counts = ", ".join(f"{split} {int((rows['split'] == split).sum()):,}" for split in SPLITS)
    head = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": re.sub(r"[^\w-]+", "-", facts.get("title", "") or "-".join(info.classes)).strip("-")
        or "images",
        "description": f"{len(rows):,} medical images ({counts}) of the classes {', '.join(info.classes)}; patients: "
        f"{dataset.patients_in_words}. Split: {info.split_origin}. " + facts.get("data_sources", ""),
        "version": "1.0.0",
        "identifier": f"sha256:{info.content_hash}",
        "license": facts.get("data_licence", "not reported"),
    }
    optional = {
        "citeAs": "citation",
        "rai:dataCollection": "acquisition",
        "rai:annotationsPerItem": "annotators",
    }
    head |= {name: facts[fact] for name, fact in optional.items() if fact in facts}
    if "contact" in facts:
        head["creator"] = {"@type": "sc:Organization", "name": facts["contact"]}
    listing = {
        "@type": "cr:FileObject",
        "@id": "table",
        "name": table.name,
        "contentUrl": url,
        "encodingFormat": "text/csv" if table.suffix == ".csv" else "application/x-parquet",
        "sha256": sha256_of_file(table),
    }
    pictures = [
        {"@type": "cr:FileSet", "@id": split, "name": split, "encodingFormat": "image/png", "includes": f"{split}/**/*.png"}
        for split in SPLITS if files
    ]  # fmt: skip
    return head | {
        "distribution": [listing, *pictures],
        "recordSet": [_splits(), _classes(info.classes), _images(columns)],
    }


def _splits() -> dict[str, Any]:
    rows = [{"splits/name": name, "splits/url": kind} for name, kind in _KINDS.items()]
    return _record_set("splits", "cr:Split", {"name": "sc:Text", "url": "sc:URL"}, rows)


def _classes(classes: tuple[str, ...]) -> dict[str, Any]:
    return _record_set(
        "classes", "sc:Enumeration", {"name": "sc:Text"}, [{"classes/name": name} for name in classes]
    )


def _record_set(
    name: str, kind: str, fields: Mapping[str, str], rows: list[dict[str, str]]
) -> dict[str, Any]:
    """Return a record set that holds its own rows."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "dataType": kind,
        "key": {"@id": f"{name}/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{each}", "name": each, "dataType": of}
            for each, of in fields.items()
        ],
        "data": rows,
    }


def _images(columns: list[str]) -> dict[str, Any]:
    fields = []
    for name in columns:
        field = {
            "@type": "cr:Field",
            "@id": f"images/{name}",
            "name": name,
            "description": _MEANINGS.get(name, f"column {name}"),
            "dataType": "sc:Integer" if name in _NUMBERS else "sc:Text",
            "source": {"fileObject": {"@id": "table"}, "extract": {"column": name}},
        }
        if name == "split":
            field["references"] = {"field": {"@id": "splits/name"}}
        fields.append(field)
    key = {"@id": f"images/{columns[0]}"}
    return {"@type": "cr:RecordSet", "@id": "images", "name": "images", "key": key, "field": fields}
