"""The policy is data: what is misspelt, out of bounds or contradictory is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import msgspec.inspect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.risk.policy import Policy, PolicyRefusedError, read_policy
from streams.policies import BUILT_IN, built_in_policy, load_policy, parse_policy
from streams.policies.page import PATH, policy_page

ROOT = Path(__file__).parents[2]
ONE = "version: a\ncontrol_points: {KRICN-EXP: {streams: [express-cargo]}}\n"


def test_the_policy_page_is_the_one_that_the_policy_writes() -> None:
    assert (ROOT / PATH).read_text(encoding="utf-8") == policy_page(), "run make generate"


def test_the_page_s_example_is_a_policy_and_its_built_in_one_is_the_default() -> None:
    page = policy_page()
    small, default = (parse_policy(part.split("```")[0]) for part in page.split("```yaml\n")[1:])
    assert small.admits("NLRTM-SEA", "manifests")
    assert small.layers != default.layers  # said on the page
    assert default == built_in_policy()


def test_the_page_tells_the_lanes_of_a_policy_that_leaves_them_out() -> None:
    lanes = parse_policy(ONE).lanes
    for name in ("manifests", "express_cargo", "passengers"):
        shares = getattr(lanes, name)
        for lane in ("red", "yellow", "blue"):
            (row,) = [line for line in policy_page().splitlines() if line.startswith(f"| `lanes.{name}.{lane}`")]
            assert row.split(" | ")[2].split()[0] == f"{getattr(shares, lane):g}"


def test_every_setting_says_what_it_means() -> None:
    rows = [line for line in policy_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.rstrip(" |").endswith("|")] == []


def test_the_demo_s_policy_is_the_default_with_a_larger_draw() -> None:
    ours, default = (msgspec.to_builtins(built_in_policy(name)) for name in ("demo", "default"))
    differing = {name for name in ours if ours[name] != default[name]}
    assert differing == {"version", "layers", "cold_start"}
    for section in ("layers", "cold_start"):
        assert ours[section].pop("exploration") > default[section].pop("exploration")
        assert ours[section] == default[section]


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_policies_are_sound_and_named_by_their_contents(name: str) -> None:
    policy = built_in_policy(name)
    assert policy.policy_version.startswith(f"{name}-1+")
    assert len(policy.policy_version) <= 32


def test_default_policy_knows_the_offices_of_the_simulated_world() -> None:
    policy = load_policy()
    assert policy.admits("KRPUS-SEA", "manifests")
    assert policy.admits("KRICN-T1", "passengers")
    assert not policy.admits("KRICN-T1", "manifests")
    assert not policy.admits("NOWHERE", "passengers")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("foo: 1", "`foo`"),
        ("layers: {profile: 0.9}", "$.layers"),
        ("layers: {exploratoin: 0.1}", "`exploratoin`"),
        ("capacity_share: 0", "capacity_share"),
        ("capacity_share: .nan", "capacity_share"),
        ("lanes: {passengers: {red: 0.5, yellow: 0.4, blue: 0.1}}", "blue lane"),
        ("lanes: {manifests: {red: 0.5, yellow: 0.4}}", "$.lanes.manifests"),
        ("lanes: {exploration: green}", "green lane"),
        (
            "control_points: {AA: {streams: [passengers]}}\nlanes: {exploration: blue}",
            "lanes.exploration cannot be blue",
        ),
        ("reports: {seizure_hours: 721}", "reports.seizure_hours exceeds"),
        ("deadlines: {audit_days: 31}", "audit_days"),
        ("horizons: {decisions_days: 10}", "decisions_days"),
        ("horizons: {filtering_hours: 200}", "filtering_hours"),
        ("cold_start: {exploration: 0.01}", "cold_start.exploration"),
        ("drift: {confidence: 2}", "$.drift.confidence"),
        ("control_points: {}", "control_points"),
        ("control_points: {AA: {streams: []}}", "streams"),
        ("control_points: {AA: {streams: [parcels]}}", "'AA': Invalid enum value 'parcels' - at `$.streams[0]`"),
        ("control_points: {AA: {streams: [manifests]}, BB: 3}", "control_points: 'BB'"),
        (
            "control_points: {AA: {streams: [manifests]}, B: {streams: [manifests]}}",
            "control_points: 'B': Expected `str` of length >= 2",
        ),
        ("control_points: {1234: {streams: [manifests]}}", "control_points: 1234: Expected `str`"),
        ("control_points: {AA: {streams: [manifests, manifests]}}", "'AA': a stream stands in `streams` twice"),
        ("control_points: {'   ': {streams: [manifests]}}", "'   ' has blanks around it"),
        ('control_points: {"AB\\n": {streams: [manifests]}}', r"'AB\n' has"),
        ("control_points: {KRICN: {streams: [manifests]}, krICN: {streams: [manifests]}}", "'KRICN' and 'krICN'"),
        ("version: ''", "version"),
    ],
)
def test_bad_policy_is_refused_by_name(settings: str, named: str) -> None:
    key = settings.partition(":")[0]
    text = "\n".join([*(line for line in ONE.splitlines() if not line.startswith(f"{key}:")), settings])
    with pytest.raises(PolicyRefusedError) as refused:
        parse_policy(text)
    assert named in str(refused.value)


def _numbers(kind: msgspec.inspect.Type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all settings that are numbers, but for those of control points."""
    if isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    if isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            yield from _numbers(field.type, (*path, field.encode_name))
    elif isinstance(kind, msgspec.inspect.FloatType | msgspec.inspect.IntType):
        yield path


