"""`borderflow schemas`: the committed files are what the types say, and the check tells when they are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from streams.cli import main
from streams.commands.schemas import findings, generated_files, package_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the schemas folder that a test may damage."""
    copied = tmp_path / "schemas"
    shutil.copytree(package_folder(), copied, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    for path, text in generated_files().items():
        (copied / path).write_text(text)
    return copied


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["schemas", *argv])
    code = ended.value.code
    assert isinstance(code, int)
    shown = capsys.readouterr()
    return code, shown.out + shown.err


def test_committed_schemas_and_asyncapi_are_up_to_date() -> None:
    assert findings(package_folder()) == []


def test_check_is_content_with_what_is_committed(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, "check")
    assert code == 0
    assert "all committed versions can be read" in shown


def test_two_versions_are_compared_in_both_directions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other version knows a mode of transport that this one lacks, lacks one that this one knows, and a topic."""
    assert run(capsys, "compare", str(folder)) == (0, "each version reads what the other one writes to 13 topics\n")
    committed = folder / "json/manifests.v1.schema.json"
    schema = json.loads(committed.read_text())
    modes = schema["$defs"]["Conveyance"]["properties"]["mode"]["enum"]
    modes[modes.index("air")] = "rocket"
    committed.write_text(json.dumps(schema))
    (folder / "json/casework.v1.schema.json").unlink()
    code, shown = run(capsys, "compare", str(folder))
    assert code == 1
    assert [line.split() for line in shown.splitlines() if "rocket" in line or "air" in line or "casework" in line] == [
        ["casework", "(record)", "the", "other", "version", "it", "has", "no", "version", "1", "of", "the", "topic"],
        ["manifests", "conveyance.mode", "the", "other", "version", "no", "longer", "allowed:", "air"],
        ["manifests", "conveyance.mode", "this", "version", "no", "longer", "allowed:", "rocket"],
    ]
    code, shown = run(capsys, "compare", str(folder / "json"))
    assert (code, "is no schemas folder" in shown) == (2, True)


def test_check_names_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, "check", "--folder", str(tmp_path / "nowhere"))
    assert (code, "--folder: there is no folder" in shown) == (2, True)


def test_check_names_the_topic_version_field_and_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed = folder / "json/manifests.v1.schema.json"
    schema = json.loads(committed.read_text())
    schema["$defs"]["Conveyance"]["properties"]["mode"]["enum"].append("rocket")
    committed.write_text(json.dumps(schema))
    code, shown = run(capsys, "check", "--folder", str(folder))
    assert code == 1
    line = next(line for line in shown.splitlines() if "conveyance.mode" in line)
    assert line.split(maxsplit=3)[:3] == ["manifests", "1", "conveyance.mode"]
    assert line.rstrip().endswith("no longer allowed: rocket")
    assert "out of date" in shown


def test_check_misses_a_deleted_schema_and_a_stale_asyncapi(folder: Path) -> None:
    (folder / "json/alerts.v1.schema.json").unlink()
    (folder / "asyncapi.yaml").write_text("asyncapi: 3.0.0\n")
    said = {(one.path, one.why.split(";")[0]) for one in findings(folder)}
    assert said == {("json/alerts.v1.schema.json", "not committed"), ("asyncapi.yaml", "out of date")}


def test_check_reads_every_example(folder: Path) -> None:
    example = folder / "examples/passengers/v1/minimal.json"
    fields = json.loads(example.read_text())
    example.write_text(json.dumps({**fields, "nationality": "Japan"}))
    shutil.rmtree(folder / "examples/decisions")
    found = {(one.topic, one.path, one.why.split(":")[0]) for one in findings(folder)}
    assert found == {
        ("passengers", "nationality", "example minimal.json"),
        ("decisions", "", "the version has no examples"),
    }
    assert "Japan" not in str(findings(folder))


def test_generate_writes_what_is_missing_and_then_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "json/alerts.v1.schema.json").unlink()
    assert run(capsys, "generate", "--folder", str(folder)) == (0, "wrote json/alerts.v1.schema.json\n")
    assert run(capsys, "generate", "--folder", str(folder)) == (0, "")
    assert findings(folder) == []


def test_generate_does_not_write_over_what_could_not_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed = folder / "json/criteria.v1.schema.json"
    schema = json.loads(committed.read_text())
    schema["$defs"]["CriterionPublished"]["required"].remove("title")
    committed.write_text(json.dumps(schema))
    before = committed.read_text()
    code, shown = run(capsys, "generate", "--folder", str(folder))
    assert code == 1
    assert "refused" in shown
    assert committed.read_text() == before
    assert run(capsys, "generate", "--breaking", "--folder", str(folder))[0] == 0
    assert findings(folder) == []


def test_list_and_personal_show_topics_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, "list")
    assert code == 0
    assert "express-cargo" in shown
    assert "for ever, compacted" in shown
    code, shown = run(capsys, "personal", "passengers")
    assert code == 0
    assert "document.number" in shown
    assert "consignee" not in shown
    code, shown = run(capsys, "personal", "no-such-topic")
    assert code == 2
    assert "no such topic" in shown
