"""Keys and passwords are masked; the code and the prose that speak of them stay. All values are made up."""

from __future__ import annotations

import pytest

from so8t.decide.pii import find

GITHUB = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
SLACK = "T01ABCDEF/B02GHIJKL/a1B2c3D4e5F6"


def found(text: str) -> list[tuple[str, str]]:
    return [(f.kind, text[f.start : f.end]) for f in find(text)]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("APIキー", f"export GITHUB_TOKEN={GITHUB}", GITHUB),
        ("APIキー", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENG", "wJalrXUtnFEMIK7MDENG"),
        ("APIキー", 'api_key: "f3b9c2d17a6e48f0"', "f3b9c2d17a6e48f0"),
        ("APIキー", "client_secret = '9fE3kL0pQ7xT2vB8nM5c'", "9fE3kL0pQ7xT2vB8nM5c"),
        ("APIキー", "トークンは a8K2m9Qx7Lp4Zt1Wv6 です", "a8K2m9Qx7Lp4Zt1Wv6"),
        ("APIキー", "Authorization: Bearer 0a1b2c3d4e5f6a7b8c9d", "0a1b2c3d4e5f6a7b8c9d"),
        ("APIキー", f"https://hooks.slack.com/services/{SLACK}", SLACK),
        ("パスワード", "初期パスワードはWelcome2024です。", "Welcome2024"),
        ("パスワード", "password: password1", "password1"),
        ("パスワード", "password: getRich24", "getRich24"),
        ("パスワード", "パスワードはsakura。", "sakura"),
        ("パスワード", "暗証番号は4821です。", "4821"),
        ("パスワード", "PIN: 903512", "903512"),
        ("パスワード", "postgres://app:S3cr3tPw@db/main", "S3cr3tPw"),
    ],
)  # fmt: skip
def test_each_secret(kind: str, text: str, value: str) -> None:
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        'password = os.environ["DB_PASSWORD"]',
        "password=$DB_PASSWORD",
        "password: required",
        "api_key = config.get_secret()",
        "API_KEY=your_api_key_here",
        'token: str = ""',
        "パスワードは8文字以上にする。パスワード:未設定",
        "暗証番号は4桁の数字、暗証番号を忘れた",
        "トークンの期限は30分、キーは引き出しの2段目",
        "primary key: user_account_identifier",
        "public key getUserAccountByIdentifier2024",
        "SCAPIN 4401 号",
        "http://host:8080/path@here",
    ],
)
def test_talk_of_secrets_stays(text: str) -> None:
    assert found(text) == []
