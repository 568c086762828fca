"""Keys, tokens and passwords: by the form their issuers give them, or by the word before them."""

from __future__ import annotations

import itertools
import re

from so8t.decide.pii_form import Family, Form

_VALUE = r"[!#-&*+\--;=?-Z\\^_a-z|~]"  # printable ASCII but for quotes, brackets, comma and <>
_IS = r"[\"']?\s?(?:[:=]|は(?=\s?[\"'「『]?[!-~]{4}))\s?[\"'「『]?"
# What stands where a value will: a variable, an access to one, a pattern, or a word about values.
_PLACEHOLDER = re.compile(
    r"[$%]+\w*%?|(?:os|process|config|settings|self|request|args?|env|options?|secrets?|data|form)\.[\w.]+|get_?env"
    r"|get_\w+|your\w*|your[_-][\w-]+|my[_-][\w-]+|x{3,}[\w-]*|\.{3}|\*+|<\w+>|https?:.*"
    r"|none|null|true|false|undefined|required|optional|str|string|text|field|bytes|example|sample|dummy|changeme"
    r"|placeholder|hidden|secret|password|passwd|input|enter|must|should|cannot|needs?|this|that|here|with|from|will"
    r"|is|are|empty|unset|unknown|invalid|incorrect|wrong|missing|expired|reset|hash(?:ed)?|encrypted|protected|default",
    re.I,
)


def is_chosen(text: str) -> bool:
    """A value somebody set, not a variable, a type or a word about values."""
    return len(set(text)) > 1 and _PLACEHOLDER.fullmatch(text) is None


def is_random(text: str) -> bool:
    """Letters and digits mixed as no word or identifier mixes them: at least three changes between the two."""
    kinds = [c.isdigit() for c in text if c.isalnum()]
    changes = sum(a != b for a, b in itertools.pairwise(kinds))
    return changes >= 3 and len(set(text)) >= 8


_ISSUED = (
    r"(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}|glpat-[\w-]{20,255}"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,255}|sk-[A-Za-z0-9_-]{20,255}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}|AIza[\w-]{35}"
    r"|hf_[A-Za-z0-9]{30,255}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,255}"
    r"|eyJ[\w-]{10,5000}\.eyJ[\w-]{10,5000}\.[\w-]{10,1000}"
)
SECRETS = Family.of(
    Form(
        "秘密鍵",
        re.compile(
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[A-Za-z0-9+/=\s:,-]{0,20000}-----END [A-Z ]{0,30}KEY-----)?"
        ),
        ("private key-----",),
    ),
    Form(
        "APIキー",
        re.compile(rf"(?<![A-Za-z0-9])(?:{_ISSUED})"),
        (
            *("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk-", "aiza"),
            *("sk_live", "sk_test", "rk_live", "rk_test", "hf_", "npm_", "pypi-", "eyj"),
        ),
    ),
    Form(
        "APIキー",
        re.compile(r"hooks\.slack\.com/services/(T[A-Z0-9]{6,20}/B[A-Z0-9]{6,20}/[A-Za-z0-9]{10,60})"),
        ("hooks.slack.com",),
    ),
    Form(
        "APIキー",
        re.compile(rf"(?:(?:api|access|secret)[_ -]?key|access[_ -]?token|apiキー){_IS}({_VALUE}{{8,500}})", re.I),
        ("api", "access", "secret"),
        is_chosen,
    ),
    Form(
        "APIキー",
        re.compile(
            r"(?:key|token|secret|credentials?|bearer|トークン|シークレット|鍵|キー)"
            r"[\"']?(?:\s?[:=は]\s?|\s)[\"'「]?([A-Za-z0-9+/_=-]{16,500})",
            re.I,
        ),
        ("key", "token", "secret", "credential", "bearer", "トークン", "シークレット", "鍵", "キー"),
        is_random,
    ),
    Form(
        "パスワード",
        re.compile(
            rf"(?:pass(?:word|wd|phrase|code)?|pwd|パスワード|パスフレーズ|パスコード|合言葉){_IS}({_VALUE}{{4,200}})",
            re.I,
        ),
        ("pass", "pwd", "パス", "合言葉"),
        is_chosen,
    ),
    Form("パスワード", re.compile(r"://[^\s/:@]{1,100}:([^\s/:@]{3,200})@"), ("://",), is_chosen),
    Form(
        "パスワード",
        re.compile(r"(?:暗証番号|(?<![A-Za-z])PIN(?:コード)?)\s?[:=は]?\s?[\"'「]?([0-9]{4,8})(?![0-9桁文])", re.I),
        ("暗証番号", "pin"),
    ),
)
