"""Settings are read from the environment, and what cannot be used is refused by name."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from streams.console.accounts import User
from streams.console.server import Console
from streams.settings import Settings, SettingsError, settings_page
from streams.topology import build_topology
from streams.web import WorkerWeb

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_settings_page_is_the_one_that_the_dataclass_writes() -> None:
    assert DOCS.read_text() == settings_page(), "run python -m streams.settings"


def test_unset_and_empty_variables_take_the_defaults() -> None:
    assert Settings.from_environment({"BORDERFLOW_PARTITIONS": ""}) == Settings()


def test_values_are_read_by_the_type_of_their_setting() -> None:
    read = Settings.from_environment(
        {"BORDERFLOW_PARTITIONS": "48", "BORDERFLOW_IDEMPOTENCE": "false", "BORDERFLOW_COMMIT_INTERVAL_S": "0.5"}
    )
    assert (read.partitions, read.idempotence, read.commit_interval_s) == (48, False, 0.5)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BORDERFLOW_PARTITIONS", "0"),
        ("BORDERFLOW_PARTITIONS", "twelve"),
        ("BORDERFLOW_SECURITY_PROTOCOL", "TLS"),
        ("BORDERFLOW_COMMIT_INTERVAL_S", "0"),
        ("BORDERFLOW_STEPS", "screening,smelling"),
        ("BORDERFLOW_STEPS", ","),
        ("BORDERFLOW_BROKERS", "host:port"),
        ("BORDERFLOW_BROKERS", "one:9092,,two:9092"),
        ("BORDERFLOW_BROKERS", "one:9092,two:70000"),
        ("BORDERFLOW_HEARTBEAT_S", "10"),
        ("BORDERFLOW_TLS_CA_FILE", "/nowhere/ca.pem"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environment({variable: value})


def test_brokers_are_names_or_addresses_with_or_without_a_port() -> None:
    brokers = "kafka-1.customs.example:9092, 10.0.0.2:9093,[::1]:9094,kafka_4"
    assert Settings.from_environment({"BORDERFLOW_BROKERS": brokers}).brokers == brokers


@pytest.mark.parametrize("broken", ["TLS_CA_FILE", "TLS_KEY_FILE", "SASL_PASSWORD_FILE"])
def test_a_file_of_tls_or_sasl_that_holds_something_else_is_refused_by_its_variable(
    broken: str, tmp_path: Path
) -> None:
    (tmp_path / "junk").write_bytes(b"\xff\xfe junk")
    (tmp_path / "password").write_text("hush")
    files = {"SASL_PASSWORD_FILE": str(tmp_path / "password"), broken: str(tmp_path / "junk")}
    if broken == "TLS_KEY_FILE":
        files["TLS_CERT_FILE"] = str(tmp_path / "junk")
    given = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": "worker", **files}
    settings = Settings.from_environment({f"BORDERFLOW_{name}": value for name, value in given.items()})
    with pytest.raises(SettingsError, match=f"BORDERFLOW_{broken}: .*junk") as refused:
        settings.client_options()
    assert "hush" not in str(refused.value)


def test_every_bad_value_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"BORDERFLOW_PARTITIONS.*BORDERFLOW_WEB_PORT"):
        Settings.from_environment({"BORDERFLOW_PARTITIONS": "x", "BORDERFLOW_WEB_PORT": "99999"})


def test_production_refuses_plain_text_and_a_missing_pseudonym_key() -> None:
    with pytest.raises(SettingsError, match="SECURITY_PROTOCOL"):
        Settings.from_environment({"BORDERFLOW_ENVIRONMENT": "production"})
    settings = Settings(environment="production", security_protocol="SSL")  # of a sealer, or an archiver
    with pytest.raises(SettingsError, match="PSEUDONYM_KEY_FILE: production needs a pseudonym key"):
        settings.pseudonym_secret()


def test_nothing_that_makes_pseudonyms_starts_in_production_without_their_key(tmp_path: Path) -> None:
    settings = Settings(
        environment="production", security_protocol="SSL", console_trail_file=str(tmp_path / "trail.jsonl")
    )
    user = User(name="kim", role="officer", control_points=("KRICN-EXP",), password="")
    for begin in (build_topology, lambda given: Console(given, (user,))):
        with pytest.raises(SettingsError, match="PSEUDONYM_KEY_FILE: production needs a pseudonym key"):
            begin(settings)
    assert build_topology(replace(settings, steps="selection,reevaluation"))


@pytest.mark.parametrize("where", ["BORDERFLOW_PSEUDONYM_KEY", "BORDERFLOW_PSEUDONYM_KEY_FILE"])
@pytest.mark.parametrize("secret", ["q", "of-31-bytes-" + "q" * 19, " " * 40 + "q"])
def test_production_refuses_a_pseudonym_key_that_can_be_guessed(where: str, secret: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        in_production(where, secret, tmp_path)
    assert f"{where}: the pseudonym key has {len(secret.strip())} bytes, production needs 32 or more" in str(
        refused.value
    )
    assert "qq" not in str(refused.value)


@pytest.mark.parametrize("where", ["BORDERFLOW_PSEUDONYM_KEY", "BORDERFLOW_PSEUDONYM_KEY_FILE"])
def test_production_takes_a_pseudonym_key_of_32_bytes(where: str, tmp_path: Path) -> None:
    assert in_production(where, "q" * 32 + "\n" * where.endswith("FILE"), tmp_path).pseudonym_secret() == b"q" * 32


def test_production_refuses_an_empty_file_as_the_pseudonym_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BORDERFLOW_PSEUDONYM_KEY_FILE: the pseudonym key has 0 bytes"):
        in_production("BORDERFLOW_PSEUDONYM_KEY_FILE", "\n", tmp_path)


def in_production(where: str, secret: str, folder: Path) -> Settings:
    """Settings of a worker at a border, with this pseudonym key in the variable or in the file that it names."""
    file = folder / "pseudonym.key"
    file.write_text(secret)
    return Settings.from_environment(
        {
            "BORDERFLOW_ENVIRONMENT": "production",
            "BORDERFLOW_SECURITY_PROTOCOL": "SSL",
            where: str(file) if where.endswith("FILE") else secret,
        }
    )


def test_the_pseudonym_key_is_read_from_its_file_and_never_shown(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    assert Settings(pseudonym_key_file=str(key)).pseudonym_secret() == b"s3cret"
    assert "s3cret" not in repr(Settings(pseudonym_key="s3cret"))


def test_the_health_checks_can_be_switched_off() -> None:
    async def port_of(settings: Settings) -> int | None:
        pages = WorkerWeb(settings, list)
        await pages.start()
        await pages.stop()
        return pages.port

    assert asyncio.run(port_of(Settings.from_environment({"BORDERFLOW_WEB_HOST": "off"}))) is None
    assert asyncio.run(port_of(Settings.from_environment({"BORDERFLOW_WEB_PORT": "0"})))


def test_sasl_needs_a_user_and_a_password_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SASL_PASSWORD_FILE"):
        Settings(security_protocol="SASL_SSL")
    password = tmp_path / "password"
    password.write_text("hush\n")
    options = Settings(
        security_protocol="SASL_SSL", sasl_username="worker", sasl_password_file=str(password)
    ).client_options()
    assert options["sasl_plain_password"] == password.read_text().strip()
    assert options["ssl_context"].check_hostname


def test_a_misspelt_variable_is_noticed() -> None:
    assert Settings.unknown_variables({"BORDERFLOW_SECURITY_PROTOCL": "SSL", "PATH": ""}) == [
        "BORDERFLOW_SECURITY_PROTOCL"
    ]


def test_a_variable_that_the_demo_reads_is_not_taken_for_a_misspelt_one() -> None:
    assert Settings.unknown_variables({"BORDERFLOW_CDD": "data"}) == []


def test_steps_are_hosted_in_the_order_of_the_flow() -> None:
    assert Settings(steps="selection, screening").step_names == ("screening", "selection")