@pytest.mark.parametrize("path", list(_numbers(msgspec.inspect.type_info(Policy))), ids=".".join)
@pytest.mark.parametrize("value", [".inf", "1.0e+300", "-.inf", ".nan", "-1.0"])
def test_no_number_is_without_bounds(path: tuple[str, ...], value: str) -> None:
    *sections, name = path
    text = "".join(f"{section}: {{" for section in sections) + f"{name}: {value}" + "}" * len(sections)
    with pytest.raises(PolicyRefusedError):
        parse_policy(ONE + text + "\n")


def test_file_that_cannot_be_read_or_is_no_yaml_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefusedError, match=r"missing\.yaml"):
        load_policy(tmp_path / "missing.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: [")
    with pytest.raises(PolicyRefusedError, match=r"broken\.yaml.*not YAML"):
        load_policy(broken)
    broken.write_text("- a list")
    with pytest.raises(PolicyRefusedError, match=r"broken\.yaml"):
        load_policy(broken)
    broken.write_bytes(b"version: caf\xe9")
    with pytest.raises(PolicyRefusedError, match=r"broken\.yaml.*UTF-8"):
        load_policy(broken)


def test_a_setting_that_stands_there_twice_is_refused_wherever_it_stands() -> None:
    with pytest.raises(PolicyRefusedError, match="line 4: `capacity_share` stands there a second time"):
        parse_policy(ONE + "capacity_share: 0.02\ncapacity_share: 0.05\n")
    with pytest.raises(PolicyRefusedError, match="line 5: `surge` stands there a second time"):
        parse_policy(ONE + "layers:\n  surge: 0.1\n  surge: 0.2\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "everything_until: 2026-02-30T00:00:00Z",
            "not YAML: line 3, column 19: there is no such date, time or number",
        ),
        ("everything_until: 2026-13-01", "not YAML: line 3, column 19: there is no such date, time or number"),
        ("streams: " + "[" * 5000, "not YAML: nested too deeply"),
        ('draw_key: "secret"key"', "not YAML: line 3, column 19: expected <block end>"),
        ("---\nversion: 1", "not YAML: there is a second document in it"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_place_and_not_by_its_text(text: str, said: str) -> None:
    with pytest.raises(PolicyRefusedError) as refused:
        parse_policy(ONE + text)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_version_changes_with_any_setting_and_not_with_the_order_of_the_file() -> None:
    base = parse_policy(ONE)
    assert parse_policy(ONE + "capacity_share: 0.02\n").policy_version == base.policy_version
    assert parse_policy(ONE + "capacity_share: 0.03\n").policy_version != base.policy_version
    lines = ONE.splitlines()
    assert parse_policy("\n".join(reversed(lines))).policy_version == base.policy_version


def test_draws_are_kept_over_a_change_of_policy_by_their_key() -> None:
    assert parse_policy(ONE).draws == "a"
    assert parse_policy(ONE + "draw_key: secret\n").draws == "secret"


@given(learnt=st.integers(0, 1000))
def test_exploration_falls_from_the_cold_share_to_the_usual_one(learnt: int) -> None:
    policy: Policy = read_policy({"version": "a", "control_points": {"AA": {"streams": ["manifests"]}}})
    rate = policy.exploration_rate("AA", learnt)
    assert 0.1 * 0.02 - 1e-12 <= rate <= 0.5 * 0.02 + 1e-12
    assert rate >= policy.exploration_rate("AA", learnt + 1)
    assert policy.exploration_rate("AA", 200) == pytest.approx(0.002)
