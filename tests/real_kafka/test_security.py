"""Borderflow logs in with SCRAM and with client certificates, and each component may do what it must and no more."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import trustme
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion
from kafka.errors import KafkaError

from load.children import Children
from streams.acls import Component, acls_of, apply, read_components
from streams.doctor import examine
from streams.notify.deadletters import still_undelivered
from streams.notify.plan import NotifyPlan, Receiver, WebhookTarget
from streams.notify.run import Notifier
from streams.rebuild import LogReader
from streams.settings import STEPS, Settings, SettingsError
from streams.topics import create_topics, describe_topics
from tests.border import DESK
from tests.browser.centre import alert, record
from tests.integration.border import parcel, parcel_record
from tests.integration.harbour import PATIENCE_S, lodge, publisher, read_all, worker
from tests.ports import own_port
from tests.real_kafka.cluster import Cluster
from tests.real_kafka.fixtures import ACLS, STRANGER, TOY
from tests.real_kafka.security import Security
from tests.tls import closing_server

pytestmark = pytest.mark.kafka

COMPONENTS = read_components(ACLS)
PSEUDONYM_KEY = "of the tests, and as long as production wants it"
_MEANING = {
    "READ": ("read",),
    "WRITE": ("write",),
    "CREATE": ("administer",),
    "ALTER": ("administer",),
    "ALTER_CONFIGS": ("administer",),
    "DELETE": (),
    "DESCRIBE": ("read", "write", "administer", "observe"),
    "DESCRIBE_CONFIGS": ("administer", "observe"),
}


def login(cluster: Cluster, how: str, principal: str) -> dict[str, str]:
    """Settings of a principal that logs in over SCRAM or MTLS, as environment variables."""
    assert cluster.security is not None
    made: Callable[[Security, str, str], dict[str, str]] = (
        Security.scram_environment if how == "SCRAM" else Security.mtls_environment
    )
    return {
        **cluster.environment(),
        **made(cluster.security, principal, cluster.bootstrap_of(how)),
        "BORDERFLOW_ENVIRONMENT": "production",
        "BORDERFLOW_PSEUDONYM_KEY": PSEUDONYM_KEY,
        "BORDERFLOW_PARTITIONS": "2",
        "BORDERFLOW_WEB_PORT": "0",
    }


@pytest.fixture(scope="module")
def granted(guarded_kafka: Cluster) -> Cluster:
    """The guarded cluster with every rule of `ops/acls.yaml` applied and every topic created, by its administrator."""
    with guarded_kafka.admin() as admin:
        for name, component in COMPONENTS.items():
            assert apply(admin, component, f"User:{name}") == len(list(acls_of(component, f"User:{name}")))
    created = create_topics(Settings.from_environment(login(guarded_kafka, "SCRAM", "topics-administrator")))
    assert all(one.created for one in created)
    assert not [said for one in created for said in one.differences]
    return guarded_kafka


def topics_of_the_toy(cluster: Cluster, group: str) -> None:
    """Topics of one partition for a toy worker of this group, and its rights to them."""
    mine = (f"{group}*",)
    with cluster.admin() as admin:
        apply(admin, Component(what="the toy", groups=mine, read=mine, write=mine), f"User:{TOY}")
        admin.create_topics(
            {
                f"{group}-{name}": {"num_partitions": 1, "replication_factor": 1}
                for name in ("crossings", "tallies", "crossings-dlq")
            }
        )


def until_ready_says(port: str, pattern: str) -> None:
    """Return when /readyz of the worker at this port says what matches."""
    deadline, said = time.monotonic() + PATIENCE_S, ""
    while re.match(pattern, said) is None:
        assert time.monotonic() < deadline, said
        time.sleep(0.2)
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE_S) as page:
                said = page.read().decode()
        except HTTPError as refused:
            said = refused.read().decode()


@pytest.mark.parametrize("how", ["SCRAM", "MTLS"])
def test_a_worker_logs_in_counts_crossings_and_tells_when_its_certificates_expire(
    guarded_kafka: Cluster, tmp_path: Path, how: str
) -> None:
    group, port = f"s{uuid.uuid4().hex[:8]}", str(own_port())
    environment = {**login(guarded_kafka, how, TOY), "BORDERFLOW_GROUP": group, "BORDERFLOW_WEB_PORT": port}
    settings = Settings.from_environment(environment)
    mine = (f"{group}*",)
    with guarded_kafka.admin() as admin:
        apply(admin, Component(what="the toy", groups=mine, read=mine, write=mine), f"User:{TOY}")
        admin.create_topics(
            {
                f"{group}-{name}": {"num_partitions": count, "replication_factor": 1}
                for name, count in {"crossings": 2, "tallies": 2, "crossings-dlq": 1}.items()
            }
        )
    asyncio.run(lodge(settings, 50, 2))
    with worker(environment, tmp_path / "log"):
        tallied = asyncio.run(read_all(settings, f"{group}-tallies", 2, 100))
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as page:
            told = re.findall(r'^borderflow_certificate_expiry\S+{setting="(\w+)"}', page.read().decode(), re.MULTILINE)
    assert len(tallied) >= 100, (tmp_path / "log").read_text()
    assert sorted(told) == ["BORDERFLOW_TLS_CA_FILE", "BORDERFLOW_TLS_CERT_FILE"][: 1 if how == "SCRAM" else 2]


@pytest.mark.parametrize("how", ["SCRAM", "MTLS"])
def test_a_stranger_who_logs_in_sees_no_topic(granted: Cluster, how: str) -> None:
    settings = Settings.from_environment(login(granted, how, STRANGER))
    with KafkaAdminClient(**settings.client_options()) as admin:
        assert admin.list_topics() == []
        assert all(found is None for _, found in describe_topics(admin, settings))


@pytest.mark.parametrize("command", ["topics create", f"acls grant {ACLS} lodger User:gate"])
def test_who_lacks_a_right_is_told_so_in_one_short_line(granted: Cluster, command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "streams.cli", *command.split()],
        env={**os.environ, **login(granted, "SCRAM", STRANGER)},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    (line,) = [one for one in ended.stderr.splitlines() if one.startswith("borderflow: ")]
    assert "AuthorizationFailedError" in line
    assert "BORDERFLOW_BROKERS" not in line
    assert len(line) < 200


def test_a_worker_whose_group_is_closed_to_it_says_so_and_ends(granted: Cluster) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "streams.cli", "worker", "--steps", "filtering"],
        env={**os.environ, **login(granted, "SCRAM", "filtering"), "BORDERFLOW_GROUP": "borderfow"},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert "BORDERFLOW_GROUP: this user may take no part in group 'borderfow'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("how", ["a wrong password", "no certificate", "an unknown authority", "plain text"])
def test_who_cannot_prove_an_identity_is_not_let_in(guarded_kafka: Cluster, tmp_path: Path, how: str) -> None:
    assert guarded_kafka.security is not None
    scram, mtls = login(guarded_kafka, "SCRAM", TOY), login(guarded_kafka, "MTLS", TOY)
    if how == "a wrong password":
        (tmp_path / "password").write_text("guess")
        environment = {**scram, "BORDERFLOW_SASL_PASSWORD_FILE": str(tmp_path / "password")}
    elif how == "no certificate":
        environment = {**mtls, "BORDERFLOW_TLS_CERT_FILE": "", "BORDERFLOW_TLS_KEY_FILE": ""}
    elif how == "an unknown authority":
        environment = {**scram, "BORDERFLOW_TLS_CA_FILE": ""}
    else:
        environment = {
            "BORDERFLOW_BROKERS": guarded_kafka.bootstrap_of("SCRAM"), "BORDERFLOW_SECURITY_PROTOCOL": "PLAINTEXT",
        }  # fmt: skip
    settings = Settings.from_environment({**environment, "BORDERFLOW_REQUEST_TIMEOUT_S": "7"})

    async def log_in() -> None:
        async with LogReader(settings):
            pass

    with pytest.raises((KafkaError, ssl.SSLError, Exception)) as refused:
        asyncio.run(asyncio.wait_for(log_in(), PATIENCE_S))
    assert not isinstance(refused.value, TimeoutError)


def test_a_worker_whose_password_was_changed_ends_and_goes_on_with_the_new_one(
    guarded_kafka: Cluster, tmp_path: Path
) -> None:
    assert guarded_kafka.security is not None
    group = f"s{uuid.uuid4().hex[:8]}"
    environment = {**login(guarded_kafka, "SCRAM", TOY), "BORDERFLOW_GROUP": group}
    topics_of_the_toy(guarded_kafka, group)
    settings = Settings.from_environment({**guarded_kafka.environment(), "BORDERFLOW_GROUP": group})
    asyncio.run(lodge(settings, 20, 1))
    with worker(environment, tmp_path / "log", TOY_SILENT_S="4") as running:
        asyncio.run(read_all(settings, f"{group}-tallies", 1, 20))
        with guarded_kafka.admin() as admin:
            change = UserScramCredentialUpsertion(TOY, ScramMechanism.SCRAM_SHA_512, "another one")
            assert admin.alter_user_scram_credentials([change]) == {TOY: None}
        guarded_kafka.nodes[1].stop()
        guarded_kafka.nodes[1].start()
        assert running.wait(PATIENCE_S) == 1, (tmp_path / "log").read_text()
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert "they do not let it in any more" in last
    assert "invalid credentials" in last
    guarded_kafka.wait_until_whole()
    guarded_kafka.security.password_file(TOY).write_text("another one\n")
    asyncio.run(lodge(settings, 20, 1))
    with worker(environment, tmp_path / "log"):
        assert len(asyncio.run(read_all(settings, f"{group}-tallies", 1, 40))) == 40


def test_a_worker_waits_out_an_outage_and_a_load_balancer_without_brokers_and_ends_when_its_certificate_is_refused(
    guarded_kafka: Cluster, tmp_path: Path
) -> None:
    assert guarded_kafka.security is not None
    node, trusted = guarded_kafka.nodes[1], guarded_kafka.security.ca_file
    group, port = f"s{uuid.uuid4().hex[:8]}", str(own_port())
    (tmp_path / "ca.pem").write_text(trusted.read_text())
    environment = {
        **login(guarded_kafka, "MTLS", TOY),
        "BORDERFLOW_GROUP": group, "BORDERFLOW_WEB_PORT": port, "BORDERFLOW_TLS_CA_FILE": str(tmp_path / "ca.pem"),
    }  # fmt: skip
    topics_of_the_toy(guarded_kafka, group)
    settings = Settings.from_environment({**guarded_kafka.environment(), "BORDERFLOW_GROUP": group})
    asyncio.run(lodge(settings, 20, 1))
    with worker(environment, tmp_path / "log", TOY_SILENT_S="4") as running:
        asyncio.run(read_all(settings, f"{group}-tallies", 1, 20))

        node.stop()
        until_ready_says(port, r"no broker has answered for \d+ s\n")
        time.sleep(11)  # it looks every 5 s, and would have ended
        address = guarded_kafka.bootstrap_of("MTLS")
        shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shown.load_cert_chain(guarded_kafka.security.broker_file)
        with closing_server(shown, int(address.rpartition(":")[2])):
            until_ready_says(
                port, f"no broker .* s; {address} closes the connection after the TLS handshake without a word"
            )
            time.sleep(11)
        node.start()
        until_ready_says(port, "ready")
        guarded_kafka.wait_until_whole()
        asyncio.run(lodge(settings, 20, 1, start=20))
        asyncio.run(read_all(settings, f"{group}-tallies", 1, 40))
        assert running.poll() is None

        node.stop()
        try:
            trustme.CA().cert_pem.write_to_path(str(trusted))
            node.start()
            assert running.wait(PATIENCE_S) == 1, (tmp_path / "log").read_text()
            (wrong,) = [one for one in examine(environment) if one.state == "wrong"]
        finally:
            trusted.write_text((tmp_path / "ca.pem").read_text())
            node.stop()
            node.start()
    said = (
        f"{address} closes the connection after the TLS handshake, most likely because of this client's certificate: "
    )
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert "this worker stops: no broker has answered for" in last
    assert said in last
    assert (wrong.check, said in wrong.found) == ("brokers", True)
    guarded_kafka.wait_until_whole()
    with worker(environment, tmp_path / "log"):
        asyncio.run(lodge(settings, 20, 1, start=40))
        assert len(asyncio.run(read_all(settings, f"{group}-tallies", 1, 60))) >= 60


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_production_refuses_to_talk_in_the_clear(protocol: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    with pytest.raises(SettingsError, match="BORDERFLOW_SECURITY_PROTOCOL: production refuses"):
        Settings.from_environment(
            {
                "BORDERFLOW_ENVIRONMENT": "production",
                "BORDERFLOW_PSEUDONYM_KEY": PSEUDONYM_KEY,
                "BORDERFLOW_SECURITY_PROTOCOL": protocol,
                "BORDERFLOW_SASL_USERNAME": "worker",
                "BORDERFLOW_SASL_PASSWORD_FILE": str(tmp_path / "password"),
            }
        )


def test_the_doctor_says_what_a_user_lacks_and_who_is_not_let_in(granted: Cluster, tmp_path: Path) -> None:
    observer = login(granted, "SCRAM", "observer")
    archive = {**login(granted, "SCRAM", "archive"), "BORDERFLOW_STEPS": "screening"}
    rights = next(one for one in examine(archive) if one.check == "rights")
    assert (rights.state, "WRITE on screened" in rights.found, "acls.yaml" in rights.advice) == ("wrong", True, True)
    (tmp_path / "password").write_text("guess")
    wrong = [one for one in examine({**observer, "BORDERFLOW_SASL_PASSWORD_FILE": str(tmp_path / "password")})
             if one.state == "wrong"]  # fmt: skip
    assert [one.check for one in wrong] == ["brokers"]
    assert "does not let this process in" in wrong[0].found
    assert "invalid credentials" in wrong[0].found


@pytest.mark.parametrize("name", STEPS)
def test_the_doctor_finds_nothing_wrong_with_the_rights_of_a_step(granted: Cluster, name: str) -> None:
    found = list(examine({**login(granted, "SCRAM", name), "BORDERFLOW_STEPS": name}))
    assert [one.check for one in found if one.state == "wrong"] == ["workers"]  # none was started here
    assert {one.state for one in found if one.check == "topics"} == {"warning", "ok"}
    assert [one.state for one in found if one.check in ("rights", "lag")] == ["ok", "ok"]


def test_the_doctor_lets_an_observer_look_at_everything_and_read_nothing(granted: Cluster) -> None:
    found = list(
        examine({**login(granted, "SCRAM", "observer"), "BORDERFLOW_PSEUDONYM_KEY": ""})
    )  # nor may it have that
    assert [one.check for one in found if one.state == "wrong"] == ["workers"]
    assert [one.state for one in found if one.check in ("topics", "rights")] == ["ok", "skipped"]


@pytest.mark.parametrize(
    ("name", "variable", "value", "check"),
    [("screening", "PSEUDONYM_KEY", "", "pseudonyms"), ("filtering", "GROUP", "borderfow", "workers")],
)
def test_the_doctor_says_what_a_worker_would_be_refused_for(
    granted: Cluster, name: str, variable: str, value: str, check: str
) -> None:
    found = list(examine({**login(granted, "SCRAM", name), "BORDERFLOW_STEPS": name, f"BORDERFLOW_{variable}": value}))
    (wrong,) = [one for one in found if one.check == check and one.state == "wrong"]
    assert variable in wrong.advice


def test_the_doctor_tells_an_observer_of_a_topic_that_is_missing(granted: Cluster) -> None:
    with granted.admin() as everything:
        everything.delete_topics(["casework-dlq"])
        while "casework-dlq" in everything.list_topics():
            time.sleep(0.1)
    found = list(examine(login(granted, "SCRAM", "observer")))
    create_topics(Settings.from_environment(login(granted, "SCRAM", "topics-administrator")))
    assert [(one.state, one.found) for one in found if one.check == "topics"] == [("wrong", "missing: casework-dlq")]


def test_a_worker_that_may_only_look_at_its_topics_is_no_observer(granted: Cluster) -> None:
    looks = Component(what="looks", observe=(*COMPONENTS["filtering"].read, *COMPONENTS["filtering"].write))
    with granted.admin() as everything:
        apply(everything, looks, f"User:{TOY}")
    found = list(examine({**login(granted, "SCRAM", TOY), "BORDERFLOW_STEPS": "filtering"}))
    assert [one.state for one in found if one.check == "rights"] == ["wrong"]


def test_the_notifier_takes_alerts_with_its_own_rights(
    granted: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def raise_alert() -> None:
        async with publisher(Settings.from_environment(granted.environment())) as to:
            await to.publish("alerts", [record(alert(1), DESK)])

    asyncio.run(raise_alert())
    nobody = WebhookTarget(url=f"http://127.0.0.1:{own_port()}/", secret_file=str(tmp_path / "secret"))
    (tmp_path / "secret").write_text("of the tests")
    plan = NotifyPlan(
        name="duty", receivers=(Receiver(name="nobody", priority=5, webhook=nobody),), attempts=1,
        dead_letters=str(tmp_path / "dead.jsonl"),
    )  # fmt: skip
    notifier = Notifier(Settings.from_environment(login(granted, "SCRAM", "notifier")), plan, expired_too=True)
    assert notifier.run(until=lambda tally: tally.failed > 0).failed == 1
    assert len(still_undelivered(tmp_path / "dead.jsonl")) == 1
    assert not [line for line in caplog.records if line.name.startswith("kafka") and line.levelname == "ERROR"]


def test_workers_of_a_step_and_a_user_each_decide_together_whoever_gives_out_the_partitions(
    granted: Cluster, tmp_path: Path
) -> None:
    async def lodge_parcels() -> None:
        async with publisher(Settings.from_environment(granted.environment())) as to:
            await to.publish("express-cargo", [parcel_record(parcel(number)) for number in range(20)])

    with Children({}, tmp_path) as workers:
        for name in reversed(STEPS):  # re-evaluation comes first, so it gives out the partitions of all
            port = str(own_port())
            workers.start(
                name, "worker", "--steps", name, **{**login(granted, "SCRAM", name), "BORDERFLOW_WEB_PORT": port}
            )
            workers.wait_ready(name, int(port))
        asyncio.run(lodge_parcels())
        decided = asyncio.run(read_all(Settings.from_environment(granted.environment()), "decisions", 2, 20, 30))
        assert len(decided) == 20, workers.log_of("reevaluation").read_text()


@pytest.mark.parametrize("name", COMPONENTS)
def test_each_component_may_do_with_each_topic_what_it_must_and_no_more(granted: Cluster, name: str) -> None:
    """The brokers are asked: a topic's description lists what the asking principal is authorised to do."""
    component = COMPONENTS[name]
    with granted.admin() as everything:
        topics = [one for one in everything.list_topics() if not one.startswith("__")]
    settings = Settings.from_environment(login(granted, "SCRAM", name))
    with KafkaAdminClient(**settings.client_options()) as admin:
        said = {one["name"]: set(one.get("authorized_operations") or ()) for one in admin.describe_topics(topics)}
    for topic in topics:
        may = {
            operation
            for operation, lists in _MEANING.items()
            if any(topic in getattr(component, one) or "*" in getattr(component, one) for one in lists)
        }
        assert said.get(topic, set()) == may, topic
