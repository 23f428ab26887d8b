"""What targeteers publish: files of criteria and risk information to events, and events to their compacted topics.

A file is YAML or JSON: one entry, a list of entries, or several YAML documents. Everything in it is checked before
anything is sent, against the types, against the rules of the domain, and against what is published already: versions
must rise, and after it is sent the topic is read again, so that two people cannot overwrite each other unnoticed.

A version takes effect at once, and its dates are event time. So that nothing falls between two versions, one without
`valid_from` keeps the date of the version that it replaces; an entry that is new begins a day before it is published,
for what was lodged before and is not decided yet.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, TypeVar
from unicodedata import category

import msgspec
import yaml

from agents.risk.criteria import check_criterion
from agents.risk.risk_information import check_entry
from schemas.codec import Undecodable, ce_type_of, codec_for, encode
from schemas.knowledge import CriterionPublished, RiskInformationPublished
from streams.commands import CommandRefusedError
from streams.settings import Settings
from streams.strict_yaml import OnceEach, load_documents
from streams.wire import Record, cloud_event, decoded, rfc3339

E = TypeVar("E", CriterionPublished, RiskInformationPublished)

_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}")
_OF_SEVERAL_LINES = ("condition",)
_LAST_VERSION = (1 << 53) - 1
"""Above it a reader that takes numbers for doubles (JavaScript) cannot tell versions apart."""
_DATES = ("valid_from", "valid_until")
LAST_MOMENT = timedelta(microseconds=1)
"""`valid_until` is the first moment when an entry is no longer in force; people are told the last day when it is."""
_WAITING_S = 86_400.0
"""What is new begins so long before it is published."""


class _Texts(OnceEach):
    """YAML in which dates stay texts: whether they have a time zone is for the types to check.

    So do numbers that are not written as people write them: `010` is 8 to YAML 1.1, and `1:30` is 90.
    """


_INT = "tag:yaml.org,2002:int"
_Texts.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:timestamp", _INT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Texts.add_implicit_resolver(_INT, re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,17})$"), list("-+0123456789"))


def valid(event: CriterionPublished | RiskInformationPublished) -> str:
    """The days from which and until which it applies to items, as people are told; and whether they are over."""
    if event.valid_until is None:
        return f"{event.valid_from:%Y-%m-%d}"
    over = " (over)" if event.valid_until <= datetime.now(UTC) else ""
    return f"{event.valid_from:%Y-%m-%d} - {event.valid_until - LAST_MOMENT:%Y-%m-%d}{over}"


def _parsed(text: str) -> list[Any]:
    """The documents of a text: one of JSON, which is read twenty times faster, or of YAML. Raises `ValueError`."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return [json.loads(text, object_pairs_hook=_once_each)]
        except json.JSONDecodeError:
            pass  # flow style of YAML begins so as well
        except RecursionError:
            raise ValueError("nested too deeply") from None
    return load_documents(text, _Texts)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError("a key stands twice in one entry")
    return held


def _day_after(day: str) -> str:
    try:
        return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return day  # the types refuse what is not in the calendar


def _unwritable(value: Any) -> str | None:
    """Why a value cannot be sent as JSON."""
    try:
        msgspec.json.encode(value)
    except RecursionError:
        return "it holds itself, or is nested too deeply"
    except UnicodeEncodeError:
        return "half of a character (a lone surrogate) is in it"
    except (TypeError, ValueError):
        return f"a {type(value).__name__} cannot be sent"
    return None


