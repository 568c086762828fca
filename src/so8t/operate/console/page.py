"""Templates of resources/console -> answers a browser may show: everything escaped, nothing from elsewhere, no script
but our one file.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.responses import Response

from so8t.core.packaged import packaged
from so8t.operate.console import moments, texts
from so8t.operate.console.ledger_words import EVENT_WORDS, FINDING_WORDS, KIND_WORDS
from so8t.operate.review.case import STATUS_WORDS
from so8t.report.figures import DECISION_WORDS, DOMAIN_WORDS, JUDGE_WORDS, NONE, Words

CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
# same-origin, not no-referrer: under that a browser would send "Origin: null" with our own forms.
HEADERS = {
    "content-security-policy": CSP, "referrer-policy": "same-origin", "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}  # fmt: skip
STATIC = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
SIGNS = {"ALLOW": "○", "ESCALATE": "△", "DENY": "×"}
STATUS_LOOKS = {"pending": "wait", "second": "wait", "allowed": "allow", "denied": "deny", "expired": "deny"}
STATUS_SIGNS = {"pending": "…", "second": "…", "allowed": "○", "denied": "×", "expired": "×"}
ROLE_WORDS = {
    "user": Words("利用者", "User"), "reviewer": Words("承認者", "Reviewer"), "auditor": Words("監査人", "Auditor"),
    "admin": Words("管理者", "Administrator"),
}  # fmt: skip
METHOD_WORDS = {
    "password": Words("パスワード", "password"), "oidc": Words("社内アカウント", "company account"),
    "proxy": Words("社内の統合認証", "single sign-on"),
}  # fmt: skip


def page(name: str, lang: str, status: int = 200, **values: Any) -> Response:
    """A page in one language ("ja" or "en"). What a template does not get is an error, not an empty place."""
    text = _environment().get_template(f"{name}.jinja").render(lang=lang, **values)
    return Response(text, status, HEADERS, "text/html")


@cache
def static(name: str) -> bytes:
    """One of STATIC."""
    return packaged("console", name).read_bytes()


@cache
def version() -> str:
    """Changes when a style sheet or script does, so that browsers may keep them for good."""
    return hashlib.sha256(b"".join(static(name) for name in STATIC)).hexdigest()[:12]


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: packaged("console", name).read_text(encoding="utf-8")),
        auto_reload=False,
    )  # fmt: skip
    made.globals |= {
        "t": _t, "w": _w, "when": _when, "length": _length, "version": version(), "dash": NONE,
        "decision_words": DECISION_WORDS, "domain_words": DOMAIN_WORDS, "judge_words": JUDGE_WORDS,
        "status_words": STATUS_WORDS, "status_looks": STATUS_LOOKS, "status_signs": STATUS_SIGNS,
        "role_words": ROLE_WORDS, "method_words": METHOD_WORDS, "kind_words": KIND_WORDS, "event_words": EVENT_WORDS,
        "finding_words": FINDING_WORDS,
        "signs": SIGNS, "bar": bar,
    }  # fmt: skip
    made.filters |= {"said": texts.said, "named": texts.named, "plain": texts.plain, "excerpt": texts.excerpt,
                     "percent": _percent}  # fmt: skip
    return made


@jinja2.pass_context
def _t(context: jinja2.runtime.Context, ja: str, en: str) -> str:
    return en if context["lang"] == "en" else ja


@jinja2.pass_context
def _w(context: jinja2.runtime.Context, words: Words) -> str:
    return words.only(context["lang"])


@jinja2.pass_context
def _when(context: jinja2.runtime.Context, value: moments.Moment | None, seconds: bool = False) -> Markup:
    return moments.when(value, context["lang"], seconds=seconds)


@jinja2.pass_context
def _length(context: jinja2.runtime.Context, seconds: float) -> str:
    return moments.length(seconds, context["lang"])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def bar(share: float, look: str) -> Markup:
    """A share of 1 as a bar. It repeats the figure beside it, so a screen reader is spared it."""
    wide = round(100 * min(1.0, max(0.0, share)), 1)
    return Markup(
        '<svg class="bar {}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="track" width="100" height="10"/><rect class="fill" width="{}" height="10"/></svg>'
    ).format(look, wide)
