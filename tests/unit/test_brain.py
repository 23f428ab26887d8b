"""The brain: a fold that every worker repeats, whose decider changes by events only and can be taken back exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.risk.brain import Brain
from agents.risk.challengers import CHAMPION, FORGETFUL, GROVE, WARM, Forgetful, Grove
from agents.risk.champion import Learning
from agents.risk.features import EVIDENCE, EXACT, PATROL_LOOK, RATE, TIMES, describe
from agents.risk.profiles import Profiles
from agents.risk.quarantine import Quarantine
from agents.risk.reasons import REMAINDER
from agents.risk.usual import UsualValue
from schemas.inspections import ModelFrozen, ModelPromoted, ModelRolledBack, OutcomeLearned
from schemas.items import (
    CargoFacts,
    GoodsFacts,
    ItemFiltered,
    ItemScreened,
    Monitored,
    PriorRecord,
    Stream,
    TravellerFacts,
)
from schemas.marks import Origin, Upstream

NOW = datetime(2026, 3, 1, tzinfo=UTC)
UPSTREAM = Upstream(topic="screened", partition=0, offset=0)


def parcel(number: int = 0, heading: str = "851712", **goods: Any) -> ItemFiltered:
    facts: dict[str, Any] = {
        "hs6": heading,
        "gross_mass_kg": 2.0,
        "net_mass_kg": 1.5,
        "value_usd": 90.0,
        "origin": "CN",
        **goods,
    }
    cargo = CargoFacts(
        bill=f"B{number}",
        consignee=f"c:{number % 40}",
        shipper=f"c:s{number % 7}",
        consignee_name="A",
        shipper_name="B",
        carrier="HANJET",
        mode="express",
        departure="CN",
        goods=GoodsFacts(**facts),
    )
    return filtered(number, "express-cargo", "KRICN-EXP", cargo=cargo)


def traveller(number: int = 0, nationality: str = "KR", birth_year: int = 1980) -> ItemFiltered:
    facts = TravellerFacts(
        document=f"t:{number}",
        name="A",
        document_issuer="KR",
        document_kind="passport",
        nationality=nationality,
        birth_year=birth_year,
        carrier="QK",
        mode="air",
        journey="QK1",
        embarkation="THBKK",
        disembarkation="KRICN",
        agency="AG001",
        payment="cash",
    )
    return filtered(number, "passengers", "KRICN-T1", traveller=facts)


def filtered(number: int, stream: Stream, point: str, **facts: Any) -> ItemFiltered:
    screened = ItemScreened(
        item_id=f"{stream}/{number}",
        stream=stream,
        control_point=point,
        lodged_at=NOW,
        due_at=NOW,
        subject=f"c:{number % 40}",
        prior=PriorRecord(inspections=2, seizures=1),
        profile_version=0,
        risk_information_version=0,
        origin=Origin(topic=stream, partition=0, offset=number, lodgement_id="L", sent_ms=0),
        upstream=UPSTREAM,
        **facts,
    )
    seen = Monitored(
        arrivals_1h=1,
        arrivals_24h=3,
        value_24h_usd=9.0,
        shippers_24h=2,
        control_points_24h=1,
        first_seen_hours=30.0,
        below_threshold_24h=1,
    )
    return ItemFiltered(
        item=screened, monitored=seen, anomaly=0.5, auto_cleared=False, criteria_version=0, upstream=UPSTREAM
    )


def lesson(brain: Brain, item: ItemFiltered, label: int, **changes: Any) -> OutcomeLearned:
    appraisal = brain.appraise(item)
    told: dict[str, Any] = {
        "decision_id": f"d-{item.item.item_id}",
        "result_id": f"r-{item.item.item_id}",
        "stream": item.item.stream,
        "control_point": item.item.control_point,
        "subject": item.item.subject,
        "layer": "model",
        "lane": "red",
        "score": appraisal.score,
        "features": appraisal.features,
        "label": label,
        "outcome": "seizure" if label else "clear",
        "propensity": 1.0,
        "exploration_rate": 0.0,
        "model_version": appraisal.model_version,
        "lodged_at": NOW,
        "inspected_at": NOW + timedelta(hours=item.item.origin.offset),
        "upstream": UPSTREAM,
        **changes,
    }
    known = OutcomeLearned.__struct_fields__
    return OutcomeLearned(**{name: value for name, value in told.items() if name in known})


def taught(items: int = 120, **settings: Any) -> Brain:
    brain = Brain(Profiles(), **settings)
    for number in range(items):
        heading = "851712" if number % 3 else "240220"
        brain.fold(number, "k", lesson(brain, parcel(number, heading), int(heading == "240220")))
    return brain


@pytest.mark.parametrize("stream", ["express-cargo", "manifests", "passengers"])
@pytest.mark.parametrize("loading", [None, "CNSHA"])
def test_the_outcome_rate_of_every_level_goes_by_the_kind_of_its_category(stream: Stream, loading: str | None) -> None:
    item = traveller() if stream == "passengers" else parcel()
    screened = msgspec.structs.replace(item.item, stream=stream)
    if screened.cargo is not None:
        cargo = msgspec.structs.replace(screened.cargo, port_of_loading=loading)
        screened = msgspec.structs.replace(screened, cargo=cargo)
    described = describe(msgspec.structs.replace(item, item=screened))
    assert [RATE + level.partition("=")[0] for level in described.levels] == list(described.rate_names)
    kept = described.without_whole_declarations()
    assert [RATE + level.partition("=")[0] for level in kept.levels] == list(kept.rate_names)
    assert [level for level in described.levels if not level.startswith(EXACT)] == kept.levels


def test_what_was_found_before_is_ranked_above_what_was_clear() -> None:
    brain = taught()
    assert brain.appraise(parcel(500, "240220")).score > brain.appraise(parcel(500, "851712")).score + 0.3


def test_a_flow_that_surges_speaks_for_an_item_once_finds_were_made_in_surges() -> None:
    brain = Brain(Profiles())
    quiet, surge = {TIMES: 0.0, EVIDENCE: 0.0}, {TIMES: 2.0, EVIDENCE: 15.0}
    assert brain.appraise(parcel(1)).among(surge).log_odds == brain.appraise(parcel(1)).log_odds
    for number in range(120):
        appraised = brain.appraise(parcel(number)).among(quiet if number % 3 else surge)
        told = lesson(brain, parcel(number), int(number % 3 == 0), features=appraised.features)
        brain.fold(number, "k", told)
    appraised = brain.appraise(parcel(500))
    among = appraised.among(surge)
    assert among.score > appraised.among(quiet).score + 0.3
    assert among.log_odds == pytest.approx(brain.activation("express-cargo").model.log_odds(among.features))
    assert among.features[TIMES] == 2.0
    assert TIMES not in appraised.features
    assert appraised.among({}) is appraised


def test_what_looks_at_flows_find_is_learnt_for_all_cargo_and_never_for_travellers() -> None:
    brain = Brain(Profiles())
    first = brain.appraise(parcel(1)).look(5.0, 1.0, 1.0)
    of_travellers = brain.appraise(traveller(1)).look(5.0, 1.0, 1.0)
    for number in range(60):
        item = traveller(number) if number % 2 else parcel(number)
        looked = {**brain.appraise(item).features, PATROL_LOOK: 1.0}
        brain.fold(number, "k", lesson(brain, item, int(number % 4 < 2), features=looked))
    model, features = brain.activation("express-cargo").model, brain.appraise(parcel(1)).features
    assert model.log_odds({**features, PATROL_LOOK: 1.0}) == model.log_odds(features)
    manifest = filtered(1, "manifests", "KRPUS-SEA", cargo=parcel(1).item.cargo)
    assert brain.appraise(parcel(1)).look(5.0, 1.0, 1.0) > 2.0 * first
    assert brain.appraise(manifest).look(5.0, 1.0, 1.0) == brain.appraise(parcel(1)).look(5.0, 1.0, 1.0)
    assert brain.appraise(traveller(1)).look(5.0, 1.0, 1.0) == of_travellers


def one_flow_opened(score: float) -> tuple[Brain, ItemFiltered]:
    """After 200 lessons of one flow, every other one a find, and 200 clear ones of others; an item of that flow."""
    brain = Brain(Profiles())
    found = parcel(0, "240220")
    for number in range(400):
        item = found if number % 2 else parcel(number, f"85{number % 20:02d}12")
        brain.fold(number, "k", lesson(brain, item, int(number % 4 == 1), score=score, decision_id=f"d-{number}"))
    return brain, found


def test_a_score_counts_as_what_it_has_meant_where_nothing_was_found() -> None:
    brain, found = one_flow_opened(score=0.014)
    opened, other = brain.appraise(found), brain.appraise(parcel(900, "850112"))
    assert opened.opened
    assert opened.rank(0.0) == opened.log_odds
    assert not other.opened
    assert other.rank(1.0) < other.log_odds - 0.5
    assert other.rank(0.0) < other.rank(1.0)
    fresh = Brain(Profiles()).appraise(parcel(900, "850112"))
    assert fresh.rank(1.0) == pytest.approx(fresh.log_odds, abs=0.1)


def test_the_probability_of_a_score_is_that_of_items_whose_flows_stand_alike() -> None:
    brain, _ = one_flow_opened(score=0.2)
    mind = brain._minds["express-cargo"]
    where_found, elsewhere = mind.bands[True].probability(0.2), mind.bands[False].probability(0.2)
    assert where_found is not None
    assert elsewhere is not None
    assert where_found > 0.4
    assert elsewhere < 0.03


def test_what_a_traveller_competes_as_is_the_score() -> None:
    brain = Brain(Profiles())
    for number in range(300):
        brain.fold(number, "k", lesson(brain, traveller(number), 0, score=0.2, decision_id=f"d-{number}"))
    appraised = brain.appraise(traveller(900))
    assert appraised.rank(0.0) == appraised.log_odds


def test_two_workers_that_fold_the_same_log_score_bit_for_bit_the_same() -> None:
    one, other = taught(), taught()
    assert one.appraise(parcel(7)).log_odds == other.appraise(parcel(7)).log_odds
    assert msgspec.json.encode(one.appraise(parcel(7)).features) == msgspec.json.encode(
        other.appraise(parcel(7)).features
    )


def test_a_redelivered_lesson_teaches_nothing_twice() -> None:
    brain = Brain(Profiles())
    told = lesson(brain, parcel(1), 1)
    brain.fold(0, "k", told)
    before = brain.appraise(parcel(1)).log_odds
    brain.fold(0, "k", told)
    brain.fold(1, "k", told)
    assert brain.appraise(parcel(1)).log_odds == before
    assert brain.version == 2


def test_weights_of_the_reasons_sum_to_the_log_odds_and_the_last_is_the_remainder() -> None:
    brain = taught()
    for number in range(30):
        item = parcel(number, "240220", value_usd=10.0**number)
        appraisal = brain.appraise(item)
        reasons = brain.explain(item, appraisal)
        assert len(reasons) <= 5
        assert abs(sum(reason.weight for reason in reasons) - appraisal.log_odds) < 1e-9
        assert reasons[-1].code == REMAINDER
        assert all(reason.weight > 0 for reason in reasons[:-1])


def test_reasons_are_in_words_of_the_field() -> None:
    brain = taught()
    item = parcel(3, "240220")
    words = " ".join(reason.text for reason in brain.explain(item, brain.appraise(item), limit=12))
    assert "240220" in words
    assert "recent inspections" in words
    assert "rate:" not in words


def test_a_value_per_kg_far_from_its_heading_is_called_so() -> None:
    usual = UsualValue()
    for number in range(20):
        usual.note({"hs4=8517": 1.0, "log-value-per-kg": 5.0 + 0.1 * (number % 3)})
    assert usual.words("8517", 1.0) == "far below what is usual for heading 8517"
    assert usual.words("8517", 5.1) == "as is usual for heading 8517"
    assert usual.words("2402", 5.1) == ""


@settings(max_examples=60, deadline=None)
@given(
    mass=st.floats(0, 1e9),
    value=st.floats(0, allow_infinity=True),
    duty=st.none() | st.floats(0, 1e4),
    heading=st.text(max_size=8),
    label=st.integers(0, 1),
)
def test_no_item_makes_the_score_anything_but_a_number(
    mass: float, value: float, duty: float | None, heading: str, label: int
) -> None:
    brain = taught(6)
    item = parcel(900, heading, net_mass_kg=mass, value_usd=value, duty_rate_percent=duty)
    brain.fold(6, "k", lesson(brain, item, label))
    score = brain.appraise(item).score
    assert 0.0 <= score <= 1.0
    assert all(abs(value) < 1e6 for value in brain.appraise(item).features.values())


def test_an_absurd_lesson_does_not_break_the_models() -> None:
    brain = taught(20)
    brain.fold(20, "k", lesson(brain, parcel(1), 1, features={"log-mass": 1e300, "hs6=851712": float("inf")}))
    assert 0.0 <= brain.appraise(parcel(2)).score <= 1.0


def test_no_model_sees_the_checks_that_tell_where_a_traveller_comes_from() -> None:
    plain = traveller()
    checked = msgspec.structs.replace(
        plain,
        item=msgspec.structs.replace(
            plain.item, quality=("issuer-not-a-country", "birth-date-incomplete", "document-expired")
        ),
    )
    seen = set(describe(checked).attributes) - set(describe(plain).attributes)
    assert seen == {"quality=document-expired"}


def test_neither_nationality_nor_birth_year_of_a_traveller_moves_the_score() -> None:
    brain = taught()
    one, other = brain.appraise(traveller(1, "KR", 1950)), brain.appraise(traveller(1, "CO", 2005))
    assert one.features == other.features
    assert not any("nationality" in name or "birth" in name for name in one.features)


def test_travellers_are_scored_by_promoted_models_only() -> None:
    brain = Brain(Profiles())
    blank = brain.appraise(traveller(1)).log_odds
    for number in range(30):
        brain.fold(number, "k", lesson(brain, traveller(number), number % 2))
    assert brain.appraise(traveller(1)).log_odds == blank
    brain.fold(30, "k", ModelPromoted(stream="passengers", model=CHAMPION, by="analyst", at=NOW))
    promoted = brain.appraise(traveller(1)).log_odds
    assert promoted != blank
    assert brain.appraise(traveller(1)).learnt == 30
    for number in range(31, 40):
        brain.fold(number, "k", lesson(brain, traveller(number), 1))
    assert brain.appraise(traveller(1)).log_odds == promoted


def test_a_rolled_back_model_scores_bit_for_bit_as_before() -> None:
    brain = taught(60)
    brain.fold(60, "k", ModelPromoted(stream="express-cargo", model=CHAMPION, by="analyst", at=NOW))
    items = [parcel(number, "240220" if number % 2 else "851712") for number in range(20)]
    before = [brain.appraise(item).log_odds for item in items]
    for number in range(61, 120):
        brain.fold(number, "k", lesson(brain, parcel(number), number % 2))
    brain.fold(120, "k", ModelPromoted(stream="express-cargo", model=FORGETFUL, by="analyst", at=NOW))
    assert [brain.appraise(item).log_odds for item in items] != before
    brain.fold(121, "k", ModelRolledBack(stream="express-cargo", to_version=60, by="analyst", at=NOW))
    assert [brain.appraise(item).log_odds for item in items] == before
    assert brain.activation("express-cargo").versions == (0, 60, 120)


def test_a_frozen_stream_stands_still_while_the_others_learn() -> None:
    brain = taught(60)
    brain.fold(60, "k", ModelFrozen(stream="express-cargo", by="analyst", at=NOW))
    before = brain.appraise(parcel(3)).log_odds
    for number in range(61, 90):
        brain.fold(number, "k", lesson(brain, parcel(number), 1))
    assert brain.appraise(parcel(3)).log_odds == before
    brain.fold(90, "k", ModelRolledBack(stream="express-cargo", to_version=0, by="analyst", at=NOW))
    assert brain.appraise(parcel(3)).log_odds != before


def test_an_unknown_model_or_version_changes_nothing_and_is_counted() -> None:
    brain = taught(10)
    brain.fold(10, "k", ModelPromoted(stream="manifests", model="oracle", by="analyst", at=NOW))
    brain.fold(11, "k", ModelRolledBack(stream="manifests", to_version=5, by="analyst", at=NOW))
    assert brain.ignored == 2
    assert brain.activation("manifests").name == CHAMPION


@pytest.mark.parametrize(("stream", "follows"), [("express-cargo", True), ("passengers", False)])
def test_a_model_that_the_first_record_promotes_can_be_rolled_back_to(stream: Stream, follows: bool) -> None:
    brain = Brain(Profiles())
    for offset, model in enumerate((FORGETFUL, GROVE)):
        brain.fold(offset, "k", ModelPromoted(stream=stream, model=model, by="analyst", at=NOW))
    assert brain.activation(stream).versions == (0, 1)
    brain.fold(2, "k", ModelRolledBack(stream=stream, to_version=0, by="analyst", at=NOW))
    activation = brain.activation(stream)
    assert (activation.name, activation.since, activation.standing is None) == (FORGETFUL, 0, follows)
    brain.fold(3, "k", ModelRolledBack(stream=stream, to_version=1, by="analyst", at=NOW))
    assert activation.name == GROVE
    assert brain.ignored == 0


def test_a_stream_that_the_first_record_freezes_stands_still_again_when_it_is_rolled_back_to_the_beginning() -> None:
    brain = Brain(Profiles())
    brain.fold(0, "k", ModelFrozen(stream="express-cargo", by="analyst", at=NOW))
    frozen = brain.appraise(parcel(1)).log_odds
    brain.fold(1, "k", ModelPromoted(stream="express-cargo", model=CHAMPION, by="analyst", at=NOW))
    for number in range(2, 60):
        brain.fold(number, "k", lesson(brain, parcel(number), number % 2))
    assert brain.appraise(parcel(1)).log_odds != frozen
    brain.fold(60, "k", ModelRolledBack(stream="express-cargo", to_version=0, by="analyst", at=NOW))
    assert brain.appraise(parcel(1)).log_odds == frozen


def test_challengers_are_scored_on_the_lessons_that_the_champion_is_scored_on() -> None:
    standings = {standing.model: standing for standing in taught(150).standings("express-cargo")}
    assert set(standings) == {CHAMPION, FORGETFUL, GROVE}
    assert {standing.lessons for standing in standings.values()} == {150}
    assert {standing.finds for standing in standings.values()} == {50}
    assert standings[CHAMPION].decides
    ranking = standings[CHAMPION].ranking
    assert ranking is not None
    assert ranking > 0.9


@pytest.mark.parametrize(("promoted", "model"), [(FORGETFUL, Forgetful), (GROVE, Grove)])
def test_what_was_promoted_to_follow_the_log_learns_every_lesson_also_beyond_the_budget_of_challengers(
    promoted: str, model: type[Forgetful | Grove], monkeypatch: pytest.MonkeyPatch
) -> None:
    brain = taught(WARM)
    lessons: list[float] = []
    learn = model.learn
    monkeypatch.setattr(model, "learn", lambda self, *told: (lessons.append(told[-1]), learn(self, *told))[1])

    def teach(start: int) -> int:
        lessons.clear()
        for number in range(start, start + 40):
            brain.fold(number, "k", lesson(brain, parcel(number), number % 2))
        return len(lessons)

    told = [ModelPromoted(stream="express-cargo", model=promoted, by="analyst", at=NOW),
            ModelFrozen(stream="express-cargo", by="analyst", at=NOW),
            ModelRolledBack(stream="express-cargo", to_version=0, by="analyst", at=NOW)]  # fmt: skip
    learnt = [teach(WARM)]
    for after, event in enumerate(told, 1):
        brain.fold(WARM + after * 40 + after - 1, "k", event)
        learnt.append(teach(WARM + after * 40 + after))
    assert learnt[1] == 40
    assert all(few < 10 for few in (learnt[0], *learnt[2:]))  # a challenger, and what stands still: 5%


@pytest.mark.parametrize("model", [CHAMPION, FORGETFUL, GROVE])
def test_an_item_that_is_neither_goods_nor_a_traveller_is_scored_as_one_of_which_nothing_is_known(model: str) -> None:
    brain = taught(60)
    brain.fold(60, "k", ModelPromoted(stream="express-cargo", model=model, by="analyst", at=NOW))
    item = filtered(1, "express-cargo", "KRICN-EXP")
    appraisal = brain.appraise(item)
    assert not appraisal.opened
    assert sum(reason.weight for reason in brain.explain(item, appraisal)) == pytest.approx(appraisal.log_odds)


def test_a_promoted_grove_decides_and_explains() -> None:
    brain = taught(150)
    brain.fold(150, "k", ModelPromoted(stream="express-cargo", model=GROVE, by="analyst", at=NOW))
    item = parcel(3, "240220")
    appraisal = brain.appraise(item)
    reasons = brain.explain(item, appraisal)
    assert abs(sum(reason.weight for reason in reasons) - appraisal.log_odds) < 1e-9


def test_a_probability_is_published_only_where_scores_were_inspected() -> None:
    brain = taught(150)
    appraised = [brain.appraise(parcel(number, "851712")) for number in range(5)]
    shown = [one.probability(one.score) for one in appraised]
    assert any(probability is not None and 0.0 <= probability <= 1.0 for probability in shown)
    unlearnt = Brain(Profiles()).appraise(parcel(1))
    assert unlearnt.probability(unlearnt.score) is None


def test_a_burst_of_false_clear_results_moves_scores_by_a_bounded_amount() -> None:
    bad = ["240220", "220830", "293930", "711319", "420221", "910211"]

    def risky(number: int) -> ItemFiltered:
        return parcel(number, bad[number % 6], net_mass_kg=1.0 + number % 97, value_usd=50.0 + number % 89)

    brain = Brain(Profiles())
    for number in range(240):
        item = risky(number) if number % 3 == 0 else parcel(number, "851712", net_mass_kg=1.0 + number % 91)
        brain.fold(number, "k", lesson(brain, item, int(number % 3 == 0)))
    before = [brain.appraise(risky(n)).log_odds for n in range(0, 60, 7)]
    number = 240
    for day in range(3):
        for _ in range(600):
            at = NOW + timedelta(days=12 + day)
            brain.fold(number, "k", lesson(brain, risky(number), 0, inspected_at=at))
            number += 1
        after = [brain.appraise(risky(n)).log_odds for n in range(0, 60, 7)]
        # Three lessons come through on the first day and none after it, however many more are sent.
        assert brain.quarantined == (day + 1) * 600 - 3
        assert max(abs(now - then) for now, then in zip(after, before, strict=True)) < 10.0


def test_clear_results_are_no_surprise_where_scores_have_overestimated() -> None:
    quarantine = Quarantine()
    for number in range(300):
        quarantine.admit(f"SITE-{number % 7}", int(number % 4 == 0), 0.9, 100.0)
    verdicts = [quarantine.admit("KRICN-EXP", 0, 0.9, 100.0) for _ in range(30)]
    assert verdicts[:10] == [None] * 10
    assert set(verdicts[20:]) == {"burst-of-clear"}, "thirty clear ones in a row are no chance at one find in four"


def test_clear_results_where_finds_were_expected_are_held_until_a_find_or_a_day_has_passed() -> None:
    quarantine = Quarantine()
    for number in range(40):  # elsewhere .8 has meant .8
        assert quarantine.admit("KRINC-EXP", int(number % 5 > 0), 0.8, 99.0) is None
    verdicts = [quarantine.admit("KRICN-EXP", 0, 0.8, 100.0) for _ in range(10)]
    assert verdicts[:3] == [None] * 3
    assert set(verdicts[3:]) == {"burst-of-clear"}
    assert quarantine.admit("KRICN-EXP", 1, 0.8, 100.1) is None
    assert quarantine.admit("KRICN-EXP", 0, 0.8, 100.2) is None
    finds = [quarantine.admit("KRPUS-SEA", 1, 0.05, 100.0) for _ in range(10)]
    assert finds[-1] == "burst-of-seizures"
    assert quarantine.admit("KRPUS-SEA", 1, 0.05, 104.0) is None


def test_a_centre_that_reports_far_more_than_usual_is_held_to_its_rate() -> None:
    quarantine = Quarantine(burst=50, times=2.0)
    verdicts = [quarantine.admit("KRICN-EXP", n % 2, 0.5, 100.0) for n in range(200)]
    assert verdicts[:50] == [None] * 50
    assert set(verdicts[50:]) == {"rate"}
    assert quarantine.admit("KRPUS-SEA", 0, 0.5, 100.0) is None


def test_a_million_distinct_importers_do_not_fill_the_memory() -> None:
    brain = Brain(
        Profiles(capacity=1000),
        Learning(weights=2000, categories=2000),
        quarantine=Quarantine(burst=10**9, surprise=1e9),
    )
    template = lesson(brain, parcel(1), 0)
    champion = brain._minds["express-cargo"].champion
    for number in range(1_000_000):
        champion.rates.learn([f"consignee=c:{number}"], 0)
        if number % 20 == 0:
            champion.learner.learn({f"consignee=c:{number}": 1.0, "hs4=2402": 1.0}, number % 2)
    brain.fold(0, "k", template)
    assert brain.entries() < 5000
