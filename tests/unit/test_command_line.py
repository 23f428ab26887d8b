"""The command line: instant help, and one clear line for what a user did wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest
from kafka.errors import KafkaConnectionError, TopicAuthorizationFailedError, UnknownError

from schemas.registry import declarations
from streams.cli import GROUPS, app, main, refusal_line
from streams.commands import CommandRefusedError, aligned, shown
from streams.producing import UnknownTopicError
from streams.settings import SettingsError

ROOT = Path(__file__).parents[2]


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line that a refused command writes; it must be one line, and the exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith("borderflow: ")
    return line


def test_help_names_every_command_group_and_imports_none_of_them() -> None:
    code = (
        "import sys; from streams.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'faust', 'aiokafka', 'kafka', 'river', 'numpy', 'streams.commands.worker'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    began = sum(getrusage(RUSAGE_CHILDREN)[:2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sum(getrusage(RUSAGE_CHILDREN)[:2]) - began < 1.5  # processor seconds; some 0.2 on a quiet machine
    assert all(f" {group} " in done.stdout for group in GROUPS)


@pytest.mark.parametrize("group", GROUPS)
def test_every_command_group_has_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    app([group, "--help"], exit_on_error=False, result_action="return_value")
    assert f"borderflow {group}" in capsys.readouterr().out


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("borderflow 0.")


def test_an_unknown_command_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(["smuggle"], capsys)
    assert "'smuggle'" in line
    assert "worker, broker, topics" in line


def test_a_misspelt_option_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--prot" in refused(["broker", "--prot", "1"], capsys)


def test_a_value_of_the_wrong_type_is_refused_by_the_name_of_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--port" in refused(["broker", "--port", "nine"], capsys)


@pytest.mark.parametrize(
    "argv", [["worker", "--web-port", "99999"], ["broker", "--port", "-1"], ["console", "--port", "99999"]]
)
def test_a_port_that_there_cannot_be_is_refused_by_its_option(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert argv[1] in refused(argv, capsys)


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["criteria", "publish", "file", "--days", "99999999"], "--days"),
        (["archive", "snapshot", "--model=-1"], "--model"),
        (["dlq", "redrive", "--every", "--rate", "nan"], "--rate"),
        (["dlq", "redrive", "--every", "--rate", "0"], "--rate"),
    ],
)
def test_a_number_that_there_cannot_be_is_refused_by_its_option(
    argv: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert option in refused(argv, capsys)


@pytest.mark.parametrize("group", GROUPS)
def test_a_command_group_says_of_itself_what_the_list_says(group: str) -> None:
    assert import_module(f"streams.commands.{group.replace('-', '_')}").app.help == GROUPS[group]


def test_the_help_of_shadows_names_every_topic_that_they_read(capsys: pytest.CaptureFixture[str]) -> None:
    app(["shadow", "start", "--help"], exit_on_error=False, result_action="return_value")
    said = capsys.readouterr().out
    assert all(f"`{name}`" in said for name, topic in declarations().items() if "shadow" in topic.consumers)


@pytest.mark.parametrize("argv", [["load", "--brokers", "border.example:9093"], ["demo"]])
def test_simulated_goods_are_lodged_at_no_border_in_production(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BORDERFLOW_ENVIRONMENT", "production")
    monkeypatch.setenv("BORDERFLOW_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("BORDERFLOW_BROKERS", "border.example:9093")
    assert refused(argv, capsys) == "borderflow: BORDERFLOW_ENVIRONMENT: production takes no simulated goods\n"


@pytest.mark.parametrize(("argv", "said"), [(["--path", "nowhere"], "--path: nowhere"), ([], "BORDERFLOW_CDD: away")])
def test_a_data_set_that_is_not_there_is_refused_by_what_named_it(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BORDERFLOW_CDD", "away")
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process is not to be told to stop otherwise
    assert said in refused(["demo", "--dataset", "cdd", *argv], capsys)


@pytest.mark.parametrize("argv", [["simulate"], ["replay"], ["replay", "--from", "kafka"], ["shadow", "report", "one"]])
def test_a_report_that_cannot_be_drawn_is_refused_before_the_work_for_it(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # no archive and no shadow is here: whatever is looked for first is not found
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "borderflow[reports]" in refused(argv, capsys)


@pytest.mark.parametrize("argv", [["load"], ["demo"]])
def test_a_policy_that_cannot_be_used_is_refused_by_the_name_of_its_variable(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text("version: [broken\n")
    monkeypatch.setenv("BORDERFLOW_POLICY_FILE", str(tmp_path / "policy.yaml"))
    assert "BORDERFLOW_POLICY_FILE: " in refused(argv, capsys)


@pytest.mark.parametrize("argv", [["load", "--json"], ["demo", "--json"], ["demo", "--picture"]])
def test_a_folder_in_place_of_a_file_is_refused_before_anything_is_lodged(
    argv: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert f"{argv[1]}: {tmp_path} is a folder" in refused([*argv, str(tmp_path)], capsys)


def test_a_worker_does_not_begin_with_a_file_of_authorities_that_holds_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    monkeypatch.setenv("BORDERFLOW_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("BORDERFLOW_TLS_CA_FILE", str(tmp_path / "ca.pem"))
    assert "BORDERFLOW_TLS_CA_FILE" in refused(["worker"], capsys)


def test_a_path_below_a_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"{tmp_path}/file/x" in refused(["acls", "list", f"{tmp_path}/file/x"], capsys)


def test_a_table_in_a_pipe_is_as_wide_as_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["acls", "list", str(ROOT / "ops" / "acls.yaml")])
    (archive,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["archive"]]
    assert archive.rstrip().endswith("monitoring-dlq")


def test_letters_of_no_time_at_all_are_not_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["dlq", "list", "--since", "2026-03-09", "--until", "2026-03-02"]
    assert "--until: is not after --since" in refused(asked, capsys)


@pytest.mark.parametrize("name", ["archive/.lock", None])
def test_a_disk_that_takes_no_more_is_told_in_one_line(name: str | None) -> None:
    assert refusal_line(OSError(errno.EROFS, "Read-only file system", name)) == (
        f"{name or 'a file'}: Read-only file system"
    )
    assert refusal_line(OSError(errno.EPIPE, "Broken pipe", name)) is None


@pytest.mark.parametrize("command", [("schemas", "personal"), ("audit", "heads", "--dir", "{folder}")])
@pytest.mark.parametrize("chains", [1, 600])
def test_a_reader_that_has_read_enough_is_no_failure_and_no_defect(
    command: tuple[str, ...], chains: int, tmp_path: Path
) -> None:
    for number in range(chains):
        head = {"topic": "decisions", "partition": number, "entries": 1, "offset": 0, "head": "ab" * 32}
        text = json.dumps({**head, "at": "2026-03-02T12:00:00+00:00"})
        (tmp_path / f"decisions-{number:05d}.heads").write_text(text + "\n")
    read, write = os.pipe()
    os.close(read)
    tokens = [one.format(folder=tmp_path) for one in command]
    ended = subprocess.run(
        [sys.executable, "-m", "streams", *tokens], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_list_of_any_length_is_lines_of_columns_and_nothing_is_cut() -> None:
    lines = list(aligned(("entry", "n", ""), [("부산", "10", ""), ("x" * 200, "9", "seen")]))
    assert lines == [f"entry{195 * ' '}  n\n", f"부산{196 * ' '}  10\n", f"{'x' * 200}  9   seen\n"]
    assert list(aligned(("entry", "n"), [])) == ["entry  n\n"]


@pytest.mark.parametrize("said", ["99999999999d", "9999-99-99", "long ago"])
@pytest.mark.parametrize("command", [["dlq", "list"], ["query", "SELECT 1"], ["replay", "--dir", "there-is-none"]])
def test_a_time_that_is_none_is_refused_by_its_option(
    command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"borderflow: --until: '{said}' is no time" in refused([*command, "--until", said], capsys)


def test_a_terminal_is_shown_the_orders_in_a_text_and_given_none() -> None:
    assert shown("a\x1b[2J\x9b\r\u202eb\nc \ud800 é 부산") == "a\\x1b[2J\\x9b\\r\\u202eb\nc \\ud800 é 부산"


def test_a_bad_setting_is_refused_by_the_name_of_its_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BORDERFLOW_PARTITIONS", "many")
    assert "BORDERFLOW_PARTITIONS" in refused(["topics", "list"], capsys)


def test_brokers_that_do_not_answer_are_named_as_a_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BORDERFLOW_BROKERS", "127.0.0.1:1")
    monkeypatch.setenv("BORDERFLOW_REQUEST_TIMEOUT_S", "1")
    assert "BORDERFLOW_BROKERS" in refused(["topics", "list"], capsys)


PLAN = """\
name: duty
receivers: [{name: desk, webhook: {url: "http://127.0.0.1:1/", secret_file: secret}}]
"""


@pytest.mark.parametrize(
    ("command", "client"),
    [  # kafka-python tries for half a minute: what it says then is put in its place
        ("archive --dir kept", "streams.archive.consuming:Archiver"),
        ("shadow start candidate --dir kept", "streams.shadow.following:Follower"),
        ("notify run plan.yaml", "streams.notify.run:Notifier"),
        ("audit seal --dir kept", None),
        ("console --demo-users", None),
    ],
)
def test_what_runs_until_it_is_told_to_stop_exits_with_1_when_brokers_are_away(
    command: str, client: str | None, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "secret").write_text("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    code = "from streams.cli import main\n"
    if client is not None:
        module, _, name = client.partition(":")
        code += f"""
