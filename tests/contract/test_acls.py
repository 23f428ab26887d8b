"""`ops/acls.yaml` says the same as the topic declarations and the steps: nobody is granted less, or more."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka.admin import ACL, KafkaAdminClient
from kafka.errors import ClusterAuthorizationFailedError

from schemas.registry import dead_letter_topics, declarations
from streams.acls import AclsRefusedError, Component, acls_of, apply, read_components
from streams.archive.consuming import archived_topics
from streams.centre import EVERYWHERE, CentreClient
from streams.cli import main
from streams.deadletter import dead_letter_topic
from streams.notify.plan import NotifyPlan
from streams.redrive import SOURCES
from streams.settings import STEPS, Settings
from streams.topology import build_topology, topics_read

FILE = Path(__file__).parents[2] / "ops" / "acls.yaml"
COMPONENTS = read_components(FILE)

PEOPLE = {
    "carriers": "lodger",
    "couriers": "lodger",
    "passenger carriers": "lodger",
    "lodgers": "lodger-reader",
    "border control centres": "centre",
    "targeteers": "targeteer",
    "analysts": "analyst",
}
"""Who the declarations name by what they are, and the component that acts for them."""


def writers(topic: str) -> set[str]:
    return {name for name, one in COMPONENTS.items() if topic in one.write}


def readers(topic: str) -> set[str]:
    return {name for name, one in COMPONENTS.items() if topic in one.read}


@pytest.mark.parametrize("topic", declarations())
def test_who_produces_a_topic_may_write_it_and_nobody_else(topic: str) -> None:
    declared = {PEOPLE.get(name, name) for name in declarations()[topic].producers}
    assert writers(topic) == declared | ({"dead-letter-desk"} if topic in SOURCES else set())


@pytest.mark.parametrize("topic", declarations())
def test_who_consumes_a_topic_may_read_it_and_nobody_else(topic: str) -> None:
    declared = {PEOPLE.get(name, name) for name in declarations()[topic].consumers}
    if declarations()[topic].tombstones:
        declared |= writers(topic) - set(STEPS)  # who publishes knowledge looks at what stands
    assert readers(topic) == declared


@pytest.mark.parametrize("name", STEPS)
def test_a_step_may_read_what_it_takes_in_remembers_and_follows_and_write_what_it_produces(name: str) -> None:
    topology = build_topology(Settings(steps=name))
    (step,) = topology.steps
    assert set(COMPONENTS[name].read) == {*topics_read([step]), *(one.topic for one in topology.follows)}
    assert set(COMPONENTS[name].write) == {*step.produces, *(dead_letter_topic(topic) for topic in step.inputs)}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_sees_what_every_step_takes_in_for_it_may_give_out_all_partitions_of_the_group(name: str) -> None:
    inputs = {topic for step in build_topology(Settings()).steps for topic in step.inputs}
    assert set(COMPONENTS[name].observe) == inputs - {*COMPONENTS[name].read, *COMPONENTS[name].write}


@pytest.mark.parametrize("topic", dead_letter_topics())
def test_only_the_step_that_reads_a_topic_buries_its_dead_letters(topic: str) -> None:
    source = dead_letter_topics()[topic].source.topic
    expected = {step for step in STEPS if source in COMPONENTS[step].read} if source in SOURCES else set()
    assert writers(topic) - {"dead-letter-desk"} == expected
    assert readers(topic) == ({"dead-letter-desk", "archive"} if source in SOURCES else {"archive"})


def test_a_notifier_may_be_in_its_group() -> None:
    plan = NotifyPlan(name="duty", receivers=())
    (group,) = COMPONENTS["notifier"].groups
    assert CentreClient(Settings(), plan.system, (EVERYWHERE,))._group.startswith(group.removesuffix("*"))


def test_the_archive_may_read_what_it_archives() -> None:
    assert COMPONENTS["archive"].read == archived_topics()


def test_every_named_topic_exists() -> None:
    there = {*declarations(), *dead_letter_topics(), "*"}
    for name, one in COMPONENTS.items():
        assert {*one.read, *one.write, *one.administer, *one.observe} <= there, name


def test_a_group_ending_in_a_star_is_a_prefix() -> None:
    (acl,) = acls_of(Component(what="a centre", groups=("centre-*",)), "User:c")
    assert (acl.resource_pattern.resource_name, acl.resource_pattern.pattern_type.name) == ("centre-", "PREFIXED")
    (acl,) = acls_of(Component(what="all", observe=(), read=("*",)), "User:c")
    assert (acl.resource_pattern.resource_name, acl.resource_pattern.pattern_type.name) == ("*", "LITERAL")


def test_a_misspelt_list_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "acls.yaml"
    file.write_text("centre: {what: a centre, reads: [alerts]}")
    with pytest.raises(AclsRefusedError, match="reads"):
        read_components(file)


def test_a_file_that_is_not_text_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "acls.yaml"
    file.write_bytes(b"centre: \xff")
    with pytest.raises(AclsRefusedError, match=r"acls\.yaml"):
        read_components(file)


@pytest.mark.parametrize("principal", [":", "User:", ":harbour", "harbour"])
def test_a_principal_without_a_kind_or_a_name_is_refused(principal: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["acls", "grant", str(FILE), "centre", principal, "--dry-run"])
    assert ended.value.code == 2
    assert "a principal has a kind and a name" in capsys.readouterr().err


def test_the_command_prints_the_rules_it_would_add(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["acls", "grant", str(FILE), "centre", "User:harbour", "--dry-run"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines() == [
        "User:harbour may READ TOPIC alerts",
        "User:harbour may READ TOPIC casework",
        "User:harbour may WRITE TOPIC casework",
        "User:harbour may WRITE TOPIC inspection-results",
        "User:harbour may READ GROUP centre-*",
    ]


def test_an_unknown_component_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["acls", "grant", str(FILE), "smuggler", "User:x"])
    assert ended.value.code == 2
    assert "screening, filtering" in capsys.readouterr().err


def test_rules_that_the_brokers_did_not_take_are_told_by_the_names_of_their_errors() -> None:
    class Guarded(KafkaAdminClient):
        def __init__(self) -> None:
            """Connects to nobody."""

        def create_acls(self, acls: list[ACL]) -> dict[str, list[object]]:
            return {"succeeded": [], "failed": [ClusterAuthorizationFailedError] * len(acls)}

    with pytest.raises(AclsRefusedError) as told:
        apply(Guarded(), COMPONENTS["lodger"], "User:gate")
    assert str(told.value) == "the brokers did not take 3 of 3 rules: ClusterAuthorizationFailedError"