def _control_character(value: Any) -> str | None:
    """What kind of a control character stands in a text, or in one of a list of texts."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str):
            if text.splitlines() not in ([], [text]):
                return "a line break is"
            if any(category(one) == "Cc" for one in text):
                return "a control character is"
    return None


class Knowledge(Generic[E]):
    """One of the two topics: its type, the field that names an entry, and the rules of the domain.

    `check` raises `ValueError` with a sentence for an entry that cannot be used.
    """

    def __init__(self, topic: str, kind: type[E], id_field: str, check: Callable[[E], None]) -> None:
        self.topic = topic
        self.kind: type[E] = kind
        self.id_field = id_field
        self._fields = {"event", *(field.name for field in msgspec.structs.fields(kind))}
        self._check: Callable[[E], None] = check

    def id_of(self, event: E) -> str:
        """The key of the event's record."""
        return str(getattr(event, self.id_field))

    def read_file(self, path: Path, *, now_s: float | None = None) -> list[E]:
        """The entries of a file, all of them usable. An entry without `valid_from` is valid from a day ago.

        Raises `CommandRefusedError`, which names the file, the entry and the field; and `OSError`.
        """
        return self._read(path, time.time() if now_s is None else now_s)[0]

    def to_publish(
        self,
        path: Path,
        published: Callable[[], dict[str, E]],
        *,
        new_only: bool = False,
        leave_gap: bool = False,
        now_s: float | None = None,
    ) -> list[E]:
        """The entries of a file as they follow on what is published, which is asked for when the file is usable.

        A version without `valid_from` keeps that of the version that it replaces. Raises `CommandRefusedError`, also
        for a version that would end one in force before it begins itself, unless `leave_gap`.
        """
        now_s = time.time() if now_s is None else now_s
        events, undated = self._read(path, now_s)
        latest = published()
        if new_only:
            events = self.without_published(events, latest)
        self.refuse_old_versions(events, latest)
        now = datetime.fromtimestamp(now_s, UTC)
        following: list[E] = []
        for event in events:
            name = self.id_of(event)
            held = latest.get(name)
            if held is not None and not held.withdrawn and (held.valid_until is None or held.valid_until > now):
                if name in undated:
                    event = msgspec.structs.replace(event, valid_from=held.valid_from)
                    self._refuse_unusable(f"{path}: {name}", event)
                elif held.valid_from <= now < event.valid_from and not (leave_gap or event.withdrawn):
                    raise CommandRefusedError(
                        f"{name}: valid_from: version {held.version} is in force, and ends when {event.version} is "
                        "published: nothing would be in force until that begins. Publish it then, under an id of its "
                        "own, or with --leave-gap"
                    )
            following.append(event)
        return following

    def _read(self, path: Path, now_s: float) -> tuple[list[E], set[str]]:
        """The entries of a file, and the ids of those without a date of their own."""
        try:
            documents = _parsed(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise CommandRefusedError(f"{path}: is not text in UTF-8") from None
        except ValueError as error:
            raise CommandRefusedError(f"{path}: not readable as YAML or JSON: {error}") from None
        entries = [one for document in documents for one in (document if isinstance(document, list) else [document])]
        if not entries or entries == [None]:
            raise CommandRefusedError(f"{path}: there is nothing in it")
        since = rfc3339(now_s - _WAITING_S).decode()
        events = [self._entry(f"{path}: entry {place}", one, since) for place, one in enumerate(entries, 1)]
        seen: set[str] = set()
        for event in events:
            if (name := self.id_of(event)) in seen:
                raise CommandRefusedError(f"{path}: {self.id_field} {name} stands in it twice")
            seen.add(name)
        dated = zip(events, entries, strict=True)
        return events, {self.id_of(event) for event, sent in dated if "valid_from" not in sent}

    def _entry(self, where: str, sent: Any, since: str) -> E:
        if not isinstance(sent, dict):
            raise CommandRefusedError(f"{where}: expected fields with values, got a {type(sent).__name__}")
        if isinstance(sent.get(self.id_field), str) and sent[self.id_field].isprintable():
            where = f"{where} ({sent[self.id_field]})"
        for name in sent:
            if name not in self._fields:
                meant = get_close_matches(str(name), self._fields, n=1)
                raise CommandRefusedError(
                    f"{where}: unknown field {str(name)!r}" + (f"; did you mean {meant[0]!r}?" if meant else "")
                )
        values = {"event": self.kind.__name__, "valid_from": since, **sent}
        for name in _DATES:
            if isinstance(values.get(name), str) and _DATE_ONLY.fullmatch(values[name]):
                day = _day_after(values[name]) if name == "valid_until" else values[name]
                values[name] = day + "T00:00:00Z"
        for name, value in values.items():
            if (wrong := _unwritable(value)) is not None:
                raise CommandRefusedError(f"{where}: {name}: {wrong}")
            if name not in _OF_SEVERAL_LINES and (broken := _control_character(value)):
                raise CommandRefusedError(f"{where}: {name}: {broken} in it, where one line of text is expected")
        try:
            event: E = codec_for(self.topic).decode(msgspec.json.encode(values))
        except Undecodable as error:
            raise CommandRefusedError(f"{where}: {error.field}: {error.detail}") from None
        if event.version > _LAST_VERSION:
            raise CommandRefusedError(f"{where}: version: {event.version} is above the last, {_LAST_VERSION}")
        self._refuse_unusable(where, event)
        return event

    def _refuse_unusable(self, where: str, event: E) -> None:
        if problem := self.problem(event):
            raise CommandRefusedError(f"{where}: {problem}")

    def problem(self, event: E) -> str | None:
        """Why an entry cannot be used; None when it can."""
        try:
            self._check(event)
        except ValueError as error:
            return str(error)
        return None

    def unusable(self, settings: Settings) -> dict[str, str]:
        """Published entries that cannot be used, by id, and why. Raises the client's `KafkaError`.

        They were published by other means than the command, or by an earlier version, which took them.
        """
        published = self.published(settings).items()
        said = {name: self.problem(event) for name, event in published if not event.withdrawn}
        return {name: why for name, why in said.items() if why is not None}

    def published(self, settings: Settings) -> dict[str, E]:
        """The latest event of every entry, withdrawn ones too, by id. Raises the client's `KafkaError`."""
        return asyncio.run(self._published(settings))

    async def _published(self, settings: Settings) -> dict[str, E]:
        latest = dict[str, E]()
        async for record, event in self._log(settings):
            if event is not None:
                latest[self.id_of(event)] = event
            elif record.key is not None:
                latest.pop(record.key.decode(errors="replace"), None)
        return dict(sorted(latest.items()))

    async def _log(self, settings: Settings) -> AsyncIterator[tuple[Record, E | None]]:
        """The records of the topic with their events, None for a tombstone."""
        from streams.rebuild import LogReader

        decode = codec_for(self.topic).decode
        async with LogReader(settings) as reader:
            async for records in reader.read(self.topic, 0, 0):
                for record in records:
                    try:
                        yield record, decoded(decode, record)
                    except Undecodable:
                        continue  # workers leave it out as well

    async def _refuse_overwritten(self, settings: Settings, sent: Sequence[E]) -> None:
        """Raise `CommandRefusedError` when somebody else published one of these, or a later one, at the same time."""
        mine = {self.id_of(event): (event.version, encode(event)) for event in sent}
        theirs, is_mine = dict[str, int](), dict[str, bool]()
        async for record, event in self._log(settings):
            if event is None:  # what follows on a tombstone begins anew
                theirs.pop((record.key or b"").decode(errors="replace"), None)
                continue
            if (name := self.id_of(event)) not in mine:
                continue
            version, value = mine[name]
            is_mine[name] = record.value == value
            if event.version >= version and not is_mine[name]:
                theirs[name] = max(event.version, theirs.get(name, 0))
        if theirs:
            told = [
                f"{name}: somebody else published version {version} at the same time, and "
                f"{'yours' if is_mine[name] else 'theirs'} is in force; publish version {version + 1}"
                for name, version in theirs.items()
            ]
            raise CommandRefusedError("; ".join(told))

    def refuse_old_versions(self, events: Iterable[E], published: dict[str, E]) -> None:
        """Raise `CommandRefusedError` when a version does not rise above the published one."""
        for event in events:
            name = self.id_of(event)
            held = published.get(name)
            if held is not None and event.version <= held.version:
                raise CommandRefusedError(
                    f"{name}: version: {event.version} is not above {held.version}, which is published already"
                )

    def without_published(self, events: Iterable[E], published: dict[str, E]) -> list[E]:
        """The events whose version rises above the published one."""
        return [one for one in events if (held := published.get(self.id_of(one))) is None or one.version > held.version]

    def send(self, settings: Settings, events: Sequence[E]) -> None:
        """Publish events and wait until the brokers have them. Raises the client's `KafkaError`.

        Raises `CommandRefusedError`, when everything is sent, for what others published at the same time.
        """
        from kafka import KafkaProducer

        producer = KafkaProducer(
            **settings.client_options(),
            client_id=f"{settings.group}-targeting",
            acks="all",
            enable_idempotence=settings.idempotence,
        )
        try:
            now_s = time.time()
            time_header = rfc3339(now_s)
            sent = []
            for event in events:
                name = self.id_of(event)
                ce_id = f"{self.topic}/{name}/{event.version}"
                headers = cloud_event(ce_id, ce_type_of(self.kind), b"borderflow/command-line", time_header)
                sent.append(
                    producer.send(
                        self.topic,
                        key=name.encode(),
                        value=encode(event),
                        headers=headers,
                        partition=0,
                        timestamp_ms=int(now_s * 1000),
                    )
                )
            producer.flush()
            for one in sent:
                one.get(timeout=settings.request_timeout_s)
        finally:
            producer.close(timeout=5)
        asyncio.run(self._refuse_overwritten(settings, events))

    def withdraw(self, settings: Settings, name: str) -> E:
        """Publish the next version of an entry, withdrawn. Raises `CommandRefusedError` when there is none to end."""
        held = self.published(settings).get(name)
        if held is None or held.withdrawn:
            state = "is not published" if held is None else f"was withdrawn with version {held.version}"
            raise CommandRefusedError(f"{name} {state}")
        ended = msgspec.structs.replace(held, version=held.version + 1, withdrawn=True)
        self.send(settings, [ended])
        return ended


criteria = Knowledge("criteria", CriterionPublished, "criterion_id", check_criterion)
entries = Knowledge("risk-information", RiskInformationPublished, "entry_id", check_entry)
