"""`borderflow`: one command for workers, topics, targeteers and analysts.

A command group is a module with an `app`; it is imported when its command is called, so that help and completion
stay instant whatever the groups import. What a user did wrong ends in one line on standard error that names the
setting, field or file, and exit code 2; anything else is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from streams.commands import DISK, CommandRefusedError, broker_errors, nobody_reads, refused_by_brokers, shown

GROUPS = {
    "worker": "Host the four steps, or some of them, as one member of the consumer group.",
    "broker": "Run the embedded broker in the foreground (memory only: demo and tests).",
    "topics": "Create, list and describe the topics of the loop.",
    "schemas": "Show and check the schemas of the events.",
    "criteria": "Publish, withdraw and list targeting criteria.",
    "risk-info": "Publish, withdraw and list risk information.",
    "models": "Show, promote, freeze and roll back the models.",
    "acls": "Show what each component may do on the brokers, and grant it to a principal.",
    "doctor": "Check settings, certificates, brokers, topics, rights, workers, seals, clock and disk; say what to do.",
    "dlq": "List, show and send again what the steps refused.",
    "archive": "Write every record to Parquet files, once; keep them in order.",
    "audit": "Seal records in hash chains; check that none was changed since.",
    "query": "Ask the archive in SQL, or by name.",
    "replay": "Decide history again, or check every recorded decision.",
    "simulate": "What another policy would have selected of a recorded history.",
    "shadow": "Try a candidate policy on live traffic, without any effect on decisions.",
    "console": "Serve the border control centre's page: alerts, results, the day.",
    "notify": "Tell webhooks and mailboxes of urgent alerts.",
    "load": "Lodge simulated items at a given rate and measure latency.",
    "demo": "Run the whole loop on this machine, with a live view.",
}
"""Name and one line of help of every command group; `streams.commands.<name with underscores>` holds its `app`."""


def version() -> str:
    """Name and version of the installed distribution."""
    from importlib.metadata import version

    return f"borderflow {version('borderflow')}"


app = App(
    name="borderflow",
    help="Real-time border selectivity over Kafka: screening, filtering, selection and re-evaluation.",
    version=version,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
for _name, _help in GROUPS.items():
    app.command(f"streams.commands.{_name.replace('-', '_')}:app", name=_name, help=_help)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command of `argv` and exit (2 when the user is refused)."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    sys.argv = ["borderflow", *tokens]  # reports tell the exact command
    if tokens and not tokens[0].startswith("-") and tokens[0] not in GROUPS:
        _refuse(f"there is no command {tokens[0]!r}; there are {', '.join(GROUPS)}")
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        if sys.__stdout__ is not None:  # it was closed before the start
            sys.__stdout__.flush()
    except CycloptsError as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        print("borderflow: interrupted", file=sys.stderr)  # noqa: T201 - the command line's own voice
        sys.exit(130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _output_is_cut_off():
            nobody_reads()
        if (line := refusal_line(error)) is None:
            raise
        _refuse(line)
    sys.exit(code if isinstance(code, int) else 0)


def refusal_line(error: BaseException) -> str | None:
    """What to tell the user when `error` is about what they asked for or where it runs; None for a defect of ours."""
    from streams.embedded import BrokerFailedError, BrokerNotInstalledError
    from streams.producing import UnknownTopicError
    from streams.settings import SettingsError
    from streams.topics import TopicsUnfitError

    if isinstance(
        error,
        CommandRefusedError | SettingsError | TopicsUnfitError | UnknownTopicError | BrokerFailedError
        | BrokerNotInstalledError,
    ):  # fmt: skip
        return str(error)
    if isinstance(error, broker_errors()):
        name = type(error).__name__
        if name.endswith("AuthorizationFailedError"):
            return f"the brokers do not let this user do that ({name}): ops/acls.yaml says who needs which rights"
        if refused := refused_by_brokers(error):
            return refused
        said = str(error).partition(" Request '")[0].rstrip(":")  # kafka-python goes on with all that it had asked
        return f"BORDERFLOW_BROKERS: the brokers do not answer as they should: {said or name}"
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError | PermissionError):
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in DISK:
        return f"{error.filename or 'a file'}: {error.strerror}"
    return None


def _output_is_cut_off() -> bool:
    """Whether nobody reads standard output any more; a broken pipe may be one to a broker, too."""
    asked = select.poll()
    asked.register(1, 0)
    return any(said & (select.POLLERR | select.POLLHUP) for _, said in asked.poll(0))


def _refuse(line: str) -> None:
    print(f"borderflow: {shown(' '.join(line.split()))}", file=sys.stderr)  # noqa: T201 - the command line's own voice
    sys.exit(2)


if __name__ == "__main__":
    main()
