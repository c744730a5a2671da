"""Registries: one name, one entry; an unknown name gets a proposal."""

from pathlib import Path

import pytest

from medimg_cli.errors import UsageError
from medimg_cli.registry import Registry, did_you_mean


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[int]:
    package = tmp_path / "some_shelf"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from medimg_cli.registry import Registry\nSHELF: Registry[int] = Registry('thing', __name__)\n"
    )
    (package / "one.py").write_text("from some_shelf import SHELF\nSHELF.register('one-thing')(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import some_shelf  # type: ignore[import-not-found]

    registry: Registry[int] = some_shelf.SHELF
    return registry


def test_a_file_in_the_package_is_an_entry(shelf: Registry[int]) -> None:
    assert shelf.names() == ("one-thing",)
    assert shelf.get("one-thing") == 1
    assert "two" not in shelf


def test_an_unknown_name_proposes_the_closest(shelf: Registry[int]) -> None:
    with pytest.raises(UsageError) as caught:
        shelf.get("one-thin")
    assert caught.value.what == "unknown thing 'one-thin'"
    assert caught.value.hint == "did you mean 'one-thing'?"


def test_a_second_entry_of_one_name_is_refused(shelf: Registry[int]) -> None:
    with pytest.raises(ValueError, match="'one-thing' is registered twice"):
        shelf.names() and shelf.register("one-thing")(2)


def test_a_name_like_no_other_gets_the_list() -> None:
    assert did_you_mean("xyz", ["b", "a"]) == "known: a, b"
