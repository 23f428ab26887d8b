"""What a worker's books hold and how its models stand, worked out when it is asked (`/metrics`), not as they fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
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
    """Tells of the books that a worker follows; of its models only when these are those that it decides with.

    While it catches up with their log, what it has learnt "since the log began" would look like news.
    """

    def __init__(self, follows: Sequence[Follow], caught_up: Callable[[], bool]) -> None:
        self._follows = tuple(follows)
        self._caught_up = caught_up
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
        brains = self._brains if self._caught_up() else []
        yield from self._labels(brains)
        yield from self._models(brains)

    def _labels(self, brains: list[Brain]) -> Iterator[GaugeMetricFamily]:
        version = GaugeMetricFamily(
            "borderflow_model_version",
            "The offset after the last labelled example that this worker's models have learnt, as decisions say it.",
        )
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
        still = GaugeMetricFamily(
            "borderflow_model_stands_still",
            "1 while what decides for a stream that follows the log stands still (frozen, or rolled back), else 0.",
            labels=("stream",),
        )
        for brain in brains:
            version.add_metric((), brain.version)
            for stream in STREAMS:
                activation = brain.activation(stream)
                still.add_metric((stream,), activation.mode == "continuous" and activation.following is None)
                applied.add_metric((stream,), brain.lessons(stream))
            held.add_metric((), brain.quarantined)
            ignored.add_metric((), brain.ignored)
        yield from (version, applied, held, ignored, still)

    def _models(self, brains: list[Brain]) -> Iterator[GaugeMetricFamily]:
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
        for stream, standings in self._fresh(brains):
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

    def _fresh(self, brains: list[Brain]) -> list[tuple[Stream, tuple[Standing, ...]]]:
        if monotonic() - self._looked >= _STANDINGS_S:
            self._looked = monotonic()
            found = [(stream, brain.standings(stream)) for brain in brains for stream in STREAMS]
            self._standings = [(stream, held) for stream, held in found if any(one.lessons for one in held)]
        return self._standings
