"""The files beside the package: workflows, forms, metadata; what they call and name is there."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import medimg_cli
from medimg_cli.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
META = ROOT / ".github"
WORKFLOWS = sorted((META / "workflows").glob("*.yml"))
TEXTS = sorted([ROOT / "README.md", *META.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def parsed(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """Return the names that a code host gives the headings of a page."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def links(path: Path) -> list[str]:
    prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", prose)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_jobs_with_limits_and_calls_scripts_that_are_there(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert {"name", True} <= set(workflow)  # YAML 1.1 reads the key `on` as true
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] and job["runs-on"]
        for step in job["steps"]:
            assert len({"run", "uses"} & set(step)) == 1
            for script in re.findall(r"bash (\S+\.sh)", step.get("run", "")):
                assert (ROOT / script).is_file(), script
    assert any(script in path.read_text() for script in ("tests/run.sh", "examples/quickstart.sh"))


def test_every_python_that_the_metadata_name_is_tested() -> None:
    (tested,) = [parsed(path)["jobs"]["linux"] for path in WORKFLOWS if path.name == "checks.yml"]
    named = [each.rsplit(" ", 1)[1] for each in PROJECT["project"]["classifiers"] if ":: 3." in each]
    assert tested["strategy"]["matrix"]["python"] == named


@pytest.mark.parametrize("path", sorted((META / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name)
def test_a_form_asks_by_fields_of_different_names(path: Path) -> None:
    form = parsed(path)
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    asked = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert form["name"] and form["description"] and len(asked) == len(set(asked)) > 0


def test_the_hooks_before_a_commit_are_the_checks_of_the_project() -> None:
    (repository,) = parsed(META / "pre-commit.yaml")["repos"]
    entries = [hook["entry"] for hook in repository["hooks"]]
    script = (ROOT / "tests" / "run.sh").read_text(encoding="utf-8")
    assert all(hook["id"] and hook["language"] == "system" for hook in repository["hooks"])
    for check in ("ruff check", "ruff format", "mypy"):
        assert any(check in entry for entry in entries)
        assert f"-m {check}" in script


def test_the_version_stands_in_one_place_and_in_the_changelog() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "medimg_cli/__init__.py"
    assert f"## {medimg_cli.__version__}" in (META / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_extra_is_explained_in_the_guide() -> None:
    guide = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "examples/guide").rglob("*.md"))
    extras = set(PROJECT["project"]["optional-dependencies"]) - {"test"}
    assert {name for name in extras if f"medimg[{name}]" not in guide} == set()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_text_names_a_folder_of_somebodys_machine(path: Path) -> None:
    found = re.findall(r"(?<![\w.:/])/(?:home|root|work|tmp|Users|opt|mnt)/\S*", path.read_text("utf-8"))
    assert found == []


def test_the_changelog_names_only_commands_that_are_there() -> None:
    text = (META / "CHANGELOG.md").read_text(encoding="utf-8")
    named = re.findall(r"`medimg ([a-z][a-z-]+)", text)
    assert set(named) <= set(COMMANDS)


@pytest.mark.parametrize(("tag", "code"), [("v" + medimg_cli.__version__, 0), ("v9.9.9", 1)])
def test_a_release_checks_its_tag_and_knows_its_addresses(tag: str, code: int, tmp_path: Path) -> None:
    steps = {
        step["name"]: step["run"]
        for step in parsed(META / "workflows" / "release.yml")["jobs"]["build"]["steps"]
        if "name" in step
    }
    (tmp_path / "medimg_cli").mkdir()
    for name in ("pyproject.toml", "medimg_cli/__init__.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    told = {
        "GITHUB_REF_NAME": tag,
        "GITHUB_SERVER_URL": "https://host.example",
        "GITHUB_REPOSITORY": "us/medimg",
    }
    for name in ("The tag is the version", "The addresses are those of the repository that releases"):
        done = subprocess.run(
            ["bash", "-e", "-c", steps[name]], cwd=tmp_path, env=os.environ | told, check=False
        )
        if name.startswith("The tag"):
            assert done.returncode == code
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Changelog"] == "https://host.example/us/medimg/blob/main/.github/CHANGELOG.md"
    assert project["name"] == "medimg"
