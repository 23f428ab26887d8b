"""Who may do what on the brokers: `ops/acls.yaml` read, checked, and turned into Kafka ACLs for a principal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^(\*|[a-z0-9][a-z0-9._-]*\*?)$")]
"""A topic or group, all that begin in one way (`centre-*`), or all (`*`)."""

_ADMINISTER = ("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER", "ALTER_CONFIGS")
_OBSERVE = ("DESCRIBE", "DESCRIBE_CONFIGS")


class AclsRefusedError(ValueError):
    """The file of ACLs cannot be read, or the brokers did not take a rule; the message names which."""


class Component(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The least that one component needs. The comment at the top of `ops/acls.yaml` says what each list means."""

    what: str
    groups: tuple[Name, ...] = ()
    groups_described: tuple[Name, ...] = ()
    read: tuple[Name, ...] = ()
    write: tuple[Name, ...] = ()
    administer: tuple[Name, ...] = ()
    observe: tuple[Name, ...] = ()
    cluster: tuple[Literal["DESCRIBE", "DESCRIBE_CONFIGS"], ...] = ()


def read_components(file: Path) -> dict[str, Component]:
    """Components by name. Raises `AclsRefusedError`, or `OSError` when the file cannot be read."""
    try:
        return msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), dict[str, Component])
    except (yaml.YAMLError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise AclsRefusedError(f"{file}: {error}") from error


def acls_of(component: Component, principal: str) -> Iterator[ACL]:
    """The rules that let `principal` (`User:...`) be this component."""
    topics: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        (component.read, ("READ",)),
        (component.write, ("WRITE",)),
        (component.administer, _ADMINISTER),
        (component.observe, _OBSERVE),
    ]
    for names, operations in topics:
        for name in names:
            for operation in operations:
                yield _allow(principal, operation, ResourceType.TOPIC, name)
    for name in component.groups:
        yield _allow(principal, "READ", ResourceType.GROUP, name)
    for name in component.groups_described:
        yield _allow(principal, "DESCRIBE", ResourceType.GROUP, name)
    for operation in component.cluster:
        yield _allow(principal, operation, ResourceType.CLUSTER, "kafka-cluster")


def apply(client: KafkaAdminClient, component: Component, principal: str) -> int:
    """Add a component's rules for a principal; returns how many. Raises `AclsRefusedError` or a `KafkaError`."""
    wanted = list(acls_of(component, principal))
    answer = client.create_acls(wanted)
    if answer["failed"]:
        why = ", ".join(sorted({error.__name__ for error in answer["failed"]}))
        raise AclsRefusedError(f"the brokers did not take {len(answer['failed'])} of {len(wanted)} rules: {why}")
    return len(wanted)


def _allow(principal: str, operation: str, kind: ResourceType, name: str) -> ACL:
    prefixed = name.endswith("*") and name != "*"
    pattern = ResourcePattern(
        kind,
        name.removesuffix("*") if prefixed else name,
        ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL,
    )
    return ACL(principal, "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern)
