"""The public customs data, lodged as express cargo: every column in its field, the label nowhere."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from load.datasets.cdd import COLUMNS, DatasetError, Declarations, dataset_files
from schemas.lodgements import ExpressConsignmentLodged

FIRST = "11111111,2020-01-02,40,B,11,21,43,40,DECLAR1,IMPORT1,SELLER1,COUR1,940350,VN,CN,8.0,FCN1,G,9218.5,1477.4,1,2"
SECOND = "22222222,2020-01-01,20,D,87,21,11,90,DECLAR1,IMPORT2,,,620822,ZZ,CN,5.2,A,Y,20.7,5353.02,0,0"
THIRD = "33333333,2020-01-02,20,B,11,21,11,10,DECLAR2,IMPORT2,,,620822,CN,CN,0.0,A,E,1.0,0.0,1,1"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text("\n".join([",".join(COLUMNS), FIRST, SECOND]) + "\n")
    (tmp_path / "valid.csv").write_text("\n".join([",".join(COLUMNS), THIRD]) + "\n")
    return tmp_path


def test_declarations_are_lodged_in_date_order(directory: Path) -> None:
    declarations = Declarations(dataset_files(directory))
    lodged = list(declarations.lodgements())
    assert [one.key for one in lodged] == ["CDD22222222", "CDD11111111", "CDD33333333"]
    assert [one.lodged_at for one in lodged] == [
        datetime(2020, 1, 1, 12, tzinfo=UTC),
        datetime(2020, 1, 2, 6, tzinfo=UTC),
        datetime(2020, 1, 2, 18, tzinfo=UTC),
    ]
    assert declarations.offices == ("CDD-20", "CDD-40")


def test_every_column_but_the_labels_is_in_the_lodgement(directory: Path) -> None:
    lodged = list(Declarations(dataset_files(directory)).lodgements())[1]
    body = msgspec.json.decode(msgspec.json.encode(lodged.body))
    assert msgspec.convert(body, ExpressConsignmentLodged) == lodged.body
    assert body["waybill"] == "CDD11111111"
    assert body["control_point"] == "CDD-40"
    assert body["mode"] == "air"
    assert body["courier"] == "COUR1"
    assert body["declarant"]["identifier"] == "DECLAR1"
    assert body["consignee"]["identifier"] == "IMPORT1"
    assert body["seller"]["identifier"] == "SELLER1"
    assert body["departure"] == "VN"
    assert body["procedure"] == {
        "process_type": "B", "import_type": "11", "import_use": "21", "payment_type": "43",
    }  # fmt: skip
    line = body["goods"][0]
    assert (line["hs_code"], line["origin"], line["origin_marked"]) == ("940350", "CN", "G")
    assert (line["duty_rate_percent"], line["duty_regime"]) == (8.0, "FCN1")
    assert (line["net_mass_kg"], line["declared_value"]) == (9218.5, 1477.4)
    assert "fraud" not in msgspec.json.encode(lodged.body).decode().lower()


def test_an_unstated_seller_or_courier_is_marked(directory: Path) -> None:
    body = next(Declarations(dataset_files(directory)).lodgements()).body
    assert isinstance(body, ExpressConsignmentLodged)
    assert (body.courier, body.seller.name, body.seller.identifier, body.mode) == (
        "UNSTATED",
        "UNSTATED",
        None,
        "express",
    )


def test_the_label_is_known_to_the_truth_alone(directory: Path) -> None:
    declarations = Declarations(dataset_files(directory))
    assert not declarations.truth.knows("express-cargo/CDD11111111")
    assert len(list(declarations.lodgements())) == len(declarations.truth) == 3
    fate = declarations.truth.of("express-cargo", "CDD11111111")
    assert (fate.illicit, fate.probability, fate.category, fate.severity) == (True, 1.0, "critical-fraud", 3)
    assert declarations.truth.of("express-cargo", "CDD33333333").severity == 2
    assert not declarations.truth.of("express-cargo", "CDD22222222").illicit


def test_dates_can_be_shifted(directory: Path) -> None:
    shifted = Declarations(dataset_files(directory), shift=timedelta(days=1000))
    assert next(shifted.lodgements()).lodged_at == datetime(2020, 1, 1, 12, tzinfo=UTC) + timedelta(days=1000)


def test_a_file_that_is_not_of_the_data_set_is_refused_by_name(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no CSV file"):
        dataset_files(tmp_path / "nowhere")
    (directory / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match=r"train\.csv: column 'Declaration ID' is missing"):
        Declarations(dataset_files(directory))
    (directory / "train.csv").write_text("\n".join([",".join(COLUMNS), FIRST.replace("9218.5", "heavy")]))
    with pytest.raises(DatasetError, match=r"line 2: column 'Net Mass'") as refused:
        Declarations(dataset_files(directory))
    assert "heavy" not in str(refused.value)
    (directory / "train.csv").write_bytes(",".join(COLUMNS).encode() + b"\n\xff\xfe")
    with pytest.raises(DatasetError, match=r"train\.csv: cannot be read as CSV in UTF-8"):
        Declarations(dataset_files(directory))
    for part in ("train.csv", "valid.csv"):
        (directory / part).write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(DatasetError, match="no declaration"):
        Declarations(dataset_files(directory))


@pytest.mark.skipif("BORDERFLOW_CDD" not in os.environ, reason="BORDERFLOW_CDD names no copy of the data set")
def test_the_data_set_itself_can_be_lodged_whole() -> None:
    declarations = Declarations(dataset_files(Path(os.environ["BORDERFLOW_CDD"])))
    decoder = msgspec.json.Decoder(ExpressConsignmentLodged)
    for lodged in declarations.lodgements():
        decoder.decode(msgspec.json.encode(lodged.body))
    assert len(declarations.truth) == len(declarations) > 40_000
    assert 0.2 < sum(fate.illicit for fate in declarations.truth) / len(declarations) < 0.24
