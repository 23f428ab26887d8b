"""Files of criteria and risk information: what is refused, and that the refusal names the place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents.epoch import epoch_ms
from agents.risk.risk_information import Party, RiskInformationBook, Sighting
from schemas.knowledge import CriterionPublished
from streams.commands import CommandRefusedError
from streams.commands.criteria import check, criteria
from streams.commands.risk_info import check as check_entries
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


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
UNDATED = GOOD.replace("valid_from: 2026-03-01", "")


def test_without_a_date_a_new_criterion_covers_what_waits_to_be_decided(tmp_path: Path) -> None:
    path = written(tmp_path, UNDATED)
    (event,) = criteria.read_file(path, now_s=NOON.timestamp())
    assert event.valid_from == NOON - timedelta(days=1)
    assert criteria.to_publish(path, dict, now_s=NOON.timestamp()) == [event]


@pytest.mark.parametrize("since", [NOON - timedelta(days=900), NOON + timedelta(days=1)])
def test_without_a_date_a_version_keeps_that_of_the_one_it_replaces(tmp_path: Path, since: datetime) -> None:
    (event,) = criteria.read_file(written(tmp_path, UNDATED))
    held = replace(event, version=1, valid_from=since)
    (following,) = criteria.to_publish(tmp_path / "criteria.yaml", lambda: {"CR-1": held}, now_s=NOON.timestamp())
    assert (following.version, following.valid_from) == (2, since)


@pytest.mark.parametrize("ended", [{"withdrawn": True}, {"valid_until": NOON}])
def test_what_follows_on_an_ended_criterion_begins_anew(tmp_path: Path, ended: dict[str, object]) -> None:
    (event,) = criteria.read_file(written(tmp_path, UNDATED))
    held = replace(event, version=1, valid_from=NOON - timedelta(days=900), **ended)
    (following,) = criteria.to_publish(tmp_path / "criteria.yaml", lambda: {"CR-1": held}, now_s=NOON.timestamp())
    assert following.valid_from == NOON - timedelta(days=1)


def test_a_version_that_would_leave_a_gap_is_refused_unless_it_is_wanted(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("2026-03-01", "2026-03-03"))
    (event,) = criteria.read_file(path)
    held = {"CR-1": replace(event, version=1, valid_from=NOON - timedelta(days=900))}
    with pytest.raises(
        CommandRefusedError, match="CR-1: valid_from: version 1 is in force, and ends when 2 is published"
    ):
        criteria.to_publish(path, lambda: held, now_s=NOON.timestamp())
    assert criteria.to_publish(path, lambda: held, leave_gap=True, now_s=NOON.timestamp()) == [event]
    for no_gap in ({"valid_from": NOON + timedelta(hours=1)}, {"valid_until": NOON}, {"withdrawn": True}):
        ended = {"CR-1": replace(held["CR-1"], **no_gap)}
        assert criteria.to_publish(path, ended.copy, now_s=NOON.timestamp()) == [event]


def test_a_change_of_a_watchlist_entry_leaves_nobody_out_who_waits(tmp_path: Path) -> None:
    text = "entry_id: W1\nversion: 1\nkind: watchlist\nstreams: [passengers]\nparty_names: [KIM CHOLSU]\n"
    (first,) = entries.read_file(written(tmp_path, text + "valid_from: 2020-01-01\n"))
    changed = written(tmp_path, text.replace("version: 1", "version: 2\ncategory: narcotics"))
    (second,) = entries.to_publish(changed, lambda: {"W1": first}, now_s=NOON.timestamp())
    book = RiskInformationBook()
    for offset, one in enumerate((first, second)):
        book.fold(offset, "W1", one)
    lodged_before = Sighting("passengers", epoch_ms(NOON) - 600_000, (("traveller", Party(("cholsu kim",))),))
    assert [hit.version for hit in book.match(lodged_before)] == [2]


def test_a_day_as_the_end_is_a_whole_day(tmp_path: Path) -> None:
    (event,) = criteria.read_file(written(tmp_path, GOOD + "valid_until: 2026-12-31\n"))
    assert event.valid_until == datetime(2027, 1, 1, tzinfo=UTC)
    (event,) = criteria.read_file(written(tmp_path, GOOD + "valid_until: 2026-03-01\n"))
    assert event.valid_until == datetime(2026, 3, 2, tzinfo=UTC)
    criteria.read_file(written(tmp_path, GOOD + "valid_until: 9999-12-31\n"))
    with pytest.raises(CommandRefusedError, match="valid_until: "):
        criteria.read_file(written(tmp_path, GOOD + "valid_until: 2026-02-30\n"))


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
            ("title: Phones that weigh nothing", "title: |\n  Phones that weigh\n  next to nothing"),
            "(CR-1): title: a line break is in it",
        ),
        (
            ("title: Phones that weigh nothing", 'title: "bell \\a"'),
            "(CR-1): title: a control character is in it",
        ),
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


def test_a_key_twice_in_an_entry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandRefusedError, match="line 11: `cap` stands there a second time"):
        criteria.read_file(written(tmp_path, GOOD + "cap: 0.5\ncap: 0.001\n"))
    with pytest.raises(CommandRefusedError, match="a key stands twice in one entry"):
        criteria.read_file(written(tmp_path, '{"criterion_id": "CR-1", "cap": 0.5, "cap": 0.001}'))


def test_json_is_read_as_yaml_is(tmp_path: Path) -> None:
    (event,) = criteria.read_file(written(tmp_path, GOOD))
    sent = {
        "criterion_id": "CR-1", "version": 2, "title": event.title, "streams": ["express-cargo"],
        "condition": event.condition, "action": "boost", "weight": 1.5, "valid_from": "2026-03-01",
    }  # fmt: skip
    assert criteria.read_file(written(tmp_path, json.dumps([sent]))) == [event]
    flow = json.dumps(sent).replace('"CR-1"', "CR-1")  # YAML, and no JSON
    assert criteria.read_file(written(tmp_path, flow)) == [event]


def test_one_criterion_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandRefusedError, match="stands in it twice"):
        criteria.read_file(written(tmp_path, GOOD + "---" + GOOD))


def test_a_version_must_rise(tmp_path: Path) -> None:
    events: list[CriterionPublished] = criteria.read_file(written(tmp_path, GOOD))
    criteria.refuse_old_versions(events, {})
    with pytest.raises(CommandRefusedError, match="CR-1: version: 2 is not above 2"):
        criteria.refuse_old_versions(events, {"CR-1": events[0]})


def test_an_id_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("[/x]", "CR[red]7"):
        check(written(tmp_path, GOOD.replace("CR-1", f"'{name}'")))
        check_entries(written(tmp_path, ENTRY.replace("WL-1", f"'{name}'")))
        assert capsys.readouterr().out.count(f"1 usable: {name}") == 2


def test_a_file_can_be_checked_without_a_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(written(tmp_path, GOOD))
    assert capsys.readouterr().out == "1 usable: CR-1\n"


def test_who_checks_a_file_is_told_what_never_occurs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(written(tmp_path, GOOD + "cap: 0\n"))
    assert capsys.readouterr().out == "CR-1: cap is 0: it never acts\n1 usable: CR-1\n"


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ('["Bonbogi Trading"]', '["Bonbogi Trading", "PARK "YONGHO", M12345678"]'),
            "line 6, column 41: expected ',' or ']'",
        ),
        (('["Bonbogi Trading"]', "[*Bonbogi]"), "line 6, column 15: found undefined alias"),
        (('["Bonbogi Trading"]', "[!Bonbogi Trading]"), "line 6, column 15: could not determine a constructor"),
        (('["Bonbogi Trading"]', "[!!int Bonbogi]"), "line 6, column 15: there is no such date, time or number"),
        (('["Bonbogi Trading"]', "{Bonbogi: 1, Bonbogi: 2}"), "line 6: a key stands there a second time"),
        (("Bonbogi Trading", "Bonbogi\x07"), "is not allowed in YAML"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_place_and_names_nobody(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(CommandRefusedError) as refused:
        entries.read_file(written(tmp_path, ENTRY.replace(*change)))
    assert said in str(refused.value)
    assert not any(name in str(refused.value) for name in ("Bonbogi", "YONGHO", "M12345678", "\n"))


def test_a_heading_may_begin_with_a_zero(tmp_path: Path) -> None:
    (event,) = entries.read_file(written(tmp_path, ENTRY + "headings: [0101, 0809]\n"))
    assert event.headings == ("0101", "0809")


def test_an_entry_is_read_from_yaml(tmp_path: Path) -> None:
    (event,) = entries.read_file(written(tmp_path, ENTRY))
    assert event.entry_id == "WL-1"
