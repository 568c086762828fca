"""How many requests of one name may be at work at once, so that nobody holds every place of the server."""

from __future__ import annotations

from collections import Counter

from starlette.types import Scope

from so8t.operate.identity.names import folded
from so8t.operate.server.errors import Crowded

_KEY = "so8t.place"


class Place:
    """One request at work; it counts for a name from enter() until leave()."""

    def __init__(self, taken: Counter[str], each: int) -> None:
        self._taken, self._each, self._name = taken, each, ""

    def enter(self, name: str) -> None:
        """Raises Crowded when this name has as many as it may. A request that is identified twice counts once."""
        name = folded(name)
        if self._name == name:
            return
        if self._taken[name] >= self._each:
            raise Crowded(detail=f"{self._each} at once")
        self.leave()
        self._taken[name] += 1
        self._name = name

    def leave(self) -> None:
        if self._name:
            self._taken[self._name] -= 1
            if not self._taken[self._name]:
                del self._taken[self._name]
            self._name = ""


def give(scope: Scope, place: Place) -> None:
    """The guard's part: whoever identifies the request finds its place here."""
    scope[_KEY] = place


def enter(scope: Scope, name: str) -> None:
    """Count this request for the name it was identified as. Raises Crowded."""
    if (place := scope.get(_KEY)) is not None:
        place.enter(name)
