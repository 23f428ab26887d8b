"""Log lines that machines read in production and people read in a terminal, without a word about a person.

Everything that logs in a borderflow process (our own modules through structlog, Faust, aiokafka and kafka-python
through the standard library) goes through the same processors to standard error. Ids, offsets and reasons are
logged; personal data is not: a field whose type carries `x-personal` in the schemas is masked wherever it appears as
a key, and an event given as a value is cut down to its type and its id.
"""

from __future__ import annotations

import errno
import functools
import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO, get_args, get_type_hints

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "(personal)"

_CHATTY = ("aiokafka", "kafka", "faust", "mode", "asyncio", "aiohttp.access")
"""Libraries whose INFO lines say nothing that our own do not: they log from WARNING on, and never below INFO, because
their DEBUG lines hold what is in the records."""

REPEATS_S = 30.0
"""How often the same line of such a library is written at most: clients that wait for a broker say so at every try."""

_ID_FIELDS = (
    "decision_id", "alert_id", "result_id", "item_id", "manifest_id", "waybill", "criterion_id", "entry_id",
)  # fmt: skip


def configure_logging(level: str = "INFO", *, stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Send all logging of this process to `stream` (standard error) as JSON lines, or coloured in a terminal.

    `level` is the least severe level written. Safe to call again: the last call decides.
    """
    stream = sys.stderr if stream is None else stream
    as_json = not stream.isatty() if as_json is None else as_json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_personal_data,
    ]
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    )
    handler = logging.StreamHandler(stream)
    handler.addFilter(Sparing())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    quiet = {"DEBUG": "INFO", "INFO": "WARNING"}.get(level, level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(quiet)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class Sparing(logging.Filter):
    """Lets a library's line through once in `REPEATS_S`; the next one that passes says how many were `repeated`.

    Lines are the same when they differ in numbers only (ports, offsets, waits). A traceback always passes, but for that
    of a connection that could not be taken for want of files: asyncio writes thousands of these a second. A client that
    tries again has not failed, so its errors about connections are warnings here: what cannot be done at all stops the
    worker, and says so.
    """

    def __init__(self, every_s: float = REPEATS_S, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._said: dict[tuple[str, str], float] = {}
        self._withheld: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is written."""
        if record.name.partition(".")[0] not in _CHATTY or record.levelno < logging.WARNING:
            return True
        if record.exc_info and not _out_of_files(record):
            return True
        if record.levelno == logging.ERROR and record.name.startswith(("kafka.net", "kafka.conn", "aiokafka.conn")):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        line = (record.name, _NUMBERS.sub("#", record.getMessage()))
        now = self._clock()
        if now - self._said.get(line, float("-inf")) < self._every_s:
            self._withheld[line] = self._withheld.get(line, 0) + 1
            return False
        if len(self._said) > _LINES:
            self._said.clear()
        self._said[line] = now
        if withheld := self._withheld.pop(line, 0):
            record.repeated = withheld
        return True


def _out_of_files(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


_NUMBERS = re.compile(r"[0-9][0-9.:]*")
_LINES = 1_000


def without_personal_data(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Mask personal fields and cut events down to their type and id (a structlog processor)."""
    personal = personal_fields()
    for key, value in line.items():
        if key in personal:
            line[key] = MASK
        elif isinstance(value, msgspec.Struct):
            line[key] = _named(value)
    return line


@functools.cache
def personal_fields() -> frozenset[str]:
    """Names of all fields that the schemas mark as about a person, wherever they stand in an event."""
    from schemas import decisions, inspections, items, knowledge, lodgements

    found: set[str] = set()
    for module in (lodgements, items, decisions, inspections, knowledge):
        for thing in vars(module).values():
            if isinstance(thing, type) and issubclass(thing, msgspec.Struct):
                hints = get_type_hints(thing, include_extras=True)
                found.update(name for name, kind in hints.items() if _is_personal(kind))
    return frozenset(found)


def _is_personal(kind: Any) -> bool:
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and (meta.extra_json_schema or {}).get("x-personal"):
            return True
    return any(_is_personal(part) for part in get_args(kind))


def _named(event: msgspec.Struct) -> str:
    for name in _ID_FIELDS:
        if name in event.__struct_fields__:
            return f"{type(event).__name__}({getattr(event, name)})"
    return type(event).__name__
