"""The compose file, the image, Prometheus and Grafana agree with the code: settings, ports, commands, metrics.

There is no Docker engine where these tests run: they read the files. Where the docker client has compose,
`docker compose config` is asked as well.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from streams.cli import GROUPS, app
from streams.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
SETTINGS = {PREFIX + one.name.upper(): one for one in dataclasses.fields(Settings)}
OURS = ("topics", "worker", "load", "console", "archive", "audit")
KEEPING = ("console", "archive", "audit")
"""Those that keep files, in a volume of their own."""


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def resolved(text: str) -> str:
    """`${NAME:-default}` as compose reads it when nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_the_whole_system_is_in_the_compose_file(services: dict[str, Any]) -> None:
    assert list(services) == ["kafka", "topics", "worker", "load", *KEEPING, "prometheus", "grafana"]
    assert services["worker"]["deploy"]["replicas"] == 2


def test_the_package_the_image_and_the_changelog_are_of_one_version(services: dict[str, Any]) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {services[name]["image"] for name in OURS} == {f"borderflow:{declared}"}
    changes = re.findall(r"^## \[(\S+)\](?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changes[0] == ("Unreleased", "")
    assert changes[1][0] == declared
    assert all(date for _, date in changes[1:])


def test_every_setting_in_the_compose_file_is_one_that_the_code_reads(services: dict[str, Any]) -> None:
    for name in OURS:
        environment = {key: resolved(value) for key, value in services[name]["environment"].items()}
        assert set(environment) <= set(SETTINGS)
        read = Settings.from_environment(environment)
        assert read.brokers == ("127.0.0.1:9092" if name == "console" else "kafka:29092")
        assert read.partitions == 4


def test_the_pseudonym_key_is_for_those_that_make_pseudonyms_alone(services: dict[str, Any]) -> None:
    given = {name for name in services if "BORDERFLOW_PSEUDONYM_KEY" in services[name].get("environment", {})}
    assert given == {"worker", "console"}


def test_services_run_commands_that_exist(services: dict[str, Any], dockerfile: str) -> None:
    assert 'ENTRYPOINT ["borderflow"]' in dockerfile
    for name in OURS:
        assert services[name]["command"][0] in GROUPS
        app.parse_args(services[name]["command"], exit_on_error=False, print_error=False)
        assert services[name]["image"].startswith("borderflow:")
        assert services[name]["build"] == "."


def test_workers_wait_for_topics_and_topics_for_kafka(services: dict[str, Any]) -> None:
    assert services["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    for name in ("worker", "load", *KEEPING):
        assert services[name]["depends_on"]["topics"]["condition"] == "service_completed_successfully"


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = {port for service in services.values() for port in service.get("ports", ())}
    assert published == {"127.0.0.1:9092:9092", "127.0.0.1:9090:9090", "127.0.0.1:3000:3000"}


def test_what_keeps_files_keeps_them_in_a_volume_that_it_may_write(services: dict[str, Any], dockerfile: str) -> None:
    volumes = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"]
    place = "/var/lib/borderflow"
    assert f"install --directory --owner=10001 --group=10001 {place}" in dockerfile
    for name in KEEPING:
        assert services[name]["volumes"] == [f"{name}:{place}"]
        assert name in volumes
        read = Settings.from_environment({key: resolved(v) for key, v in services[name]["environment"].items()})
        kept = {"console": read.console_trail_file, "archive": read.archive_dir, "audit": read.audit_dir}[name]
        assert kept.startswith(f"{place}/")


def test_the_console_is_on_loopback_of_the_machine(services: dict[str, Any]) -> None:
    console = services["console"]
    assert console["network_mode"] == "host"
    assert "ports" not in console
    read = Settings.from_environment({key: resolved(value) for key, value in console["environment"].items()})
    assert (read.console_host, read.console_port) == (Settings().console_host, Settings().console_port)
    assert f"HOST://{read.brokers}" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_the_brokers_listen_where_clients_are_told(services: dict[str, Any]) -> None:
    kafka = services["kafka"]["environment"]
    assert "INSIDE://kafka:29092" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert f"HOST://{Settings().brokers}" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    pom = ElementTree.parse(ROOT / "tests/real_kafka/pom.xml").getroot()  # noqa: S314 - our own file
    version = pom.findtext("./{*}properties/{*}kafka.version")
    assert services["kafka"]["image"] == f"apache/kafka:{version}"


def test_prometheus_asks_every_worker_on_the_port_it_serves(services: dict[str, Any]) -> None:
    port = int(services["worker"]["environment"]["BORDERFLOW_WEB_PORT"])
    assert port == Settings().web_port
    scrape = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["job_name"] == "borderflow"
    assert scrape["dns_sd_configs"][0]["names"] == ["worker"]
    assert scrape["dns_sd_configs"][0]["port"] == port
    assert services["worker"]["environment"]["BORDERFLOW_WEB_HOST"] == "0.0.0.0"  # noqa: S104 - inside the network


def test_prometheus_asks_the_sealer_on_the_port_it_serves(services: dict[str, Any]) -> None:
    said = services["audit"]["environment"]
    assert (int(said["BORDERFLOW_AUDIT_PORT"]), said["BORDERFLOW_WEB_HOST"]) == (Settings().audit_port, "0.0.0.0")  # noqa: S104 - as above
    scrape = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())["scrape_configs"][1]
    assert scrape["job_name"] == "borderflow-audit"
    assert scrape["static_configs"] == [{"targets": [f"audit:{Settings().audit_port}"]}]


def test_prometheus_asks_the_archiver_on_the_port_it_serves(services: dict[str, Any]) -> None:
    said = services["archive"]["environment"]
    assert said["BORDERFLOW_WEB_HOST"] == "0.0.0.0"  # noqa: S104 - as above
    scrape = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())["scrape_configs"][2]
    assert scrape["job_name"] == "borderflow-archive"
    assert scrape["static_configs"] == [{"targets": [f"archive:{said['BORDERFLOW_ARCHIVE_PORT']}"]}]


