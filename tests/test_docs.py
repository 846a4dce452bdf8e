"""What the documentation says is there: links, commands, options, keys, columns, code."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest
import typer.main
from pydantic import BaseModel

import tasks
from cli.main import app
from cli.quantity import ampere

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
    if "_build" not in path.parts
)
COMMANDS: Any = typer.main.get_command(app)
REFERENCE = ROOT / "docs" / "reference"

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Language, content and the line before of each fenced block."""
    fence = re.compile(r"^([^\n]*)\n```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    for before, language, content in fence.findall("\n" + text_of(page)):
        yield language, content, before


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """A page's headings as links name them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# --- links ---------------------------------------------------------------------------------------


@pages
def test_internal_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"


def test_every_page_can_be_reached_from_the_first() -> None:
    links = set(re.findall(r"\]\(([^)\s#]+)", text_of(ROOT / "docs/index.md")))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES if "docs" in path.parts}
    assert there - links == {"index.md"}


# --- commands ------------------------------------------------------------------------------------


def command_lines() -> list[Any]:
    """Every command that a page shows; a command that is only named ends in its name."""
    found = {}
    for page in PAGES:
        where = page.relative_to(ROOT).as_posix()
        lines = [line.removeprefix("$ ") for language, content, _ in blocks(page)
                 if language in ("", "console") for line in content.splitlines()]  # fmt: skip
        for line in [*lines, *re.findall(r"`([^`\n]+)`", prose(page))]:
            line = line.strip()
            if re.match(r"(spinloop|python3 tasks\.py) \S", line):
                found[line] = where
    return [pytest.param(line, id=f"{where}: {line}") for line, where in found.items()]


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_is_one_that_the_program_takes(line: str) -> None:
    words = shlex.split(line.partition(" | ")[0], comments=True)
    if words[0] == "python3":
        tasks.parse(words[2:])
        return
    name, *arguments = words[1:]
    if name.startswith("-"):
        assert any(name in parameter.opts for parameter in COMMANDS.params)
        return
    command = COMMANDS.commands[name]
    if arguments:  # raises if it does not parse
        values = command.make_context(name, arguments).params
        for key in ("start", "stop"):
            if key in values:
                ampere("--x", values[key])


def section(command: str) -> str:
    """What the reference says of a command, and of the options that several share."""
    parts = re.split(r"^## ", text_of(REFERENCE / "command-line.md"), flags=re.MULTILINE)
    [own] = [part for part in parts if re.match(rf"spinloop {command}\b", part)]
    return own


@pytest.mark.parametrize("command", COMMANDS.commands)
def test_the_reference_names_every_option_and_no_other(command: str) -> None:
    parameters = COMMANDS.commands[command].params
    taken = {
        option
        for parameter in parameters
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    assert set(re.findall(r"`(--[a-z-]+)", section(command))) == taken


def test_the_reference_has_a_section_for_every_command_and_no_other() -> None:
    titles = re.findall(r"^## spinloop (\w+)", text_of(REFERENCE / "command-line.md"), re.MULTILINE)
    assert sorted(titles) == sorted(COMMANDS.commands)


# --- code and files ------------------------------------------------------------------------------


@pages
def test_python_blocks_compile(page: Path) -> None:
    for language, content, _ in blocks(page):
        if language == "python":
            ast.parse(content)


@pages
def test_whole_bench_files_validate(page: Path) -> None:
    from instruments.bench_file import parse_bench_file

    for language, content, before in blocks(page):
        if language == "yaml":
            assert before == "<!-- whole bench file -->", "a bench file that is not marked as whole"
            parse_bench_file(content, page.name)


def test_the_bench_files_of_the_reference_and_the_guide_are_checked() -> None:
    marked = [page.name for page in PAGES if "<!-- whole bench file -->" in text_of(page)]
    assert marked == ["real-bench.md", "bench-file.md"]


@pages
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    assert not re.findall(r"(?<![\w.])/(?:home|root|work|tmp|Users|mnt)/\S*", text_of(page))


# --- the reference is complete -------------------------------------------------------------------


def keys(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [k for k in kinds if inspect.isclass(k) and issubclass(k, BaseModel)]
        if inner:
            step = "NAME." if get_origin(field.annotation) is dict else ""
            yield from keys(inner[0], f"{before}{name}.{step}")
        else:
            yield before + name


def test_the_reference_names_every_key_of_the_bench_file() -> None:
    from instruments.bench_file import BenchFile

    named = re.findall(r"`([a-z_]+(?:\.\w+)*)`", text_of(REFERENCE / "bench-file.md"))
    missing = set(keys(BenchFile)) - set(named)
    assert missing == set()


def test_the_reference_names_every_effect_of_the_limits() -> None:
    from instruments.limits import Effect

    rows = re.findall(r"^\| `([A-Z_]+)` \|", text_of(REFERENCE / "python.md"), re.MULTILINE)
    assert rows == [effect.name for effect in Effect]


def test_the_reference_names_every_field_of_readings_and_calibrations() -> None:
    import dataclasses

    from device import Calibration, Reading

    page = text_of(REFERENCE / "python.md")
    for kind in (Calibration, Reading):
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in page, f"{kind.__name__}.{field.name}"


def test_the_reference_names_every_table_and_column() -> None:
    from db.schema import metadata

    rows = dict(
        re.findall(r"^\| `(\w+)` \|(.*)\|$", text_of(REFERENCE / "database.md"), re.MULTILINE)
    )
    for table in metadata.tables.values():
        for column in table.columns:
            assert f"`{column.name}`" in rows[table.name], f"{table.name}.{column.name}"


def test_the_pages_name_the_epochs_that_are_trained() -> None:
    from training.tasks import TASKS

    epochs = {name: task.schedule.epochs for name, task in TASKS.items()}
    named = f"| epochs | {epochs['circles']} | {epochs['iris']} |"
    assert named in text_of(ROOT / "docs/explanation/protocol.md")
    named = f"circles {epochs['circles']}, iris {epochs['iris']}"
    assert named in text_of(REFERENCE / "command-line.md")


def test_the_list_of_errors_is_complete() -> None:
    from instruments import errors

    page = text_of(REFERENCE / "python.md").rpartition("## Errors")[2]
    for name, one in vars(errors).items():
        if inspect.isclass(one) and issubclass(one, errors.BenchError):
            assert f"{name}`" in page, name
