"""Who may do what with the service's folders on Windows: nobody but SYSTEM, the administrators and the service.

Below ProgramData every user may make folders and then owns them, so the owner is set too, and a folder that somebody
else made beforehand is refused.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from so8t.core.errors import PlaceUnfit
from so8t.operate.service.pywin32 import Pywin32, windows_says

SYSTEM, ADMINISTRATORS = "S-1-5-18", "S-1-5-32-544"
TRUSTED = {SYSTEM, ADMINISTRATORS, "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"}  # TrustedInstaller
FULL, MODIFY, READ = 0x1F01FF, 0x1301BF, 0x1200A9  # as icacls's F, M and RX
_FILE, _OWNER, _DACL, _PROTECTED = 1, 1, 4, 0x1000  # SE_FILE_OBJECT, *_SECURITY_INFORMATION, SE_DACL_PROTECTED
_MOUNT_POINT = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT: a junction, which any user may make
MAX_ENTRIES = 10_000
_REVISION, _INHERITED_BY_ALL, _ALLOWED = 2, 3, 0  # ACL_REVISION, OBJECT_ and CONTAINER_INHERIT_ACE, ACE type


@dataclass(frozen=True, slots=True)
class Rights:
    """Of a folder and all below it. `closed`: nothing is inherited from above. grants: SID -> access mask."""

    owner: str
    closed: bool
    grants: dict[str, int]


def service_sid(name: str) -> str:
    """The SID that Windows gives a service: S-1-5-80 and the SHA-1 of its name in capitals (as sc showsid shows)."""
    digest = hashlib.sha1(name.upper().encode("utf-16-le"), usedforsecurity=False).digest()
    return "S-1-5-80-" + "-".join(map(str, struct.unpack("<5I", digest)))


def account_sid(api: Pywin32, account: str) -> str:
    """Raises ServiceFailed for an account that this machine does not know."""
    front, _, name = account.rpartition("\\")
    if front.upper() == "NT SERVICE":
        return service_sid(name)
    with windows_says(api, account):
        return str(api.win32security.ConvertSidToStringSid(api.win32security.LookupAccountName(None, account)[0]))


def wanted(sid: str, mask: int) -> Rights:
    return Rights(ADMINISTRATORS, True, {SYSTEM: FULL, ADMINISTRATORS: FULL, sid: mask})


def protect(api: Pywin32, folder: Path, rights: Rights) -> None:
    """Make the folder and give it these rights, with all below it that inherits. Raises AdministratorNeeded."""
    folder.mkdir(parents=True, exist_ok=True)
    security = api.win32security
    with windows_says(api, folder):
        entries = security.ACL()
        for sid, mask in rights.grants.items():
            entries.AddAccessAllowedAceEx(_REVISION, _INHERITED_BY_ALL, mask, security.ConvertStringSidToSid(sid))
        what = _OWNER | _DACL | security.PROTECTED_DACL_SECURITY_INFORMATION
        owner = security.ConvertStringSidToSid(rights.owner)
        security.SetNamedSecurityInfo(str(folder), _FILE, what, owner, None, entries, None)


def refuse_strangers(api: Pywin32, folder: Path, but: Collection[Path] = ()) -> None:
    """Raises PlaceUnfit for the folder or anything below it that leads elsewhere or that no administrator owns: its
    owner could change it later, whatever its rights say. `but`: the service's own folders are not looked into."""
    waiting, seen = [folder], 0
    while waiting:
        path = waiting.pop()
        seen += 1
        if seen > MAX_ENTRIES:
            raise PlaceUnfit(where=folder, detail=f"> {MAX_ENTRIES} files")
        about = os.lstat(path)
        if stat.S_ISLNK(about.st_mode) or getattr(about, "st_reparse_tag", 0) == _MOUNT_POINT:
            raise PlaceUnfit(where=path, detail="link")
        owner = rights_of(api, path).owner
        if owner not in TRUSTED:
            raise PlaceUnfit(where=path, detail=f"owner {owner}")
        if stat.S_ISDIR(about.st_mode) and path not in but:
            waiting += path.iterdir()


def rights_of(api: Pywin32, folder: Path) -> Rights:
    """What is set. An entry that is no plain permission, such as a denial, counts as a grant of nothing."""
    security = api.win32security
    with windows_says(api, folder):
        found = security.GetNamedSecurityInfo(str(folder), _FILE, _OWNER | _DACL)
        owner = str(security.ConvertSidToStringSid(found.GetSecurityDescriptorOwner()))
        closed = bool(found.GetSecurityDescriptorControl()[0] & _PROTECTED)
        entries = found.GetSecurityDescriptorDacl()
        if entries is None:  # no list at all: everybody may do everything
            return Rights(owner, False, {"S-1-1-0": FULL})
        grants: dict[str, int] = {}
        for i in range(entries.GetAceCount()):
            (kind, _), mask, sid = entries.GetAce(i)[:3]
            name = str(security.ConvertSidToStringSid(sid))
            grants[name] = grants.get(name, 0) | (mask if kind == _ALLOWED else 0)
        return Rights(owner, closed, grants)
