"""The question before a criterion is published: how much would it have fired on lately?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from agents.risk.policy import PolicyRefusedError
from schemas.knowledge import CriterionPublished
from streams.archive.layout import ArchiveError, Catalogue
from streams.archive.reading import ArchiveReader
from streams.commands import CommandRefusedError
from streams.commands.archive import archive_key, folder_of
from streams.policies import load_policy
from streams.settings import Settings
from streams.simulate.lately import latest_items
from streams.simulate.projecting import Projector


def refuse_load(settings: Settings, events: Sequence[CriterionPublished], folder: Path | None, days: int) -> None:
    """Say what criteria would have fired on; raise `CommandRefusedError` when one exceeds its cap somewhere.

    Without an archive, or one without filtered items, nothing can be projected: that is said, and nothing is refused.
    An archive that cannot be read is a refusal: there is something to project from, and somebody has to look.
    """
    console = Console(stderr=True, highlight=False)
    tried = [event for event in events if not event.withdrawn]
    root = folder_of(settings, folder)
    if not tried:
        return
    if not root.is_dir():
        if folder is not None:
            raise CommandRefusedError(f"--dir: {root}: there is no archive here")
        console.print(f"no projection: there is no archive at {root} (BORDERFLOW_ARCHIVE_DIR)", markup=False)
        return
    try:
        policy = load_policy(settings.policy_file)
    except PolicyRefusedError as error:
        raise CommandRefusedError(f"BORDERFLOW_POLICY_FILE: {error}") from None
    try:
        reader = ArchiveReader(Catalogue.of(root), archive_key(settings))
        projector = Projector(tried, policy)
        for filtered, fired in latest_items(reader, tried, days):
            projector.take(filtered, fired)
    except (ArchiveError, CommandRefusedError) as error:
        raise CommandRefusedError(f"no projection: {error}; --accept-load publishes without one") from None
    if not projector.days:
        console.print(f"no projection: no filtered item is archived at {root}", markup=False)
        return
    over = []
    for one in projector.projected():
        most = f"; most at {one.worst}, {one.worst_share:.2%}" if one.worst_share else ""
        console.print(
            f"{one.criterion_id}: {one.hits_per_day:,.1f} hits a day over the latest {projector.days} days, "
            f"{one.share:.2%} of items{most}",
            markup=False,
        )
        for other in one.overlaps:
            console.print(f"  {other.share:.0%} of them also hit {other.criterion_id}", markup=False)
        if (excess := projector.over_cap(one.criterion_id)) is not None:
            point, hits, room = excess
            over.append(f"{one.criterion_id}: {hits:,} hits at {point}, and its cap of {one.cap:.2%} lets {room:,} act")
    if over:
        raise CommandRefusedError(
            f"projected above the cap: {'; '.join(over)}. Narrow the condition, raise `cap` (and the policy's "
            "criterion_cap), or publish with --accept-load: hits over the cap are kept without effect"
        )
