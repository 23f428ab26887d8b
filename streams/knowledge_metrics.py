"""What a worker's books hold and how its models stand, worked out when it is asked (`/metrics`), not as they fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from time import monotonic
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.risk.brain import STREAMS, Brain
from agents.risk.standings import Standing
from schemas.items import Stream
from streams.broadcast import Follow

_STANDINGS_S: Final = 15.0
"""Standings are worked out anew at most so often: a scrape must not cost what a batch does."""


class KnowledgeCollector(Collector):
    """Tells of the books that a worker follows."""

    def __init__(self, follows: Sequence[Follow]) -> None:
        self._follows = tuple(follows)
        self._brains = [one.book for one in follows if isinstance(one.book, Brain)]
        self._standings: list[tuple[Stream, tuple[Standing, ...]]] = []
        self._looked = -_STANDINGS_S

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges; without samples where there is nothing to tell."""
        entries = GaugeMetricFamily(
            "borderflow_knowledge_entries", "Entries in the book that a broadcast topic is folded into.",
            labels=("topic",),
        )  # fmt: skip
        for one in self._follows:
            book = one.book
            if isinstance(book, Brain):
                entries.add_metric((one.topic,), book.entries())
            elif isinstance(book, Sized):
                entries.add_metric((one.topic,), len(book))
        yield entries
        yield from self._labels()
        yield from self._models()

    def _labels(self) -> Iterator[GaugeMetricFamily]:
        applied = GaugeMetricFamily(
            "borderflow_labels_applied", "Lessons that the models of a stream have learnt, since the log began.",
            labels=("stream",),
        )  # fmt: skip
        held = GaugeMetricFamily(
            "borderflow_labels_quarantined", "Lessons that were held back from the models, since the log began."
        )
        ignored = GaugeMetricFamily(
            "borderflow_model_orders_ignored",
            "Promotions and rollbacks that named nothing there is, since the log began.",
        )
        for brain in self._brains:
            for stream in STREAMS:
                applied.add_metric((stream,), brain.lessons(stream))
            held.add_metric((), brain.quarantined)
            ignored.add_metric((), brain.ignored)
        yield from (applied, held, ignored)

    def _models(self) -> Iterator[GaugeMetricFamily]:
        labels = ("stream", "model")
        loss = GaugeMetricFamily(
            "borderflow_model_log_loss", "Log loss in nats on the latest lessons, each scored before it was learnt.",
            labels=labels,
        )  # fmt: skip
        ranking = GaugeMetricFamily(
            "borderflow_model_ranking_ratio", "Share of (find, clear) pairs that a model ranked the right way round.",
            labels=labels,
        )  # fmt: skip
        decides = GaugeMetricFamily(
            "borderflow_model_decides", "1 for the model that decides for a stream, 0 for a challenger.", labels=labels
        )
        gap = GaugeMetricFamily(
            "borderflow_champion_challenger_gap",
            "Log loss of the model that decides, less that of the best challenger; above 0 the challenger is ahead.",
            labels=("stream",),
        )
        for stream, standings in self._fresh():
            for one in standings:
                loss.add_metric((stream, one.model), one.log_loss)
                decides.add_metric((stream, one.model), one.decides)
                if one.ranking is not None:
                    ranking.add_metric((stream, one.model), one.ranking)
            champions = [one.log_loss for one in standings if one.decides]
            challengers = [one.log_loss for one in standings if not one.decides]
            if champions and challengers:
                gap.add_metric((stream,), champions[0] - min(challengers))
        yield from (loss, ranking, decides, gap)

    def _fresh(self) -> list[tuple[Stream, tuple[Standing, ...]]]:
        if monotonic() - self._looked >= _STANDINGS_S:
            self._looked = monotonic()
            found = [(stream, brain.standings(stream)) for brain in self._brains for stream in STREAMS]
            self._standings = [(stream, held) for stream, held in found if any(one.lessons for one in held)]
        return self._standings
