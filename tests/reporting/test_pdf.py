"""The PDF: tagged, searchable, repeatable, and offline."""

import json
import logging
import sys
from pathlib import Path

import pytest
from pypdf import PdfReader
from pypdf.generic import ArrayObject, DictionaryObject

from medimg_cli.errors import ExitCode, MachineError
from medimg_cli.reporting.pdf import Attached, check_pango, write_pdf

PAGE = """<!doctype html><html lang="en"><head><title>A page</title></head><body><h1>A page</h1>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="9" height="9"><title>A square</title>
<rect width="9" height="9"/></svg>{more}</body></html>"""


def _write(target: Path, html: str = PAGE.format(more="")) -> Path:
    write_pdf(target, html, [Attached("metrics-test.json", b'{"n": 3}', "all numbers")])
    return target


def _tags(node: DictionaryObject) -> list[DictionaryObject]:
    """Return the structure elements of the tag tree, parents first."""
    children = node.get("/K", ArrayObject())
    found = [node]
    for child in children if isinstance(children, ArrayObject) else [children]:
        resolved = child.get_object()
        if isinstance(resolved, DictionaryObject):
            found += _tags(resolved)
    return found


def _catalog(reader: PdfReader) -> DictionaryObject:
    catalog = reader.trailer["/Root"].get_object()
    assert isinstance(catalog, DictionaryObject)
    return catalog


def test_a_pdf_is_tagged_with_language_title_and_described_drawings(tmp_path: Path) -> None:
    reader = PdfReader(_write(tmp_path / "page.pdf"))
    catalog = _catalog(reader)
    marks, root = catalog["/MarkInfo"].get_object(), catalog["/StructTreeRoot"].get_object()
    assert isinstance(marks, DictionaryObject) and isinstance(root, DictionaryObject)
    assert marks["/Marked"]
    assert str(catalog["/Lang"]) == "en"
    assert reader.metadata is not None and reader.metadata.title == "A page"
    tags = _tags(root)
    assert [str(tag["/Alt"]) for tag in tags if tag.get("/S") == "/Figure"] == ["A square"]
    assert "/H1" in [tag.get("/S") for tag in tags]


def test_header_cells_say_whether_they_head_a_column_or_a_row(tmp_path: Path) -> None:
    table = "<table><thead><tr><th>A</th><th>B</th></tr></thead><tr><th>c</th><td>1</td></tr></table>"
    root = _catalog(PdfReader(_write(tmp_path / "page.pdf", PAGE.format(more=table))))["/StructTreeRoot"]
    cells = [tag for tag in _tags(root.get_object()) if tag.get("/S") == "/TH"]  # type: ignore[arg-type]
    assert [str(cell["/A"]["/Scope"]) for cell in cells] == ["/Column", "/Column", "/Row"]  # type: ignore[index]


def test_the_evaluation_is_attached(tmp_path: Path) -> None:
    reader = PdfReader(_write(tmp_path / "page.pdf"))
    assert json.loads(reader.attachments["metrics-test.json"][0]) == {"n": 3}


def test_several_files_are_attached_with_what_they_are(tmp_path: Path) -> None:
    attached = [Attached("a.json", b"{}", "numbers"), Attached("b.csv", b"x", "answers")]
    write_pdf(tmp_path / "page.pdf", PAGE.format(more=""), attached)
    reader = PdfReader(tmp_path / "page.pdf")
    assert {name: list(data) for name, data in reader.attachments.items()} == {
        "a.json": [b"{}"],
        "b.csv": [b"x"],
    }
    described = {str(each.name): str(each.description) for each in reader.attachment_list}
    assert described == {"a.json": "numbers", "b.csv": "answers"}


def test_files_inside_carry_the_date_that_the_build_states_and_never_todays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    none_stated = _write(tmp_path / "none.pdf").read_bytes()
    assert b"D:19800101000000" in none_stated
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    stated = _write(tmp_path / "stated.pdf").read_bytes()
    assert b"D:19700102000000" in stated and b"D:1980" not in stated
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert _write(tmp_path / "odd.pdf").read_bytes() == none_stated


def test_every_font_is_embedded(tmp_path: Path) -> None:
    reader = PdfReader(
        _write(tmp_path / "page.pdf", PAGE.format(more="<p>≥ α <b>bold</b> <code>c</code></p>"))
    )
    fonts = [font for page in reader.pages for font in _fonts(page)]
    assert len(fonts) >= 2
    for font in fonts:
        (child,) = font["/DescendantFonts"].get_object()  # type: ignore[misc]
        descriptor = child.get_object()["/FontDescriptor"].get_object()
        assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(descriptor), font


def _fonts(page: DictionaryObject) -> list[DictionaryObject]:
    resources = page["/Resources"].get_object()
    assert isinstance(resources, DictionaryObject)
    found = resources["/Font"].get_object()
    assert isinstance(found, DictionaryObject)
    return [font.get_object() for font in found.values()]


def test_two_renders_give_the_same_bytes(tmp_path: Path) -> None:
    assert _write(tmp_path / "one.pdf").read_bytes() == _write(tmp_path / "two.pdf").read_bytes()


def test_every_address_but_data_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = tmp_path / "secret.svg"
    secret.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', encoding="utf-8")
    addresses = (
        "http://127.0.0.1:9/x.png",
        "https://127.0.0.1:9/x.png",
        "ftp://127.0.0.1/x",
        secret.as_uri(),
    )
    images = "".join(f'<img alt="refused" src="{address}">' for address in addresses)
    with caplog.at_level(logging.ERROR, logger="weasyprint"):
        _write(tmp_path / "page.pdf", PAGE.format(more=images))
    refused = [
        record.getMessage() for record in caplog.records if "disallowed protocol" in record.getMessage()
    ]
    assert len(refused) == len(addresses)


def test_a_machine_without_pango_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoPango:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "weasyprint":
                raise OSError("cannot load library 'libpango-1.0-0'")

    for name in [name for name in sys.modules if name.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoPango, *sys.meta_path])
    with pytest.raises(MachineError):
        check_pango()
    with pytest.raises(MachineError) as caught:
        _write(tmp_path / "page.pdf")
    assert caught.value.exit_code is ExitCode.MACHINE
    assert "libpango-1.0-0" in caught.value.what
    assert "apt-get install" in caught.value.hint and "libharfbuzz-subset0" in caught.value.hint


def test_a_machine_with_pango_says_what_draws() -> None:
    assert check_pango().startswith("WeasyPrint ")
