"""`borderflow simulate`: what another policy would have selected of a recorded history."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.markup import escape
from rich.table import Table

from agents.risk.policy import Policy, PolicyRefusedError
from schemas.knowledge import CriterionPublished
from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.commands import CommandRefusedError, output, progress_over, shown
from streams.commands.archive import archive_key, folder_of, tell_without_mac
from streams.commands.replay import chosen_policy, records_of, refusing, span_of, warm_from
from streams.knowledge import criteria as criteria_topic
from streams.reports import plots
from streams.settings import Settings
from streams.simulate.candidates import Candidate, swept
from streams.simulate.findings import Simulated
from streams.simulate.run import Question, simulate

app = App(name="simulate", help="What another policy would have selected of a recorded history.")


@app.default
def simulate_(
    *,
    policy: Annotated[
        str, Parameter(help="The candidate: a policy's file, built-in name or kept version; `current` for the latest.")
    ] = "current",
    criteria: Annotated[Path | None, Parameter(help="Criteria to try with the candidate, as for publication.")] = None,
    model: Annotated[
        int | None,
        Parameter(help="Candidates score with the models of this version.", validator=Number(gte=0)),
    ] = None,
    since: Annotated[str | None, Parameter(help="Lodged at or after: a time, or how long ago (24h, 7d).")] = None,
    until: Annotated[str | None, Parameter(help="Lodged before.")] = None,
    baseline: Annotated[
        str, Parameter(help="What to compare with: `current` (the policy that decided last), or as --policy.")
    ] = "current",
    sweep: Annotated[str | None, Parameter(help="Try several values of one setting: capacity=0.01,0.02,0.05")] = None,
    out: Annotated[Path, Parameter(help="Folder for report.html and report.json.")] = Path("simulation"),
    warm_days: Annotated[float, Parameter(help="Days before --since of which the record fills the states.")] = 36.0,
    folder: Annotated[
        Path | None, Parameter(name="--dir", help="The archive's folder; BORDERFLOW_ARCHIVE_DIR unless given.")
    ] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="Print the JSON report, too.")] = False,
) -> None:
    """Decide archived items again with a candidate policy and the baseline, and say what is known of the difference.

    The same deciders as in the stream. Outcomes exist for inspected items only: the rest is estimated from the audit
    sample with its recorded propensities, with 95% intervals. Writes report.html (opens without a network) and
    report.json. docs/analyst-guide.md tells how to read them.
    """
    plots.refuse_missing()
    settings = Settings.from_environment()
    since_ms, until_ms = span_of(since, until)
    warm_ms = warm_from(since_ms, warm_days)
    with refusing(Path(tempfile.gettempdir())):
        reader = ArchiveReader(Catalogue.of(folder_of(settings, folder)), archive_key(settings))
        tried = tuple(criteria_topic.read_file(criteria)) if criteria is not None else ()
        candidates, setting = _candidates(reader, policy, baseline, tried, sweep, model)
        question = Question(
            candidates=candidates, since_ms=since_ms, until_ms=until_ms, warm_ms=warm_ms, swept=setting,
            command=shlex.join(["borderflow", *sys.argv[1:]]),
        )  # fmt: skip
        with (
            tempfile.TemporaryDirectory(prefix="borderflow-simulate-") as held,
            progress_over({"items": records_of(reader, "filtered")}) as noticed,
        ):
            found = simulate(reader, question, Path(held), noticed=lambda count: noticed("items", count))
        tell_without_mac(reader)
    from streams.simulate.page import write_report

    with refusing(out):
        files = write_report(found, out)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    say(found)
    output(soft_wrap=True).print(f"report: {', '.join(str(file) for file in files)}")


def _candidates(
    reader: ArchiveReader,
    policy: str,
    baseline: str,
    tried: tuple[CriterionPublished, ...],
    sweep: str | None,
    model: int | None = None,
) -> tuple[list[Candidate], str | None]:
    """The candidates in the order of a `Question`, and the setting that is swept."""
    first = Candidate("candidate", _policy(reader, policy, "--policy"), tried, model=model)
    other = first.policy if baseline == policy else _policy(reader, baseline, "--baseline")
    last = Candidate("current" if baseline == "current" else "baseline", other)
    if sweep is None:
        return [first, last], None
    try:
        setting, several = swept(first, sweep)
    except PolicyRefusedError as error:
        raise CommandRefusedError(str(error)) from None
    return [first, *several, last], setting


def _policy(reader: ArchiveReader, asked: str, option: str) -> Policy:
    return chosen_policy(reader, None if asked == "current" else asked, option)


def say(found: Simulated) -> None:
    """The answer, for the terminal."""
    console = output()
    recorded = found.recorded
    console.print(
        f"{found.items:,} items lodged {found.since[:16]} to {found.until[:16]}; recorded: coverage "
        f"{recorded.coverage:.2%}, {recorded.inspected:,} inspected, {recorded.seizures:,} seizures"
    )
    table = Table("policy", "coverage", "selected", "known", "seizures", "unknown", "expected seizure rate", box=None)
    for one in found.candidates:
        table.add_row(
            escape(one.name), f"{one.coverage:.2%}", f"{one.selected:,}", f"{one.known:,}", f"{one.seizures_known:,}",
            f"{one.unknown_share:.1%}", one.estimate.seizure_rate.said(".1%"),
        )  # fmt: skip
    console.print(table)
    console.print("known: selected items whose outcome is recorded, and the seizures among them", style="dim")
    if found.criteria:
        hits = Table("criterion", "hits a day", "share", "cap", "most at", "expected hit rate", box=None)
        for each in found.criteria:
            rate = "no hits" if each.hit_rate is None else each.hit_rate.seizure_rate.said(".1%")
            name, worst = escape(shown(each.criterion_id)), f"{escape(shown(each.worst))} {each.worst_share:.1%}"
            hits.add_row(name, f"{each.hits_per_day:,.1f}", f"{each.share:.2%}", f"{each.cap:.2%}", worst, rate)
        console.print(hits)
    for caution in found.cautions:
        console.print(f"- {caution}", markup=False)
