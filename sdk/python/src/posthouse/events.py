"""Events, whichever door they come through."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from . import models
from ._base import Model


class Event(Model):
    """Something that happened. `docs/events.md` has all names, and new ones may come."""

    event_id: str = Field(alias="eventId")
    """The same for every copy of one occurrence."""
    event: str
    timestamp: str
    account_id: str = Field(alias="accountId")
    inbox_id: str = Field(default="", alias="inboxId")
    """Empty if it is about no inbox."""
    data: dict[str, Any]
    cursor: str
    """Keep it: from here on nothing is missed."""

    @property
    def email(self) -> models.Email | None:
        """The email that it is about, without its body."""
        is_about_one = self.event.startswith("email.")
        return models.Email.model_validate(self.data) if is_about_one else None

    @classmethod
    def of_frame(cls, frame: dict[str, Any]) -> Event:
        """From a WebSocket, whose frames have names of their own."""
        names = {
            "eventId": "event_id",
            "event": "event_type",
            "timestamp": "timestamp",
            "accountId": "account_id",
            "inboxId": "inbox_id",
            "data": "data",
            "cursor": "cursor",
        }
        return cls.model_validate({name: frame[theirs] for name, theirs in names.items()})


class EventPage(Model):
    data: list[Event]
    cursor: str
    has_more: bool = Field(alias="hasMore")
