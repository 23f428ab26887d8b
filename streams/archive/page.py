"""`docs/archive.md`: written from the layout and the columns (`python -m streams.archive.page`); a test compares.

What is no table of columns is `head.md` beside this module.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

import pyarrow as pa

from schemas.registry import declarations
from streams.archive.envelope import ENVELOPE, RAW_ONLY, Column
from streams.archive.questions import NAMED
from streams.archive.rows import holds_personal_data
from streams.archive.topic_columns import COLUMNS, DEAD_LETTER
from streams.archive.views import JOINS, view_name

PATH: Final = Path("docs/archive.md")

_QUESTIONS: Final = """\
## Questions by name

`borderflow query --named NAME --since 7d --until 2026-03-09 --format table|csv|parquet|json [--output FILE]`

| name | what it answers |
|---|---|
"""


def archive_page() -> str:
    """The text of the page."""
    lines = [_row(name, kind, f"{meaning}{' (raw views only)' if name in RAW_ONLY else ''}")
             for name, kind, meaning in ENVELOPE]  # fmt: skip
    head = files("streams.archive").joinpath("head.md").read_text(encoding="utf-8")
    text = head + "\n".join(lines) + "\n"
    for topic in declarations():
        sealed = "sealed" if holds_personal_data(topic) else "not sealed: no personal data"
        text += f"\n### {view_name(topic)}\n\n{declarations()[topic].description} Records are {sealed}.\n\n"
        text += _table(COLUMNS[topic])
    text += "\n### `<topic>_dlq`\n\nDead letters of each topic, e.g. `express_cargo_dlq`. Sealed as their topic is.\n\n"
    text += _table(DEAD_LETTER)
    for name, (_, meaning) in JOINS.items():
        text += f"\n### {name}\n\nA join: {meaning}.\n"
    return text + "\n" + _QUESTIONS + "\n".join(f"| {name} | {one.meaning} |" for name, one in NAMED.items()) + "\n"


def _table(columns: tuple[Column, ...]) -> str:
    rows = "\n".join(_row(one.name, one.type, one.meaning) for one in columns)
    return f"| column | type | what it is |\n|---|---|---|\n{rows}\n"


def _row(name: str, kind: pa.DataType, meaning: str) -> str:
    return f"| {name} | {_named(kind)} | {meaning} |"


def _named(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_named(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "(" + ", ".join(f"{one.name} {_named(one.type)}" for one in kind) + ")"
    names = {"int64": "integer", "int32": "integer", "double": "number", "string": "text", "bool": "true or false"}
    return "time" if pa.types.is_timestamp(kind) else names.get(str(kind), "bytes")


if __name__ == "__main__":
    PATH.write_text(archive_page(), encoding="utf-8")
