"""What `so8t serve` is told: sections [serve.*] of so8t.toml. Safe as it stands: loopback, no upstream but our own.

Paths are relative to the folder the server is started in. A secret is never in this file: it lies in a file of its own
that is named here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LEAST = 1e-3  # of what is a time, and would never be enough if it were 0
YEAR_MINUTES = 525_600.0
# Least and greatest of every number below, by its key in so8t.toml; what is not here may be anything from 0.
RANGES: dict[str, tuple[float, float]] = {
    "serve.port": (0, 65_535),  # 0 = any that is free
    "serve.maximum_tokens": (1, 1_000_000),
    "serve.answer_seconds": (LEAST, 86_400),
    "serve.judge_seconds": (LEAST, 86_400),
    "serve.concurrent": (1, 100_000),
    "serve.concurrent_each": (0, 100_000),  # 0 = half
    "serve.upstream.seconds": (LEAST, 86_400),
    "serve.upstream.slots": (1, 1024),
    "serve.upstream.threads": (1, 1024),
    "serve.identity.session_minutes": (LEAST, YEAR_MINUTES),
    "serve.identity.idle_minutes": (LEAST, YEAR_MINUTES),
    "serve.identity.attempts": (1, 1000),
    "serve.identity.lock_minutes": (0, YEAR_MINUTES),
    "serve.identity.requests_per_minute": (1, 1_000_000),
    "serve.ledger.anchor_seconds": (0, 3600),
    "serve.search.rescan_minutes": (LEAST, YEAR_MINUTES),
    "serve.intake.files": (1, 1000),
    "serve.intake.pages": (1, 10_000),
    "serve.intake.megabytes": (1, 1024),
    "serve.intake.seconds": (LEAST, 86_400),
    "serve.senses.threads": (1, 1024),
    "serve.senses.megabytes": (1, 1024),
    "serve.senses.minutes": (LEAST, YEAR_MINUTES),
    "serve.senses.seconds": (LEAST, 86_400),
    "serve.monitor.interval_seconds": (LEAST, 86_400),
    "serve.monitor.integrity_minutes": (LEAST, YEAR_MINUTES),
    "serve.monitor.rescan_minutes": (LEAST, YEAR_MINUTES),
    "serve.monitor.largest_megabytes": (1, 1024),
    "serve.monitor.again_minutes": (0, YEAR_MINUTES),
    "serve.agents.calls": (0, 100),
    "serve.tools.seconds": (LEAST, 86_400),
}


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """What runs the model (issue 6.11). embedded = our own llama.cpp on the bundle's GGUF.

    addresses: replicas, each a literal http(s)://IP:PORT. key_file: a file that holds the upstream's API key, where it
    can take one. seconds: for one whole answer. slots, threads, embeddings (a second server for vectors): of ours.
    """

    kind: Literal["embedded", "llamacpp", "ollama", "openai"] = "embedded"
    addresses: tuple[str, ...] = ()
    model: str = ""
    key_file: str = ""
    seconds: float = 120.0
    slots: int = 2
    threads: int = 1
    embeddings: bool = False


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """What belonging to a group of the company's directory means here (OIDC claim or proxy header)."""

    group: str = ""
    roles: tuple[Literal["user", "reviewer", "auditor", "admin"], ...] = ("user",)
    clearance: str = ""


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """OpenID Connect (authorisation code with PKCE). issuer "" = off.

    `address` is where the issuer is really reached, a literal https://IP:PORT: the gateway asks no name server. The
    certificate is checked against the issuer's name, with `ca_file` where the company signs its own.
    """

    issuer: str = ""
    address: str = ""
    client_id: str = ""
    secret_file: str = ""
    ca_file: str = ""
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """A reverse proxy that has identified the user (Windows single sign-on). No addresses = off.

    Only from these literal addresses are the headers believed; from all others they are an error. domains: what may
    stand as DOMAIN\\user or user@domain; empty = only where the company has a single one, for then any is dropped.
    """

    addresses: tuple[str, ...] = ()
    user_header: str = "x-remote-user"
    groups_header: str = "x-remote-groups"
    groups_separator: Literal[",", ";", "|"] = ","
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IdentityConfig:
    """Who may speak to the gateway (issue 6.2). `session_*`: of the console's cookie."""

    users: str = "runs/serve/users.db"
    session_minutes: float = 480.0
    idle_minutes: float = 30.0
    attempts: int = 5
    lock_minutes: float = 15.0
    requests_per_minute: int = 120
    groups: tuple[GroupConfig, ...] = ()
    oidc: OidcConfig = field(default_factory=OidcConfig)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """Where the evidence lies (issue 6.6). postgres_file: a file that holds the connection (see docs/operate.md); then
    `path` is not used. events: where the heads go besides; syslog = the local socket or `syslog` = udp://IP:PORT."""

    path: str = "runs/serve/ledger.db"
    key: str = "runs/keys/ledger.key"
    text_key: str = "runs/keys/text.key"
    postgres_file: str = ""
    anchor_seconds: float = 1.0
    events: tuple[Literal["windows", "syslog", "journald", "file"], ...] = ()
    syslog: str = ""
    events_file: str = "runs/serve/heads.jsonl"


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """Who is told when something waits for a person (issue 6.7). smtp: literal IP:PORT on the LAN, "" = off."""

    file: str = ""
    smtp: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """certificate "" = plain HTTP, which is refused anywhere but on loopback or behind a named proxy."""

    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class SearchFolder:
    """A folder of office files. name "" = its last part; files: [glob, level] for files that are more secret than the
    folder's `classification`. A marking in a file's text counts besides; the highest of all is the file's level."""

    path: str = ""
    name: str = ""
    classification: str = "社内限定"
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Document search (issue 8.1). No folders = off. rescan_minutes: beside the system's own notices of changes, which
    do not come from other machines' disks. ocr: images and scanned pages are read where OCR is installed. vectors:
    where no document has all the words, what is near in meaning is found too, by the upstream's embeddings."""

    index: str = "runs/serve/search.db"
    rescan_minutes: float = 15.0
    folders: tuple[SearchFolder, ...] = ()
    ocr: bool = True
    vectors: bool = False


