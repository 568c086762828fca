"""pywin32 as one thing: its modules, and its errors in our words. Named nowhere else in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from so8t.core.errors import (
    AdministratorNeeded,
    PackageMissing,
    ServiceAbsent,
    ServiceFailed,
    ServiceThere,
    So8tError,
)

# winerror.h
FILE_NOT_FOUND, ACCESS_DENIED, PRIVILEGE_NOT_HELD = 2, 5, 1314
ALREADY_RUNNING, NO_SUCH_SERVICE, NOT_ACTIVE, MARKED_FOR_DELETE, ALREADY_EXISTS = 1056, 1060, 1062, 1072, 1073
SPECIFIC_ERROR, NEVER_STARTED = 1066, 1077
ERRORS: dict[int, type[So8tError]] = {
    ACCESS_DENIED: AdministratorNeeded,
    PRIVILEGE_NOT_HELD: AdministratorNeeded,
    NO_SUCH_SERVICE: ServiceAbsent,
    ALREADY_EXISTS: ServiceThere,
}


@dataclass(frozen=True, slots=True)
class Pywin32:
    """Each field is the module of that name; tests have fakes of the compiled ones."""

    win32api: Any
    win32evtlog: Any
    win32evtlogutil: Any
    win32security: Any
    win32service: Any
    win32serviceutil: Any

    @classmethod
    def load(cls) -> Pywin32:
        """Raises PackageMissing."""
        try:
            return cls(**{field.name: import_module(field.name) for field in fields(cls)})
        except ImportError:
            raise PackageMissing(detail="pywin32") from None


@contextmanager
def windows_says(api: Pywin32, where: object, but: int = 0) -> Iterator[None]:
    """Turns pywin32's error into ours, with Windows's own words and number. `but`: a number that is no error here."""
    try:
        yield
    except api.win32api.error as error:
        if but and error.winerror == but:
            return
        detail = f"{error.funcname}: {error.strerror} ({error.winerror})"
        if error.winerror == MARKED_FOR_DELETE:
            detail += "; services.msc を閉じると消えます / close services.msc"
        raise ERRORS.get(error.winerror, ServiceFailed)(where=where, detail=detail) from error
