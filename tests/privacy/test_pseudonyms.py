"""Pseudonyms by a key, and the file that holds it."""

from pathlib import Path

import pytest
from pydicom.uid import UID

from medimg_cli.errors import DataError, MachineError
from medimg_cli.privacy.forms.names import find_identities
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms, read_key, read_or_make_key

_ONE, _OTHER = Pseudonyms(b"k" * 32), Pseudonyms(b"l" * 32)


def test_the_same_key_gives_the_same_codes_and_another_key_none_of_them() -> None:
    again = Pseudonyms(b"k" * 32)
    values = [f"patient {number}" for number in range(200)]
    codes = {_ONE.patient(value) for value in values} | {_ONE.uid(value) for value in values}
    assert codes == {again.patient(value) for value in values} | {again.uid(value) for value in values}
    assert len(codes) == 400
    assert not codes & {_OTHER.patient(value) for value in values}
    assert not codes & {_OTHER.uid(value) for value in values}
    assert _ONE.fingerprint == again.fingerprint != _OTHER.fingerprint


def test_one_value_has_another_code_for_each_purpose() -> None:
    assert _ONE.patient("x").removeprefix("P-") != _ONE.name("x").removeprefix("N-")


def test_a_uid_is_a_valid_one() -> None:
    uids = [UID(_ONE.uid(f"1.2.{number}")) for number in range(500)]
    assert all(uid.is_valid and len(uid) <= 64 for uid in uids)


def test_a_code_never_looks_like_an_identity() -> None:
    codes = [_ONE.patient(str(number)) for number in range(500)]
    assert not any(find_identities(code) for code in codes)


def test_a_patient_s_days_are_their_own_and_never_few() -> None:
    days = [_ONE.shift_days(f"patient {number}") for number in range(1000)]
    assert min(days) >= -3650 and max(days) <= -30
    assert len(set(days)) > 800


def test_a_new_key_is_for_its_owner_only_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "study.key"
    made, is_new = read_or_make_key(path)
    assert is_new
    assert path.stat().st_mode & 0o777 == 0o600
    again, is_new = read_or_make_key(path)
    assert (again, is_new) == (made, False)
    assert read_key(path) == made


@pytest.mark.parametrize("content", ["", "no key", "abcd", "00" * 31])
def test_a_file_without_a_key_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text(content)
    with pytest.raises(DataError, match="holds no key"):
        read_or_make_key(tmp_path / "a.key")


def test_a_missing_key_and_one_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_key(tmp_path / "a.key")
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write the key"):
        read_or_make_key(tmp_path / "file" / "a.key")
