"""The verbs of who runs the office server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from so8t.verbs.verb import config_options, trust_options, verb


def add(verbs: Any) -> None:
    _deploy_verb(verbs)
    _serve_verb(verbs)
    _users_verb(verbs)
    _review_verb(verbs)
    _backup_verb(verbs)
    _service_verb(verbs)
    _monitor_verb(verbs)
    _agents_verb(verbs)
    _tools_verb(verbs)


def _deploy_verb(verbs: Any) -> None:
    deploy = verb(
        verbs,
        "deploy",
        "バンドルを Ollama か llama.cpp で動かす",
        "put a bundle into Ollama or llama.cpp",
        "so8t.commands.deploy:deploy",
        "deploy runs/tiny/bundle --to ollama",
    )
    deploy.add_argument("bundle", type=Path, help="バンドルのフォルダ / bundle folder")
    deploy.add_argument("--to", choices=("ollama", "llamacpp"), required=True, help="動かす先 / where to")
    deploy.add_argument("--address", default="", help="http://127.0.0.1:11434, 127.0.0.1:8080 …")
    deploy.add_argument("--name", default="so8t", help="Ollama でのモデルの名前 / the models' name in Ollama")
    deploy.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="Q8_0",
        help="この量子化だけ(何度でも) / only this, repeatable",
    )
    deploy.add_argument("--by", choices=("api", "cli"), default="api", help="cli = ollama create / its own program")
    deploy.add_argument("--threads", type=int, default=0, help="llamacpp のスレッドの数(既定は CPU の半分) / threads")
    trust_options(deploy)


def _serve_verb(verbs: Any) -> None:
    serve = verb(
        verbs,
        "serve",
        "社内のサーバーを動かす(OpenAI・Ollama 互換の入口と画面)",
        "run the office server (OpenAI and Ollama interfaces, console)",
        "so8t.commands.serve:serve",
        "serve --bundle runs/tiny/bundle --config so8t.toml",
    )
    config_options(serve)
    serve.add_argument("--bundle", type=Path, help="バンドル(既定は設定、なければ最新) / bundle, newest by default")
    serve.add_argument("--policy", default=None, help="方針ファイル(既定はバンドルのもの) / policy file")
    serve.add_argument("--address", default=None, help="待ち受けるアドレス(既定 127.0.0.1) / address to listen on")
    serve.add_argument("--port", type=int, default=None, help="番号(既定 8008、0 = 空いている番号) / port, 0 = any")
    trust_options(serve)


def _users_verb(verbs: Any) -> None:
    users = verb(
        verbs,
        "users",
        "利用者、API キー、セッション(サーバの機械で)",
        "accounts, API keys and sessions, on the server's machine",
        "so8t.commands.users:users",
        "users add yamada --role admin",
    )
    users.epilog = f"{users.epilog}\n  so8t users key yamada --label batch --days 90"
    users.epilog += "\n  so8t users key sato --role user --role reviewer --label review"
    users.add_argument(
        "action", choices=("list", "add", "change", "disable", "enable", "password", "key", "revoke", "sessions")
    )
    users.add_argument("name", nargs="?", default="", help="名前、revoke ではキーの番号 / name, or the key's id")
    users.add_argument(
        "--role", action="append", default=[], choices=("user", "reviewer", "auditor", "admin"),
        help="役割(何度でも、add と key の既定は user だけ) / role, repeatable; add and key: user alone by default",
    )  # fmt: skip
    users.add_argument("--clearance", default="", help="区分(既定は方針のもの) / level, the policy's by default")
    users.add_argument("--display", help="表示名 / name to show")
    users.add_argument("--group", action="append", metavar="G", help="組(何度でも) / group, repeatable")
    users.add_argument("--password-file", type=Path, metavar="F", help="一行目がパスワード / its first line")
    users.add_argument("--no-password", action="store_true", help="add: シングルサインオンかプログラム / none")
    users.add_argument("--label", default="", help="key: 用途 / what it is for")
    users.add_argument("--days", type=float, default=365.0, help="key: 有効な日数(0 = 無期限) / days, 0 = no end")
    users.add_argument("--end", action="store_true", help="sessions: すべて終わらせる / log out everywhere")
    users.add_argument("--db", type=Path, metavar="PATH", help="利用者台帳(既定は設定) / accounts, as configured")
    users.add_argument("--policy", default="", help="区分を読む方針 / policy that names the levels")
    users.add_argument("--config", type=Path, help="so8t.toml")


def _review_verb(verbs: Any) -> None:
    review = verb(
        verbs,
        "review",
        "人へ回した依頼を見る・決める・学習用に書き出す",
        "see and decide what was handed over; export decisions for training",
        "so8t.commands.review:review",
        "review list --key-file reviewer.key",
    )
    review.epilog = f"{review.epilog}\n  so8t review approve 12 --comment 一般論 --key-file reviewer.key"
    review.epilog += "\n  so8t review export --out reviewed.jsonl"
    review.add_argument("action", choices=("list", "show", "approve", "reject", "export"))
    review.add_argument("seq", nargs="?", type=int, metavar="NUMBER", help="台帳の番号 / number in the ledger")
    review.add_argument("--server", default="", help="http://127.0.0.1:8008")
    review.add_argument("--key-file", type=Path, help="担当者の API キーのファイル / a reviewer's API key")
    review.add_argument("--comment", default="", help="記録に残す理由 / why, for the record")
    review.add_argument("--answer", default="", help="approve: モデルの代わりの答え / in place of the model's answer")
    review.add_argument("--out", type=Path, default=Path("reviewed.jsonl"), help="export: 書き先 / where to")
    review.add_argument("--ledger", type=Path, help="export: 台帳(既定は設定) / ledger, as configured")
    review.add_argument("--text-key", type=Path, help="export: 本文の鍵(既定は設定) / text key, as configured")
    review.add_argument("--config", type=Path, help="so8t.toml")


def _backup_verb(verbs: Any) -> None:
    backup = verb(
        verbs,
        "backup",
        "控えを取る・確かめる・戻す(サーバーを止めずに、暗号化して)",
        "back up, check and restore, encrypted, while serving",
        "so8t.commands.backup:backup",
        "backup create --to /mnt/backups --recipient backup.key.pub --config so8t.toml",
    )
    backup.epilog = f"{backup.epilog}\n  so8t backup keygen --to backup.key"
    backup.epilog += "\n  so8t backup restore FILE --to DIR --private-key backup.key --key ledger.key.pub"
    backup.add_argument("action", choices=("create", "verify", "restore", "keygen"))
    backup.add_argument("file", nargs="?", type=Path, help="verify, restore: 控え / the backup")
    backup.add_argument("--to", type=Path, metavar="PATH", help="作る先(create: .so8t のファイルかフォルダ) / where to")
    backup.add_argument("--recipient", type=Path, metavar="PUB", help="create: 受け手の公開鍵 / who can open it")
    backup.add_argument("--private-key", type=Path, metavar="F", help="verify, restore: その秘密鍵 / its private key")
    backup.add_argument("--passphrase-file", type=Path, metavar="F", help="一行目が合言葉 / its first line")
    backup.add_argument("--key", type=Path, metavar="PUB", help="台帳の公開鍵 / the ledger's public key, pinned")
    backup.add_argument("--with-keys", action="store_true", help="create: 秘密鍵も入れる / private keys too")
    backup.add_argument("--bundle", type=Path, help="create: バンドル(既定は設定、なければ最新) / as configured")
    backup.add_argument("--without-bundle", action="store_true", help="create: バンドルを入れない / leave it out")
    backup.add_argument("--work", type=Path, metavar="DIR", help="verify: 一時の置き場 / where to unpack meanwhile")
    config_options(backup)


def _service_verb(verbs: Any) -> None:
    service = verb(
        verbs,
        "service",
        "サーバーを Windows か systemd のサービスにする",
        "the server as a service of Windows or systemd",
        "so8t.commands.service:service",
        "service install --dry-run",
    )
    service.epilog = f"{service.epilog}\n  so8t service status --json\n  so8t service messages --to ."
    service.add_argument("action", choices=("install", "remove", "start", "stop", "status", "messages"))
    service.add_argument("--config", type=Path, help="so8t.toml(既定は決まった場所) / by convention")
    service.add_argument("--bundle", type=Path, help="バンドル(既定は設定か決まった場所) / as configured")
    service.add_argument("--key", type=Path, help="信頼する公開鍵(既定は設定か決まった場所) / trusted public key")
    service.add_argument("--user", action="store_true", help="自分だけのサービス(systemctl --user) / of one user")
    service.add_argument("--account", default="", help="動かすアカウント(パスワードのないもの) / without a password")
    service.add_argument("--now", action="store_true", help="install: すぐに動かす / start it at once")
    service.add_argument("--dry-run", action="store_true", help="することを示すだけ / only say what would be done")
    service.add_argument("--to", type=Path, metavar="DIR", help="messages: 文面の DLL を置く所 / where the DLL goes")
    service.add_argument("--by", choices=("so8t", "mingw"), default="so8t", help="messages: 作り方 / who makes it")


def _monitor_verb(verbs: Any) -> None:
    monitor = verb(
        verbs,
        "monitor",
        "この機械を見張る(網、プログラム、ファイル、USB。止めも消しもしない)",
        "watch this machine: network, programs, files, USB; it ends and deletes nothing",
        "so8t.commands.monitor:monitor",
        "monitor --once --config so8t.toml",
    )
    monitor.epilog = f"{monitor.epilog}\n  so8t monitor --accept --config so8t.toml"
    config_options(monitor)
    monitor.add_argument("--once", action="store_true", help="一度だけ。重大な所見があれば終了コード 12 / one look")
    monitor.add_argument(
        "--accept", action="store_true", help="今の状態を基準にする / take the present state as the baseline"
    )


def _agents_verb(verbs: Any) -> None:
    agents = verb(
        verbs,
        "agents",
        "分野ごとの窓口(エージェント)を見る・ファイルを確かめる",
        "see the domain agents, check an agent file",
        "so8t.commands.agents:agents",
        "agents list --config so8t.toml",
    )
    agents.epilog = (
        f"{agents.epilog}\n  so8t agents show finance\n  so8t agents check own/rules.toml --config so8t.toml"
    )
    agents.add_argument("action", choices=("list", "show", "check"))
    agents.add_argument(
        "name", nargs="?", default="", metavar="NAME|FILE", help="show: 名前、check: ファイル / name, file"
    )
    config_options(agents)
    agents.add_argument("--policy", default=None, help="方針ファイル(既定は設定かバンドルのもの) / policy file")


def _tools_verb(verbs: Any) -> None:
    tools = verb(
        verbs,
        "tools",
        "エージェントの道具(MCP サーバー)を見る・承認する・取り消す",
        "see, approve and revoke the tools of local MCP servers",
        "so8t.commands.tools:tools",
        "tools list --key-file admin.key",
    )
    tools.epilog = f"{tools.epilog}\n  so8t tools approve calendar/day --key-file admin.key"
    tools.add_argument("action", choices=("list", "approve", "revoke"))
    tools.add_argument("tool", nargs="?", default="", metavar="SERVER/TOOL", help="道具の名前 / name of the tool")
    tools.add_argument("--server", default="http://127.0.0.1:8008", help="http://IP:番号 / the running server")
    tools.add_argument("--key-file", type=Path, help="管理者の API キーのファイル / an administrator's API key")
    tools.add_argument("--yes", action="store_true", help="approve: 確認しない / do not ask")
