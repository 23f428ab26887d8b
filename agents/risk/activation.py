"""Which model decides for a stream, and since which offset of the log.

`continuous`: the promoted model follows the log, one lesson at a time. `promoted`: what decides stands still as it was
when a person promoted it (the default for passengers: Court of Justice of the EU, C-817/19, forbids criteria that
change themselves). A freeze makes a continuous stream stand still. A rollback returns to an earlier activation as it
stood: it scores bit for bit as before. Version 0 is where every log begins: a continuous stream that is rolled back
to it follows the log again; a promoted one has the blank model. Where the first record of the log is itself about the
stream, version 0 is what that made of it.
"""

from __future__ import annotations

from typing import Literal

from agents.risk.challengers import CHAMPION, Model, copy_of

Mode = Literal["continuous", "promoted"]
KEPT = 6
"""Activations of a stream that can be rolled back to; the oldest is forgotten first, version 0 never."""


class Activation:
    """The deciding model of one stream. `models` are the live ones, by name."""

    def __init__(self, mode: Mode, models: dict[str, Model]) -> None:
        self.mode = mode
        self.name = CHAMPION
        self.since = 0
        self.standing: Model | None = None if mode == "continuous" else copy_of(models[CHAMPION])
        self.labels = 0
        self._models = models
        self._kept: dict[int, tuple[str, Model, int]] = {}
        self._first = CHAMPION, self.standing

    @property
    def model(self) -> Model:
        """What decides now."""
        return self._models[self.name] if self.standing is None else self.standing

    @property
    def following(self) -> str | None:
        """The name of what decides and follows the log; None while what decides stands still."""
        return self.name if self.standing is None else None

    @property
    def versions(self) -> tuple[int, ...]:
        """What a rollback may name."""
        return (0, *self._kept)

    def promote(self, name: str, offset: int, labels: int) -> bool:
        """Let `name` decide, as it stands. False for a model that does not exist."""
        if name not in self._models:
            return False
        standing = copy_of(self._models[name])
        self.name, self.since, self.labels = name, offset, labels
        self.standing = None if self.mode == "continuous" else standing
        self._keep(offset, name, standing, labels)
        return True

    def freeze(self, offset: int, labels: int) -> None:
        """Stand still on what decides."""
        if self.standing is None:
            self.standing = copy_of(self.model)
            self.labels = labels
        self._keep(offset, self.name, self.standing, self.labels)
        self.since = offset

    def roll_back(self, to: int) -> bool:
        """Go back to the activation at `to`. False when there is none."""
        if to == 0:
            (self.name, self.standing), self.since, self.labels = self._first, 0, 0
            return True
        kept = self._kept.get(to)
        if kept is None:
            return False
        self.name, self.standing, self.labels = kept
        self.since = to
        return True

    def _keep(self, offset: int, name: str, standing: Model, labels: int) -> None:
        if offset == 0:
            self._first = self.name, self.standing
            return
        self._kept[offset] = (name, standing, labels)
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
