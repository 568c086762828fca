"""The ledger's tables on PostgreSQL, the rights its roles need, and whether what is stored is still just that."""

from __future__ import annotations

NAMESPACE = "so8t"
_JSON = "convert_from(body, 'UTF8')::json -> 'data'"


def _data(name: str) -> str:
    return f"{_JSON} ->> '{name}'"


COLUMNS = {
    "entries": (
        "seq bigint NOT NULL, time text NOT NULL, kind text NOT NULL, decision text, request_id text, actor text, "
        "body bytea NOT NULL, prev bytea NOT NULL, hash bytea NOT NULL, signature text"
    ),
    "texts": "seq bigint NOT NULL, name text NOT NULL, sealed bytea NOT NULL",
}
KEYS = {"entries": "seq", "texts": "seq, name"}
INDEXES = {"entries_kind": "kind, decision", "entries_actor": "actor", "entries_request": "request_id"}
VIEWS = {
    "decision_log": (
        f"SELECT seq, time, decision, request_id, actor, {_data('confidence')} AS confidence, "
        f"{_data('domain')} AS domain, {_data('reason')} AS reason, {_data('policy_digest')} AS policy_digest, "
        "encode(hash, 'hex') AS hash FROM so8t.entries WHERE kind = 'decision'"
    ),
    "identity_contract": (
        f"SELECT seq, time, {_data('policy_digest')} AS policy_digest, {_data('policy_version')} AS policy_version, "
        "contract.key AS domain, contract.value ->> 'role' AS role, contract.value ->> 'scope' AS scope, "
        "contract.value ->> 'limitations' AS limitations, "
        "contract.value ->> 'escalation_policy' AS escalation_policy, encode(hash, 'hex') AS hash "
        f"FROM so8t.entries, json_each({_JSON} -> 'identity_contracts') AS contract WHERE kind = 'policy'"
    ),
    "policy_state": (
        f"SELECT seq, time, {_data('event')} AS event, {_data('policy_digest')} AS policy_digest, "
        f"{_data('policy_version')} AS policy_version, state.key AS name, state.value #>> '{{}}' AS value, "
        "encode(hash, 'hex') AS hash "
        f"FROM so8t.entries, json_each({_JSON} -> 'policy_state') AS state WHERE kind = 'policy'"
    ),
    "audit_log": (
        f"SELECT seq, time, kind, actor, coalesce({_data('event')}, decision) AS event, "
        "encode(hash, 'hex') AS hash FROM so8t.entries"
    ),
}


def create_statements() -> list[str]:
    """What makes an empty ledger; the owner runs it, or the gateway's role where it may create a schema."""
    return [
        f"CREATE SCHEMA IF NOT EXISTS {NAMESPACE}",
        *(f"CREATE TABLE so8t.{name}({COLUMNS[name]}, PRIMARY KEY({KEYS[name]}))" for name in COLUMNS),
        *(f"CREATE INDEX {name} ON so8t.entries({columns})" for name, columns in INDEXES.items()),
        *(f"CREATE VIEW so8t.{name} AS {sql}" for name, sql in VIEWS.items()),
    ]


# The gateways append and read; only texts can be deleted (erasure on legal request). Nobody but the owner can change a
# table, and the owner's password lies on no gateway.
ROLES = [
    "CREATE ROLE so8t_gateway LOGIN",
    "CREATE ROLE so8t_auditor LOGIN",
    "REVOKE ALL ON SCHEMA so8t FROM PUBLIC",
    "REVOKE ALL ON ALL TABLES IN SCHEMA so8t FROM PUBLIC",
    "GRANT USAGE ON SCHEMA so8t TO so8t_gateway, so8t_auditor",
    "GRANT SELECT ON ALL TABLES IN SCHEMA so8t TO so8t_gateway, so8t_auditor",
    "GRANT INSERT ON so8t.entries TO so8t_gateway",
    "GRANT INSERT, DELETE ON so8t.texts TO so8t_gateway",
]


def script() -> str:
    """Tables and roles as a script for psql."""
    return ";\n".join([*create_statements(), *ROLES]) + ";\n"


# Names of what is in the schema and should not be, or is otherwise than we make it. Run as one query.
RELATIONS = """
SELECT c.relname, c.relkind::text,
  coalesce((SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
              || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0), ''),
  coalesce(CASE c.relkind WHEN 'i' THEN pg_get_indexdef(c.oid) WHEN 'v' THEN pg_get_viewdef(c.oid) END, '')
FROM pg_class c WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'so8t')
  AND c.relkind <> 't' ORDER BY 1"""
HOOKS = """
SELECT 'trigger ' || t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
  WHERE NOT t.tgisinternal AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'so8t')
UNION ALL SELECT 'rule ' || r.rulename FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
  WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'so8t')
  AND NOT (c.relkind = 'v' AND r.rulename = '_RETURN')
UNION ALL SELECT 'policy ' || p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
  WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'so8t')
UNION ALL SELECT 'inherits ' || c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent IN (SELECT oid FROM pg_class
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'so8t') AND relkind IN ('r', 'p'))"""


def expected_indexes() -> dict[str, str]:
    """As pg_get_indexdef prints them."""
    unique = {
        f"{name}_pkey": f"CREATE UNIQUE INDEX {name}_pkey ON so8t.{name} USING btree ({KEYS[name]})" for name in KEYS
    }
    return unique | {
        name: f"CREATE INDEX {name} ON so8t.entries USING btree ({columns})" for name, columns in INDEXES.items()
    }


def differences(relations: list[tuple[str, str, str, str]], views: dict[str, str]) -> list[str]:
    """Names that are missing, too many, or not as we make them; `views` are our definitions as this server prints
    them, `relations` the rows of RELATIONS."""
    stored = {name: (kind, columns, definition) for name, kind, columns, definition in relations}
    wanted = {name: ("r", columns, "") for name, columns in COLUMNS.items()}
    found = {name for name in COLUMNS if stored.get(name) != wanted[name]}
    for name, sql in (expected_indexes() | views).items():
        if name not in stored or stored[name][2] != sql:
            found.add(name)
    return sorted(found | (stored.keys() - wanted.keys() - expected_indexes().keys() - VIEWS.keys()))
