"""The policy in force, and changing it while serving: whole, valid, no looser than what was proved - or not at all.

A file is taken only when it has been still for a whole interval and says by its [end] section that it is complete, so
one that is half-written is never in force; the proven policy's own file needs no [end], for its digest says that it is
whole. The old policy stays until the ledger has the new one's entry.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t.core.errors import BundleUnproven, LedgerError, PolicyInvalid, So8tError
from so8t.core.packaged import policy_text
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.policy_change import PolicyChange, change
from so8t.operate.gateway import Gateway

SECONDS = 2.0
REFUSED = "方針の変更を断りました。前の方針が続きます / a changed policy was refused, the one before stays in force"
TAKEN = "方針が替わりました / another policy is in force"
Stamp = tuple[int, int, int]
logger = logging.getLogger("so8t.serve")


@dataclass(slots=True)
class PolicyWatch:
    """`proven` is the policy the card was measured under; `path` None = it never changes."""

    gateway: Gateway
    proven: Policy
    path: Path | None
    allow_unproven: bool = False
    problem: So8tError | None = None
    _taken: Stamp | None = None
    _seen: Stamp | None = field(default=None, repr=False)

    @property
    def policy(self) -> Policy:
        return self.gateway.judge.policy

    @property
    def change(self) -> PolicyChange:
        """How the policy in force differs from the proven one."""
        return change(self.proven, self.policy)

    async def start(self) -> None:
        """The first policy in force, with its ledger entry. Raises PolicyInvalid, BundleUnproven, LedgerUnavailable."""
        policy = self.policy
        if self.path is not None:
            self._taken = self._seen = _stamp(self.path)
            policy = self._read(self.path)
            self.gateway.judge = dataclasses.replace(self.gateway.judge, policy=policy)
        await self.gateway.note("policy", entry_body("loaded", policy, self.change, actor="server"))

    async def watch(self) -> None:
        """Look at the file for ever. Nothing that goes wrong with it ends the watch or the old policy."""
        while self.path is not None:
            await asyncio.sleep(SECONDS)
            await self.look()

    async def look(self) -> bool:
        """One look; whether a new policy came into force. A file is taken when a second look finds it unchanged."""
        if self.path is None:
            return False
        stamp = _stamp(self.path)
        still, self._seen = stamp == self._seen, stamp
        if stamp == self._taken or not still:
            return False
        self._taken = stamp
        try:
            await self._take(await asyncio.to_thread(self._read, self.path))
        except LedgerError:
            self._taken = None  # nothing is wrong with the file: it is taken as soon as the ledger is back
            raise
        except So8tError as error:
            self.problem = error
            logger.warning("%s: [%s] %s: %s", REFUSED, error.code, error.where, error.detail)
            body = {"event": "refused", "error": error.code, "detail": str(error)[:500], "actor": "server"}
            await self.gateway.note("policy", body)
            return False
        self.problem = None
        return True

    async def _take(self, policy: Policy) -> None:
        if policy.digest == self.policy.digest:
            return
        found = change(self.policy, policy)
        await self.gateway.note("policy", entry_body("changed", policy, found, actor="server"))
        self.gateway.judge = dataclasses.replace(self.gateway.judge, policy=policy)
        logger.warning("%s: %s %s (%s)", TAKEN, policy.label, policy.version, policy.digest[:12])

    def _read(self, path: Path) -> Policy:
        policy = parse_policy(*policy_text(str(path.resolve())))
        if policy.digest == self.proven.digest:
            return policy
        if not policy.complete:
            detail = f"[end] rules = N is missing: the file may be cut off ({len(policy.rules)} rules are here)"
            raise PolicyInvalid(where=path, detail=detail)
        if change(self.proven, policy).kind == "other" and not self.allow_unproven:
            raise BundleUnproven(where=path, detail="not only stricter than the policy the card was measured under")
        return policy


def entry_body(event: str, policy: Policy, found: PolicyChange, *, actor: str) -> dict[str, Any]:
    """Plan 3.2's policy_state and identity contracts, as the ledger's tables of these names show them."""
    contracts: Mapping[str, Any] = {domain.value: policy.contract(domain) for domain in policy.domains}
    return {
        "event": event,
        "actor": actor,
        "policy_digest": policy.digest,
        "policy_id": policy.id,
        "policy_version": policy.version,
        "policy_state": policy.state(),
        "identity_contracts": contracts,
        "change": found.to_json(),
    }


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
