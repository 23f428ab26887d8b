"""What the documents name is there: links and their anchors, settings, metrics, commands and options."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from cyclopts import App

from streams.cli import GROUPS
from streams.metrics_page import declared, declared_beside
from streams.settings import NO_SETTINGS, PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text_of(page)), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def code_of(text: str) -> list[str]:
    """What stands in code: spans, which may be broken over lines, and lines of indented blocks."""
    prose = without_code(text)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    return [*spans, *re.findall(r"^ {4,}(\S.*)$", prose, re.MULTILINE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_and_metrics_are_ones_that_there_are(page: Path) -> None:
    settings = {PREFIX + name.upper() for name in Settings.__dataclass_fields__} | NO_SETTINGS
    named = set(re.findall(r"\bBORDERFLOW_[A-Z_]*[A-Z]\b(?!_?\*)", text_of(page)))
    assert named <= settings
    series = {name for one in (*declared(), *declared_beside()) for name in (one.name, *one.series)}
    assert set(re.findall(r"\bborderflow_[a-z_]+\b", text_of(page))) <= series


def commands(tokens: list[str]) -> tuple[App, list[str]]:
    """The command that words of a document name, and the words after it."""
    group, *rest = tokens
    found: App = import_module(f"streams.commands.{group.replace('-', '_')}").app
    while rest and rest[0] in set(found):
        found, rest = found[rest[0]], rest[1:]
    return found, rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_are_ones_that_there_are(page: Path) -> None:
    for line in code_of(text_of(page)):
        for said in re.findall(r"\bborderflow ([a-z-]+(?: [^#|;&]*)?)", line):
            tokens = said.split()
            if tokens[0] not in GROUPS:
                assert line != f"borderflow {said}", line
                continue
            found, rest = commands(tokens)
            if found.default_command is None:
                assert not rest or not re.fullmatch(r"-*[a-z][a-z-]*", rest[0]), f"{line}: no such command"
                continue
            known = {name for one in found.assemble_argument_collection() for name in one.names}
            options = {word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)}
            assert options <= known | {"--help"}, line
