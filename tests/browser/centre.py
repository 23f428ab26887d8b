"""A border control centre for the browser tests: a broker, its topics, a console, its users, and alerts to work on."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import msgspec

from agents.risk.alerts import raise_alert
from agents.risk.policy import Deadlines
from load.children import Children
from schemas.codec import ce_type_of, codec_for, encode
from schemas.decisions import AlertRaised, Layer, Reason, SelectionDecided
from schemas.items import CriterionHit, ItemFiltered, RiskHit
from schemas.marks import Upstream
from streams.console.accounts import User, hashed, write_users
from streams.wire import Outgoing, cloud_event, header, rfc3339
from tests.border import DESK, parcel
from tests.integration.border import Border
from tests.integration.harbour import PATIENCE_S
from tests.ports import own_port

PASSWORD = "a password of these tests"  # noqa: S105 - of no use anywhere else
PEOPLE = {
    "kim": ("officer", (DESK,)),
    "lee": ("officer", (DESK,)),
    "new": ("officer", (DESK,)),  # claims nothing in any test
    "ana": ("analyst", ("*",)),
    "sup": ("supervisor", ("*",)),
}


def alert(
    number: int,
    *,
    minutes_left: float = 240,
    lane: str = "red",
    layer: Layer = "model",
    reasons: tuple[Reason, ...] | None = None,
    **item: Any,
) -> AlertRaised:
    """Alert `number`, lodged now; `item` goes to `tests.border.parcel`, or is `filtered` itself."""
    now = datetime.now(UTC).replace(microsecond=0)
    filtered: ItemFiltered = item.pop("filtered", None) or parcel(
        number, at=now, due_after=timedelta(minutes=minutes_left), **item
    )
    told = filtered.item
    decision = SelectionDecided(
        decision_id=f"d-{told.item_id.replace('/', '-')}-{number:08x}",
        item_id=told.item_id,
        stream=told.stream,
        control_point=told.control_point,
        subject=told.subject,
        lodged_at=told.lodged_at,
        due_at=told.due_at,
        lane=lane,  # type: ignore[arg-type]
        selected=True,
        layer=layer,
        layers=(layer,),
        score=0.71,
        probability=0.34,
        threshold=0.42,
        propensity=1.0,
        exploration_rate=0.002,
        features={"bias": 1.0},
        criteria=tuple(hit.criterion_id for hit in filtered.criteria),
        reasons=reasons
        if reasons is not None
        else (
            Reason(code="consignee", text="This consignee: 2.1 finds in 3.4 recent inspections", weight=1.72),
            Reason(code="log-value-per-kg", text="A declared value of 80 USD per kg, far below usual", weight=0.61),
            Reason(code="remainder", text="Everything else about the item, and the base rate", weight=-1.44),
        ),
        model_version=912,
        profile_version=905,
        criteria_version=3,
        risk_information_version=2,
        policy_version="test",
        origin=told.origin,
        upstream=Upstream(topic="filtered", partition=0, offset=number),
        screened=Upstream(topic="screened", partition=0, offset=number),
    )
    return raise_alert(decision, filtered, Deadlines())


class Centre:
    """The running parts; `url` is the console's."""

    def __init__(self, children: Children, folder: Path) -> None:
        self._children = children
        self._folder = folder
        self.border = Border(children)
        self.url = ""
        self.urls: list[str] = []

    @property
    def trail(self) -> list[dict[str, Any]]:
        """What the first console's audit trail holds."""
        return [json.loads(line)["entry"] for line in (self._folder / "trail-1.jsonl").read_text().splitlines()]

    def open_console(self, **settings: str) -> str:
        """Start a console; its address."""
        number = len(self.urls) + 1
        users = self._folder / "users.json"
        if not users.exists():
            secret = hashed(PASSWORD)
            write_users(users, tuple(User(name, role, points, secret) for name, (role, points) in PEOPLE.items()))  # type: ignore[arg-type]
        port = own_port()
        self._children.start(
            f"console-{number}", "console", "--port", str(port),
            **{
                "BORDERFLOW_CONSOLE_USERS_FILE": str(users),
                "BORDERFLOW_CONSOLE_TRAIL_FILE": str(self._folder / f"trail-{number}.jsonl"),
                **settings,
            },
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + PATIENCE_S
        while True:
            self._children.check()
            try:
                with urlopen(f"{url}/login", timeout=2):  # noqa: S310 - the console just started
                    break
            except (URLError, OSError):
                assert time.monotonic() < until, "the console did not start"
                time.sleep(0.1)
        self.urls.append(url)
        self.url = self.url or url
        return url

    @contextlib.contextmanager
    def mute_broker(self) -> Iterator[None]:
        """A broker that answers nobody, for a while."""
        self._children.signal("broker", signal.SIGSTOP)
        try:
            yield
        finally:
            self._children.signal("broker", signal.SIGCONT)

    def publish(self, topic: str, events: Iterable[msgspec.Struct], key: str = DESK) -> float:
        """Produce events; the time (epoch, s) just before."""
        records = [record(event, key) for event in events]
        at = time.time()
        _aside(lambda: self.border.lodge(topic, records))
        return at

    @staticmethod
    def aside(act: Callable[[], Any]) -> Any:
        """Run what starts an event loop while Playwright's own runs."""
        return _aside(act)

    def results(self) -> list[Any]:
        """Every event on inspection-results."""
        decode = codec_for("inspection-results").decode
        read = _aside(lambda: self.border.read("inspection-results"))
        return [decode(one.value, header(one.headers, "ce_type")) for one in read]

    def raise_alerts(self, alerts: Sequence[AlertRaised]) -> float:
        """Produce alerts; the time (epoch, s) just before."""
        return self.publish("alerts", alerts)


def record(event: msgspec.Struct, key: str) -> Outgoing:
    """An event as a record, sent now."""
    now = time.time()
    name = getattr(event, "alert_id", None) or getattr(event, "decision_id", None) or f"x-{time.time_ns()}"
    headers = cloud_event(name, ce_type_of(type(event)), b"test", rfc3339(now))
    return Outgoing(key.encode(), encode(event), int(now * 1000), headers)


def _aside(act: Callable[[], Any]) -> Any:
    """Run what starts an event loop in another thread: Playwright's own loop runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(act).result()


@contextlib.contextmanager
def centre(folder: Path, *, worker: bool = False) -> Iterator[Centre]:
    """A centre on a broker of its own, with a console, and with a worker that hosts the four steps."""
    folder.mkdir(parents=True, exist_ok=True)
    with Children({}, folder) as children:
        children.start_broker()
        held = Centre(children, folder)
        held.border.open(*(["worker-1"] if worker else []))
        held.open_console()
        yield held


__all__ = ["DESK", "PASSWORD", "Centre", "CriterionHit", "RiskHit", "alert", "centre"]
