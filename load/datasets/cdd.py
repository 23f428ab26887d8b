"""The Customs Declaration Dataset (Jeong et al. 2022, arXiv:2208.02484; MIT): 54,000 synthetic import declarations.

https://github.com/Seondong/Customs-Declaration-Datasets. Each row becomes one express-cargo lodgement of one goods
line, in date order, at control point `CDD-<office>`; every column but the labels has its field. The labels stay in
the `Truth`. What the data set does not say is left out or marked: its item price has no currency and is taken as US
dollars (only ratios matter), gross mass is set to net mass, and a day's rows are spread evenly over the day.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path

from load.desk import Lodged
from load.truth import Fate, Truth
from schemas.lodgements import ExpressConsignmentLodged, GoodsLine, Party, Procedure, TransportMode

TOPIC = "express-cargo"
COLUMNS = (
    "Declaration ID", "Date", "Office ID", "Process Type", "Import Type", "Import Use", "Payment Type",
    "Mode of Transport", "Declarant ID", "Importer ID", "Seller ID", "Courier ID", "HS6 Code",
    "Country of Departure", "Country of Origin", "Tax Rate", "Tax Type", "Country of Origin Indicator", "Net Mass",
    "Item Price", "Fraud", "Critical Fraud",
)  # fmt: skip
MODES: dict[str, TransportMode] = {
    "10": "sea", "20": "rail", "30": "road", "40": "air", "50": "post", "90": "express",
}  # fmt: skip
"""UN/ECE Recommendation 19 by its first digit; 90 (mode not known) takes the one word that is left."""
UNSTATED = "UNSTATED"
"""Stands for an empty seller or courier: 10% and 82% of the rows."""


class DatasetError(ValueError):
    """A file is not a part of the data set; names the file, the line and the column, never a value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One declaration as the file has it, with the labels apart."""

    day: date
    values: dict[str, str]
    fraud: bool
    critical: bool


def dataset_files(path: Path) -> list[Path]:
    """The CSV files of the data set at `path`, a file or a directory. Raises `DatasetError` when there is none."""
    found = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        raise DatasetError(f"{path}: no CSV file of the Customs Declaration Dataset there")
    return found


def read_rows(files: Sequence[Path]) -> list[Row]:
    """All rows in date order; rows of one day stay in the order of the files. Raises `DatasetError`."""
    rows: list[Row] = []
    for path in files:
        try:
            with path.open(newline="", encoding="utf-8") as lines:
                reader = csv.DictReader(lines)
                if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
                    raise DatasetError(f"{path}: column {missing[0]!r} is missing")
                rows += [_row(path, reader.line_num, values) for values in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(f"{path}: cannot be read as CSV in UTF-8: {error}") from None
    if not rows:
        raise DatasetError(f"{files[0]}: no declaration is in it")
    rows.sort(key=lambda row: row.day)
    return rows


class Declarations:
    """The data set as lodgements, with the truth beside them.

    `shift` moves all dates, for brokers that delete records with old timestamps. `run` becomes part of each waybill,
    because brokers that keep records hold those of earlier runs too.
    """

    def __init__(self, files: Sequence[Path], shift: timedelta = timedelta(0), run: str = "") -> None:
        self.rows = read_rows(files)
        self.truth = Truth()
        self._shift = shift
        self._run = run
        self._parties: dict[str, Party] = {}

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def offices(self) -> tuple[str, ...]:
        """The control points of the data set."""
        return tuple(sorted({control_point(row) for row in self.rows}))

    def lodgements(self) -> Iterator[Lodged]:
        """One lodgement a row, in event-time order; the row's label is in `truth` from then on."""
        for day, rows in groupby(self.rows, key=lambda row: row.day):
            of_day = list(rows)
            midnight = datetime.combine(day, time(), UTC) + self._shift
            for place, row in enumerate(of_day):
                yield self._lodge(row, midnight + timedelta(days=1) * ((place + 0.5) / len(of_day)))

    def _lodge(self, row: Row, lodged_at: datetime) -> Lodged:
        values = row.values
        waybill = f"CDD{self._run}{values['Declaration ID']}"
        lodged_at = lodged_at.replace(microsecond=lodged_at.microsecond // 1000 * 1000)
        net_mass = float(values["Net Mass"])
        goods = GoodsLine(
            hs_code=values["HS6 Code"],
            gross_mass_kg=net_mass,
            net_mass_kg=net_mass,
            declared_value=float(values["Item Price"]),
            currency="USD",
            origin=values["Country of Origin"],
            origin_marked=values["Country of Origin Indicator"],
            duty_rate_percent=float(values["Tax Rate"]),
            duty_regime=values["Tax Type"],
        )
        declaration = ExpressConsignmentLodged(
            waybill=waybill,
            lodged_at=lodged_at,
            control_point=control_point(row),
            courier=values["Courier ID"] or UNSTATED,
            mode=MODES[values["Mode of Transport"]],
            seller=self._party(values["Seller ID"]),
            consignee=self._party(values["Importer ID"]),
            declarant=self._party(values["Declarant ID"]),
            departure=values["Country of Departure"],
            eta=lodged_at + timedelta(hours=6),
            goods=(goods,),
            procedure=Procedure(
                process_type=values["Process Type"],
                import_type=values["Import Type"],
                import_use=values["Import Use"],
                payment_type=values["Payment Type"],
            ),
        )
        fate = Fate(
            f"{TOPIC}/{waybill}",
            "express-cargo",
            declaration.control_point,
            lodged_at,
            1.0 if row.fraud else 0.0,
            row.fraud,
            category=("critical-fraud" if row.critical else "fraud") if row.fraud else None,
            severity=(3 if row.critical else 2) if row.fraud else 0,
        )
        self.truth.add(TOPIC, waybill, (fate,))
        return Lodged(lodged_at, TOPIC, waybill, declaration)

    def _party(self, identifier: str) -> Party:
        party = self._parties.get(identifier)
        if party is None:
            party = Party(name=identifier, identifier=identifier) if identifier else Party(name=UNSTATED)
            self._parties[identifier] = party
        return party


def control_point(row: Row) -> str:
    """`CDD-<office>`."""
    return f"CDD-{row.values['Office ID']}"


def _row(path: Path, line: int, values: dict[str, str]) -> Row:
    column = "Date"
    try:
        day = date.fromisoformat(values["Date"])
        for column in ("Net Mass", "Item Price", "Tax Rate"):
            float(values[column])
        column = "Mode of Transport"
        MODES[values[column]]
        for column in ("Fraud", "Critical Fraud"):
            int(values[column])
    except (ValueError, KeyError, TypeError):
        raise DatasetError(f"{path}: line {line}: column {column!r} cannot be read") from None
    return Row(day, values, values["Fraud"] == "1", values["Critical Fraud"] == "2")