def test_a_worker_gets_the_time_to_finish_its_batch(services: dict[str, Any]) -> None:
    grace = int(services["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().rebalance_timeout_s


def test_images_are_pinned(services: dict[str, Any], dockerfile: str) -> None:
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    for image in images:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+(-[a-z-]+)?", image), image
    assert len(set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))) == 1


def test_nothing_of_ours_runs_as_root_or_may_become_it(services: dict[str, Any], dockerfile: str) -> None:
    last = dockerfile.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert last.index("USER ") < last.index("ENTRYPOINT")
    for name in (*OURS, "prometheus", "grafana"):
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    for name in OURS:
        assert services[name]["read_only"] is True
    for name in ("prometheus", "grafana"):
        assert not services[name]["user"].startswith("0")


def test_the_image_checks_the_health_page_of_its_port(dockerfile: str) -> None:
    check = re.search(r"HEALTHCHECK .*CMD (\[.*\])", dockerfile)
    assert check
    assert "/healthz" in check[1]
    assert "BORDERFLOW_WEB_PORT" in check[1]
    assert f"or {Settings().web_port}" in check[1]
    assert f"EXPOSE {Settings().web_port}" in dockerfile
    program = json.loads(check[1])
    compile(program[2], "HEALTHCHECK", "exec")


def test_the_image_holds_what_is_copied_and_no_tests(dockerfile: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        path for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE) for path in line.split()[:-1]
    ]
    for path in copied:
        assert (ROOT / path).exists()
        assert f"!{path}" in ignored
    assert "*" in ignored
    assert not {"tests", "docs", "."} & set(copied)


def test_the_image_has_what_reports_are_drawn_with(dockerfile: str) -> None:
    """Its environment has no pip: who is told to install the extra there cannot."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    program = re.search(r'RUN python -c "(.*?)" > runtime.txt', dockerfile)
    assert program
    done = subprocess.run(
        [sys.executable, "-c", program[1]], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == [*project["dependencies"], *project["optional-dependencies"]["reports"]]


def test_compose_config_is_content() -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("no docker client here")
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the docker client here has no compose")
    done = subprocess.run(
        [docker, "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


# -- dashboards


def dashboards() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in (ROOT / "ops/grafana/dashboards").glob("*.json")}


def test_dashboards_use_the_provisioned_source_and_have_ids_of_their_own() -> None:
    source = yaml.safe_load((ROOT / "ops/grafana/provisioning/datasources/prometheus.yaml").read_text())
    uid = source["datasources"][0]["uid"]
    for dashboard in dashboards().values():
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert {panel["datasource"]["uid"] for panel in panels if "datasource" in panel} == {uid}
        assert all(panel["title"] for panel in panels)


def test_dashboards_are_where_grafana_looks(services: dict[str, Any]) -> None:
    provider = yaml.safe_load((ROOT / "ops/grafana/provisioning/dashboards/borderflow.yaml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    assert f"./ops/grafana/dashboards:{folder}:ro" in services["grafana"]["volumes"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.removeprefix(f"{folder}/") in dashboards()
