"""Documentation is tested: every command documented, every example one that parses."""

import doctest
import functools
import importlib
import re
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.cli import app as door
from medimg_cli.cli import elsewhere
from medimg_cli.cli.app import COMMANDS
from medimg_cli.cli.options import with_session
from medimg_cli.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "examples" / "guide"
# What people write; the reference is made from the code.
PAGES = [ROOT / "README.md", *sorted(GUIDE.rglob("*.md")), ROOT / ".github" / "CONTRIBUTING.md"]
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in PAGES
    if path.parent != GUIDE / "reference" or path.name == "files.md"
}
README = TEXTS["README.md"]
_BEFORE_IT = r"(?:[A-Z_]+=(?:\$\([^)]*\)|\S+) )*"
"""Variables that a line sets for its command alone."""


def commands_in(text: str) -> list[str]:
    """Return each `medimg …` call in console blocks, back-quotes and shell scripts."""
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    found = [re.match(rf"(?:.* \| )?{_BEFORE_IT}(medimg .*)", line) for line in lines]
    quoted = [" ".join(call.split()) for call in re.findall(r"`(medimg [^`]+)`", text)]
    return [line[1] for line in found if line] + quoted


def script_commands(path: Path) -> list[str]:
    """Return the `medimg …` calls that a script makes through its `step` function."""
    return re.findall(r"""^step (?:'[^']*'|"[^"]*") (medimg .*)$""", path.read_text(), flags=re.MULTILINE)


EXAMPLES = sorted(
    {
        *(call for text in TEXTS.values() for call in commands_in(text)),
        *(call for body in COMMANDS.values() for call in commands_in(body.__doc__ or "")),
    }
)


def parses(call: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit code of a call whose commands do nothing."""
    calls = [shlex.split(part)[1:] for part in call.split("&&")]
    for name, body in COMMANDS.items():
        monkeypatch.setitem(COMMANDS, name, _doing_nothing(body))
    monkeypatch.setattr(elsewhere, "at_work", lambda _: nullcontext())  # no scheduler and no store is there
    monkeypatch.setattr(elsewhere, "files_here", lambda *given: nullcontext(given))
    return max(door.run(arguments) for arguments in calls)


def _doing_nothing(body: Any) -> Any:
    @functools.wraps(body)
    def nothing(*_: object, **__: object) -> None:
        return None

    return nothing


@pytest.mark.parametrize("call", EXAMPLES)
def test_an_example_is_a_call_the_program_takes(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if call.split()[1] == "COMMAND" or call.split()[1].startswith("--"):  # `medimg --help`
        return
    if len(call.split()) == 2 and call.split()[1] in COMMANDS:  # its name alone
        return
    assert parses(call, monkeypatch) == ExitCode.DONE


def test_a_wrong_example_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parses("medimg train --epoch 3", monkeypatch) == ExitCode.USAGE


def test_commands_behind_a_pipe_or_a_variable_are_found() -> None:
    text = "```console\n$ find . | medimg predict -\n$ TOKEN=$(rand 16) medimg serve a.zip\nmedimg says hello\n```"
    assert commands_in(text) == ["medimg predict -", "medimg serve a.zip", "medimg says hello"]


def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 250


def test_the_quickstart_calls_what_the_program_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = script_commands(ROOT / "examples" / "quickstart.sh")
    assert len(calls) >= 7
    for call in calls:
        plain = re.sub(r"\"\$\([^)]*\)\"|\"\$\{[^}]*\}\"", "x.png", call)
        assert parses(plain, monkeypatch) == ExitCode.DONE, call


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert any(f"medimg {name}" in text for page, text in TEXTS.items() if page.startswith("examples/guide/"))
    assert f"Example: `medimg {name}" in (COMMANDS[name].__doc__ or "")
    assert door.run([name, "--help"]) == 0
    assert f"medimg {name}" in capsys.readouterr().out


def test_the_table_of_exit_codes_is_complete() -> None:
    page = (GUIDE / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)}
    assert documented == {int(code) for code in ExitCode}


def test_every_option_has_help() -> None:
    for name in COMMANDS:
        for option in with_session(name, COMMANDS[name]).__annotations__.values():
            for extra in getattr(option, "__metadata__", ()):
                assert extra.help, f"{name}: an option without help"


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "medimg_cli").rglob("*.py")) if ">>> " in path.read_text()],
    ids=lambda path: path.stem,
)
def test_examples_in_docstrings_are_true(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_file_and_room_that_contributing_names_is_there() -> None:
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/.-]+(?:\.py|/\w+\.csv|/))`", text))
    rooms = text[text.index("## The map") : text.index("Tests stand in the same rooms")]
    for line in re.findall(r"^    (\S.*?)  ", rooms, flags=re.MULTILINE):
        named |= set(line.split())
    there = [path for top in ("medimg_cli", "templates", "tests") for path in (ROOT / top).rglob("*")]
    known = [f"/{path.relative_to(ROOT).as_posix()}{'/' * path.is_dir()}" for path in there]
    missing = [name for name in named if not any(path.endswith(f"/{name}") for path in known)]
    assert len(named) > 50
    assert [name for name in sorted(missing) if "my_" not in name] == []


def test_the_map_draws_every_room() -> None:
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = [path.name for path in (ROOT / "medimg_cli").iterdir() if (path / "__init__.py").is_file()]
    assert [room for room in rooms if f"{room}/ " not in text] == []
