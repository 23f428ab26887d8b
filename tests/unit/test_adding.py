"""What is decided by a sum is decided alike on every version of Python: `sum` of ten tenths is 1.0 from 3.12 on."""

from __future__ import annotations

from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from agents.adding import added
from agents.risk.codelists import USD_PER_UNIT
from agents.risk.goods import goods_facts
from schemas.lodgements import GoodsLine

TENTHS = 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1


@given(st.lists(st.floats(-1e9, 1e9)))
def test_amounts_are_added_one_after_the_other(amounts: list[float]) -> None:
    assert added(amounts) == reduce(add, amounts, 0.0)


def test_ten_tenths_of_a_kilogram_are_less_than_one() -> None:
    line = GoodsLine(
        hs_code="851712", description="telephones", packages=1, gross_mass_kg=0.1, net_mass_kg=0.1,
        declared_value=0.1, currency="USD", origin="CN",
    )  # fmt: skip
    facts = goods_facts([line] * 10, USD_PER_UNIT, [])
    assert TENTHS < 1.0
    assert (facts.gross_mass_kg, facts.net_mass_kg, facts.value_usd) == (TENTHS, TENTHS, TENTHS)
