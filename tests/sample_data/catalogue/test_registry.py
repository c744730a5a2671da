"""Every public data set says what a user must know, and its files can be verified."""

import re

import pytest

from medimg_cli.sample_data.catalogue import CATALOGUE

DIGITS = {"md5": 32, "sha256": 64}


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_a_set_says_what_it_is_and_under_which_licence(name: str) -> None:
    entry = CATALOGUE.get(name)
    assert re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", name)
    assert entry.summary and entry.citation and entry.licence
    assert entry.classes >= 2 and entry.images > entry.classes
    assert entry.licence_address.startswith("https://") and entry.homepage.startswith("https://")
    assert entry.forbids_commerce == ("by-nc" in entry.licence_address)


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_every_file_has_an_encrypted_address_and_a_checksum(name: str) -> None:
    entry = CATALOGUE.get(name)
    assert entry.sizes == tuple(sorted(entry.files)) and entry.sizes
    for remote in entry.files.values():
        assert remote.address.startswith("https://")
        assert re.fullmatch(rf"[0-9a-f]{{{DIGITS[remote.algorithm]}}}", remote.checksum.split(":")[1])
        assert re.fullmatch(r"[\w.-]+", remote.name)


def test_no_two_files_share_a_name_or_a_checksum() -> None:
    files = [remote for name in CATALOGUE.names() for remote in CATALOGUE.get(name).files.values()]
    assert len({remote.name for remote in files}) == len(files)
    assert len({remote.checksum for remote in files}) == len(files)
