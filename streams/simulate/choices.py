"""What candidates chose, one row an item, in Parquet files: a history of any length in bounded memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from agents.epoch import epoch_ms
from schemas.decisions import SelectionDecided

SCHEMA: Final = pa.schema([
    ("decision_id", pa.string()), ("control_point", pa.string()), ("stream", pa.string()),
    ("lodged_at", pa.timestamp("ms", tz="UTC")), ("selected", pa.bool_()), ("certain", pa.bool_()),
    ("chance", pa.float64()), ("layer", pa.string()), ("lane", pa.string()), ("score", pa.float64()),
    ("audited", pa.bool_()), ("policy_version", pa.string()),
])  # fmt: skip
_ROWS: Final = 50_000


class ChoiceFiles:
    """One folder, one run of files for each candidate. A file is there when it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._files: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, candidate: str, decision: SelectionDecided) -> None:
        """Take one decision of a candidate."""
        layer = decision.layer
        rows = self._rows.setdefault(candidate, [])
        rows.append((
            decision.decision_id, decision.control_point, decision.stream, epoch_ms(decision.lodged_at),
            decision.selected, layer is not None and layer != "exploration", decision.exploration_rate, layer,
            decision.lane, decision.score, "exploration" in decision.layers, decision.policy_version,
        ))  # fmt: skip
        if len(rows) >= _ROWS:
            self.flush(candidate)

    def flush(self, candidate: str) -> None:
        """Write what waits."""
        rows = self._rows.pop(candidate, [])
        if not rows:
            return
        number = self._files.get(candidate)
        if number is None:
            number = max(_numbered(self._folder, candidate), default=-1) + 1
        self._files[candidate] = number + 1
        columns = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
        target = self._folder / f"{file_name(candidate)}-{number:05d}.parquet"
        temporary = target.with_suffix(".writing")
        pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), temporary, compression="zstd")
        temporary.replace(target)

    def close(self) -> None:
        """Write what waits of all candidates."""
        for candidate in list(self._rows):
            self.flush(candidate)


def file_name(candidate: str) -> str:
    """A candidate's name as part of a file's."""
    return "".join(one if one.isalnum() or one in "-_=." else "_" for one in candidate)


def files_of(folder: Path, candidate: str) -> list[str]:
    """The files of a candidate, in order."""
    return [str(file) for _, file in sorted(_numbered(folder, candidate).items())]


def _numbered(folder: Path, candidate: str) -> dict[int, Path]:
    """The files by number: a shadow that follows for more than a month writes more than five digits have names for."""
    like = re.compile(rf"{re.escape(file_name(candidate))}-([0-9]{{5,}})\.parquet")
    return {int(named[1]): file for file in folder.iterdir() if (named := like.fullmatch(file.name))}