import {module} as module, kafka.errors
def away(*_, **__): raise kafka.errors.KafkaTimeoutError("Unable to bootstrap")
module.{name}.run = away
"""
    done = subprocess.run(
        [sys.executable, "-c", code + f"main({command.split()!r})"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BORDERFLOW_BROKERS": "127.0.0.1:1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    said = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (why,) = [one for one in said if one["level"] == "critical"]
    assert "stops" in why["event"]
    assert "Unable to bootstrap" in why["error"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "command",
    [
        "worker --web-port 0", "archive --dir kept", "audit seal --dir kept", "console --demo-users",
        "notify run plan.yaml", "shadow start candidate --dir kept",
    ],
)  # fmt: skip
def test_what_waits_for_brokers_as_it_starts_ends_when_it_is_told_to(
    command: str, number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "secret").write_text("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", *command.split()], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BORDERFLOW_AUDIT_PORT": "0",
                 "BORDERFLOW_BROKERS": f"127.0.0.1:{silent.getsockname()[1]}"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell ignores it in the background
        )  # fmt: skip
        with silent.accept()[0]:
            process.send_signal(number)
            began = time.monotonic()
            said = process.communicate(timeout=20)[1]
            took = time.monotonic() - began
    assert process.returncode == 0, said
    assert took < 8, said  # two seconds, on a machine that has no time for it; they waited for 10 to 40
    assert "Traceback" not in said


INTERRUPTED = """
import signal, sys
from importlib.metadata import entry_points

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in the background
sys.meta_path.insert(0, Interrupted())
sys.argv = ["borderflow", "worker"]
(command,) = entry_points(group="console_scripts", name="borderflow")
command.load()()
"""


@pytest.mark.parametrize("name", ["cyclopts", "streams.commands.worker", "faust"])
def test_a_command_that_is_interrupted_while_it_is_imported_says_so_in_one_line(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(name=name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (130, ["borderflow: interrupted"]), done.stderr
    assert "Traceback" not in done.stderr


def test_only_what_the_user_can_mend_is_told_without_a_traceback() -> None:
    assert refusal_line(SettingsError("BORDERFLOW_X: no")) == "BORDERFLOW_X: no"
    assert refusal_line(CommandRefusedError("criteria.yaml: no such field")) == "criteria.yaml: no such field"
    assert "BORDERFLOW_BROKERS" in (refusal_line(KafkaConnectionError()) or "")
    assert refusal_line(FileNotFoundError(2, "No such file or directory", "x.yaml")) == (
        "x.yaml: No such file or directory"
    )
    unknown = refusal_line(UnknownTopicError("decisions")) or ""
    assert "'decisions' does not exist" in unknown
    assert "may not see it" in unknown  # brokers say the same of a topic that is hidden from who asks
    assert refusal_line(KeyError("ours")) is None


def test_a_missing_right_is_told_as_one_and_no_error_of_the_brokers_repeats_what_was_asked() -> None:
    asked = "Request 'CreateTopicsRequest(topics=[" + "CreatableTopic(), " * 500 + "])' failed with response ''."
    denied = refusal_line(TopicAuthorizationFailedError(asked)) or ""
    assert "TopicAuthorizationFailedError" in denied
    assert "ops/acls.yaml" in denied
    assert "BORDERFLOW_BROKERS" not in denied
    other = refusal_line(UnknownError(asked)) or ""
    assert "BORDERFLOW_BROKERS" in other
    assert "UnknownError" in other
    assert "CreatableTopic" not in denied + other
