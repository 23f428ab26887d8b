"""Files of criteria and risk information: what is refused, and that the refusal names the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.knowledge import CriterionPublished
from streams.commands import CommandRefusedError
from streams.commands.criteria import check, criteria
from streams.commands.risk_info import entries

GOOD = """
criterion_id: CR-1
version: 2
title: Phones that weigh nothing
streams: [express-cargo]
condition: hs4 == "8517" and gross_mass_kg < 0.05
action: boost
weight: 1.5
valid_from: 2026-03-01
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "criteria.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_criterion_is_read_from_yaml(tmp_path: Path) -> None:
    (event,) = criteria.read_file(written(tmp_path, GOOD))
    assert (event.criterion_id, event.version) == ("CR-1", 2)
    assert event.valid_from.isoformat() == "2026-03-01T00:00:00+00:00"


def test_several_documents_and_lists_are_read(tmp_path: Path) -> None:
    second = GOOD.replace("CR-1", "CR-2").strip().replace("\n", "\n  ")
    text = GOOD + "---\n- " + second + "\n"
    assert [event.criterion_id for event in criteria.read_file(written(tmp_path, text))] == ["CR-1", "CR-2"]


@pytest.mark.parametrize(("page", "many"), [("criteria", 1), ("risk-information", 3)])
def test_the_example_of_the_page_can_be_published(page: str, many: int, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / f"{page}.md").read_text(encoding="utf-8")
    example = written(tmp_path, text.split("```yaml\n")[1].split("```")[0])
    assert len(criteria.read_file(example) if page == "criteria" else entries.read_file(example)) == many


def test_without_a_date_a_criterion_is_valid_from_now(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("valid_from: 2026-03-01", ""))
    (event,) = criteria.read_file(path, now_s=1_780_000_000)
    assert event.valid_from.timestamp() == 1_780_000_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("weight:", "wieght:"), "unknown field 'wieght'; did you mean 'weight'?"),
        (("version: 2", "version: two"), "(CR-1): version: expected int, got str"),
        (("version: 2", "version: 0"), "(CR-1): version: "),
        (("version: 2", ""), "(CR-1): version: a required field is missing"),
        (("action: boost", "action: burst"), "(CR-1): action: "),
        (("weight: 1.5", ""), "(CR-1): a boost needs a weight other than 0"),
        (("hs4 ==", "hs44 =="), "line 1, column 1: unknown field 'hs44'; did you mean 'hs4'?"),
        (("0.05", '"heavy"'), "line 1, column 35: 'gross_mass_kg' is a number, found '\"heavy\"'"),
        (("hs4 ==", "embarkation =="), "line 1, column 1: unknown field 'embarkation' (stream express-cargo)"),
        (
            ("streams:", "title: |\n  Phones that weigh\n  next to nothing\nstreams:"),
            "(CR-1): title: a line break is in it",
        ),
        (("streams:", 'title: "bell \\a"\nstreams:'), "(CR-1): title: a control character is in it"),
        (("version: 2", "version: 010"), "(CR-1): version: expected int, got str"),
        (("version: 2", "version: 1:30"), "(CR-1): version: expected int, got str"),
        (("version: 2", "version: 9007199254740992"), "(CR-1): version: 9007199254740992 is above the last"),
        (("version: 2", "version: 99999999999999999999999"), "(CR-1): version: expected int, got str"),
        (("version: 2", "version: 2\ncategory: &a [*a]"), "(CR-1): category: it holds itself"),
        (("version: 2", 'version: 2\nauthor: "\\ud800"'), "(CR-1): author: half of a character"),
        (("CR-1", '"CR-\\ud800"'), "entry 1: criterion_id: half of a character"),
        (("2026-03-01", "yesterday"), "(CR-1): valid_from: expected a date and time as in RFC 3339"),
        (("2026-03-01", "2026-03-01\nvalid_until: 2026-02-01"), "valid_until is not after valid_from"),
    ],
)
def test_what_is_wrong_with_a_criterion_is_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(CommandRefusedError) as refused:
        criteria.read_file(written(tmp_path, GOOD.replace(*change)))
    assert said in str(refused.value)
    assert "criteria.yaml: entry 1" in str(refused.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "just words", "a: [", "---\n---\n", "[" * 5000, "&a [*a]"])
def test_a_file_with_no_criterion_in_it_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CommandRefusedError):
        criteria.read_file(written(tmp_path, text))


def test_one_criterion_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandRefusedError, match="stands in it twice"):
        criteria.read_file(written(tmp_path, GOOD + "---" + GOOD))


def test_a_version_must_rise(tmp_path: Path) -> None:
    events: list[CriterionPublished] = criteria.read_file(written(tmp_path, GOOD))
    criteria.refuse_old_versions(events, {})
    with pytest.raises(CommandRefusedError, match="CR-1: version: 2 is not above 2"):
        criteria.refuse_old_versions(events, {"CR-1": events[0]})


def test_a_file_can_be_checked_without_a_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(written(tmp_path, GOOD))
    assert "1 usable: CR-1" in capsys.readouterr().out


ENTRY = """
entry_id: WL-1
version: 1
kind: watchlist
streams: [express-cargo]
party_names: ["Bonbogi Trading"]
valid_from: 2026-03-01T00:00:00Z
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('party_names: ["Bonbogi Trading"]', ""), "it gives no target to look for"),
        (("Bonbogi Trading", "!!!"), "party_names[0]: has no letter or digit"),
        (("kind: watchlist", "kind: trusted-trader\nsimilarity: 0.9"), "similarity: trust is never extended"),
        (("version: 1", "version: 1\nheadings: [8517]"), "headings[0]: expected str, got int"),
    ],
)
def test_what_is_wrong_with_an_entry_is_named_without_naming_a_person(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(CommandRefusedError) as refused:
        entries.read_file(written(tmp_path, ENTRY.replace(*change)))
    assert said in str(refused.value)
    assert "Bonbogi" not in str(refused.value)


def test_a_heading_may_begin_with_a_zero(tmp_path: Path) -> None:
    (event,) = entries.read_file(written(tmp_path, ENTRY + "headings: [0101, 0809]\n"))
    assert event.headings == ("0101", "0809")


def test_an_entry_is_read_from_yaml(tmp_path: Path) -> None:
    (event,) = entries.read_file(written(tmp_path, ENTRY))
    assert event.entry_id == "WL-1"