@dataclass(frozen=True, slots=True)
class IntakeConfig:
    """Images and PDFs that come with a request (SPEC M10), read by OCR where it is installed.

    files, pages: of one request, earlier turns included. megabytes: of the whole request as it is sent. seconds: for
    reading all of them, waiting for others included.
    """

    images: bool = True
    files: int = 8
    pages: int = 8
    megabytes: int = 16
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class SensesConfig:
    """Detector and recogniser that the user brings (docs/senses.md): folders with eyes.toml and ears.toml, "" = none.

    megabytes: of one image or recording as it is sent; minutes: of a recording; seconds: for one of them.
    """

    eyes: str = ""
    ears: str = ""
    threads: int = 1
    megabytes: int = 64
    minutes: float = 30.0
    seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class MailConfig:
    """Mail drafts (issue 8.3). domains: the company's own, as example.co.jp; a recipient of any other is outside, and a
    person decides. highest: the level that mail inside may carry without one; "" = the second lowest."""

    domains: tuple[str, ...] = ()
    highest: str = ""


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """The host monitor (issue 8.7, docs/monitor.md). It tells, and ends nothing. watch () = off; files are searched
    only where `folders` are named. models: servers of models on this machine (Ollama, LM Studio; plan 1.1) to which
    nobody but the gateway should speak; its own upstreams are always among them.

    allowed_*: what is in order besides loopback and the addresses named elsewhere: networks or addresses; PORT,
    PROGRAM:PORT or PROGRAM:*; patterns of paths. rules: a folder of own YARA rules. again_minutes: the same finding is
    counted for so long. quiet_hours: from, to (Japan Standard Time). state: the baseline; "" = beside the ledger.
    """

    watch: tuple[Literal["bypass", "listeners", "egress", "programs", "integrity", "usb", "files"], ...] = (
        "bypass", "listeners", "egress", "programs", "integrity", "usb", "files",
    )  # fmt: skip
    models: tuple[str, ...] = ("http://127.0.0.1:11434", "http://127.0.0.1:8080")
    interval_seconds: float = 5.0
    integrity_minutes: float = 10.0
    allowed_networks: tuple[str, ...] = ()
    allowed_listeners: tuple[str, ...] = ()
    allowed_programs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    rescan_minutes: float = 15.0
    largest_megabytes: int = 16
    rules: str = ""
    again_minutes: float = 60.0
    notify: Literal["warning", "critical", "none"] = "warning"
    quiet_hours: tuple[str, ...] = ()
    state: str = ""


@dataclass(frozen=True, slots=True)
class AgentsConfig:
    """Domain agents (plan's eight fields). folder: the company's own agent files, beside those that ship and before
    them where both have one of a name. packaged: whether those that ship are offered. calls: how often the model may
    call a tool for one request; 0 = only users call them."""

    folder: str = ""
    packaged: bool = True
    calls: int = 2
    pins: str = "runs/serve/tools.json"


@dataclass(frozen=True, slots=True)
class ToolServer:
    """A local MCP server whose tools agents may call. Either command (an absolute program and its arguments, no shell)
    or url (http://127.0.0.1:PORT/...).

    tools: which of its tools; empty = none. environment: names of variables passed on; it gets no others.
    classification: of what it returns; only who may read that may call it. effect "changes": a person decides on every
    call, unless decides = "judge".
    """

    name: str = ""
    command: tuple[str, ...] = ()
    url: str = ""
    tools: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    seconds: float = 20.0
    classification: str = ""
    effect: Literal["reads", "changes"] = "changes"
    decides: Literal["person", "judge"] = "person"


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """The gateway. hosts: further names by which browsers reach it (Host header); its own address is always one.

    bundle "" = the newest under runs/; bundle_key: the public key its signature is checked with. policy "" = the
    bundle's own. concurrent_each: how many of the `concurrent` requests may be one name's; 0 = half.
    """

    address: str = "127.0.0.1"
    port: int = 8008
    hosts: tuple[str, ...] = ()
    bundle: str = ""
    bundle_key: str = ""
    policy: str = ""
    maximum_tokens: int = 512
    answer_seconds: float = 120.0
    judge_seconds: float = 10.0
    concurrent: int = 100
    concurrent_each: int = 0
    tls: TlsConfig = field(default_factory=TlsConfig)
    upstream: UpstreamConfig = field(default_factory=UpstreamConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    notify: NotifyConfig = field(default_factory=NotifyConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    mail: MailConfig = field(default_factory=MailConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    intake: IntakeConfig = field(default_factory=IntakeConfig)
    senses: SensesConfig = field(default_factory=SensesConfig)
    agents: AgentsConfig = field(default_factory=AgentsConfig)
    tools: tuple[ToolServer, ...] = ()
