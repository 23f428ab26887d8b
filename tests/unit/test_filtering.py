"""Filtering: windows, criteria, caps, duplicates, what is cleared, and the same after a rebuild."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agents.filtering import Filtering
from agents.risk.criteria import CriteriaBook
from agents.risk.policy import read_policy
from agents.step import Arrival
from schemas.codec import codec_for
from schemas.items import ItemFiltered

POLICY = read_policy(yaml.safe_load(Path("streams/policies/default.yaml").read_text()))
EXAMPLES = sorted(Path("schemas/examples/screened").rglob("*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_of_a_screened_item_is_filtered(path: Path) -> None:
    filtering = Filtering(POLICY, CriteriaBook())
    item = codec_for("screened").decode(path.read_bytes())
    at_ms = int(item.lodged_at.timestamp() * 1000)
    outcome = filtering.decide(filtering.begin(1, 5), [Arrival(item, "screened", 1, 5, at_ms, at_ms)])
    assert not outcome.refusals
    (output,) = outcome.outputs
    assert isinstance(output.event, ItemFiltered)
    assert output.event.item == item
    assert output.key == item.control_point
    assert output.event.upstream.offset == 5
