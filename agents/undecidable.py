"""The one exception of the steps: an item that cannot be decided, with the field to blame."""

from __future__ import annotations


class Undecidable(Exception):  # noqa: N818 - a word of the domain, as Undecodable is
    """`reason` is a slug of `agents.refusals`, `field` a path in the item; no personal value is in any of the three."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(f"{reason}: {field}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail
