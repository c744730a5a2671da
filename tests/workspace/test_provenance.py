"""Provenance names versions and the machine, not its user."""

import getpass
import platform
from pathlib import Path

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


def test_outside_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
