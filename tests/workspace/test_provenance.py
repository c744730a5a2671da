"""Provenance names versions and the machine, not its user."""

import getpass
import os
import platform
from pathlib import Path

import pytest

from medimg_cli.workspace.provenance import git_commit, machine_facts, package_versions


def test_versions_are_those_installed() -> None:
    import numpy

    assert package_versions()["numpy"] == numpy.__version__


def test_the_machine_is_described_without_host_and_user() -> None:
    facts = machine_facts()
    assert facts["cores"] in range(1, 10_000)
    text = " ".join(map(str, facts.values())).split()
    assert platform.node() not in text
    assert getpass.getuser() not in text


def test_a_system_that_tells_no_memory_has_none_in_its_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf_names")
    assert set(machine_facts()) == {"system", "processor", "cores"}


def test_outside_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
