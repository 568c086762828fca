"""Our reading of Go's template language against Go's own answers, its documentation, and laws of trimming."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.export.template import go_evaluate
from so8t.build.export.template.go_evaluate import evaluate
from so8t.build.export.template.go_parse import MAXIMUM_CHARACTERS, MAXIMUM_DEPTH
from so8t.core.errors import TemplateUnusable

# Templates made at random, with what text/template of Go 1.19 says to them (go_answers.go writes it).
LINES = (Path(__file__).parent / "go_answers.jsonl").read_text(encoding="utf-8").strip("\n").split("\n")
ANSWERS = [json.loads(line) for line in LINES]
VALUES = {
    "System": "s", "Response": "", "Messages": [{"Role": "user", "Content": "u"}, {"Role": "assistant", "Content": ""}],
}  # fmt: skip
PLAIN = st.text(alphabet=st.sampled_from([*"a{}-|<>あ\u3000\u00a0/*", " ", "\n", "\t", "\r"]), max_size=12).filter(
    lambda t: "{{" not in t and not t.endswith("{")
)


def go(answer: dict[str, Any]) -> str:
    values = {"System": answer["system"], "Messages": answer["messages"], "Response": ""}
    return evaluate(answer["template"], values)


def test_what_go_writes_we_write() -> None:
    written = [a for a in ANSWERS if a["output"] is not None]
    assert len(written) > 80
    assert [go(a) for a in written] == [a["output"] for a in written]


def test_what_go_refuses_we_refuse() -> None:
    refused = [a for a in ANSWERS if a["output"] is None]
    assert len(refused) > 80
    for answer in refused:
        with pytest.raises(TemplateUnusable):
            go(answer)


@pytest.mark.parametrize(
    ("template", "output"),
    [
        ("", ""),
        ("{{23 -}} < {{- 45}}", "23<45"),  # the documentation's own example
        ("a  {{- /* gone */ -}}  b", "ab"),
        ("a {{/* kept */}} b", "a  b"),
        ("{{ if .System }}1{{ else }}2{{ end }}{{ if .Response }}1{{ else }}2{{ end }}", "12"),
        ("{{ if .Response }}1{{ else if eq .System `s` }}2{{ else }}3{{ end }}", "2"),
        ("{{ range .Messages }}{{ .Role }}:{{ .Content }};{{ end }}", "user:u;assistant:;"),
        ("{{ range .Messages }}{{ $.System }}{{ end }}", "ss"),
        ('{{ $x := "a" }}{{ range .Messages }}{{ $x }}{{ $x = "b" }}{{ end }}{{ $x }}', "abb"),
        ('{{ $x := "a" }}{{ if true }}{{ $x := "b" }}{{ $x }}{{ end }}{{ $x }}', "ba"),
        ('{{ eq "a" "b" "a" }} {{ ne 1 2 }} {{ not "" }}', "true true true"),
        ('{{ and .System "x" }}{{ or .Response "y" }}{{ or .System .Nothing }}', "xys"),
        ("{{ (index .Messages 0) | x }}", None),
        ("{{ eq (not .System) false }}", "true"),
        ('{{ "\\u3042\\U0001F600\\x41\\n\\"" }}', 'あ😀A\n"'),
        ("{{ `a\\n{{}}` }}", "a\\n{{}}"),
        ("{{\n.System\t}}", "s"),
        ("{{ -1 }}{{- -1 }}", "-1-1"),
        ("}} -}} {", "}} -}} {"),
    ],
)
def test_by_the_documentation(template: str, output: str | None) -> None:
    if output is None:
        with pytest.raises(TemplateUnusable):
            evaluate(template, VALUES)
    else:
        assert evaluate(template, VALUES) == output


UNKNOWN = (
    "{{", "{{ }}", "{{ .System", "{{ end }}", "{{ else }}", "{{ if .System }}", "{{ if .System }}{{ else }}",
    "{{ if }}{{ end }}", "{{ range .Messages }}{{ else }}{{ end }}", "{{ range $i, $m := .Messages }}{{ end }}",
    "{{ range .System }}{{ end }}", "{{ with .System }}{{ end }}", '{{ template "x" }}', '{{ define "x" }}{{ end }}',
    '{{ block "x" . }}{{ end }}', "{{ break }}", "{{ nil }}", "{{ .System | len }}", "{{ len .Messages }}",
    "{{ printf .System }}", "{{ $y }}", "{{ $y = 1 }}", "{{ if true }}{{ $y := 1 }}{{ end }}{{ $y }}", "{{ $ = 1 }}",
    "{{ .Nothing }}", "{{ .System.Length }}", "{{ .Messages.Role }}", "{{ . }}", "{{ .Messages }}", "{{ eq 1 }}",
    '{{ eq 1 "1" }}', "{{ eq .Messages .Messages }}", "{{ ne 1 2 3 }}", "{{ not }}", "{{ and }}", "{{ not 1 2 }}",
    "{{ index .Messages -1 }}", "{{ index .Messages 2 }}", "{{ index .System 0 }}", "{{ index .Messages true }}",
    "{{ index .Messages 0 }}", "{{ (not true }}", "{{ not true) }}", "{{ .System.System }}", "{{ .System .System }}",
    "{{ 'a' }}", "{{ 1.5 }}", "{{ 0x1 }}", "{{ 07 }}", '{{ "a }}', '{{ "\\q" }}', '{{ "\\x80" }}', '{{ "\\ud800" }}',
    '{{ "\\U00110000" }}', '{{ eq"a" "a" }}', '{{ eq .System"a" }}', '{{ eq(.System) "s" }}', "{{- }}", "{{-}}",
    "{{ /* spaced */ }}", "{{/* c */ }}", "{{/* never closed }}", "{{/* a */ b */}}", "{{ {{ }} }}", "{{ .1 }}",
    "{{ $.}}", "{{ eq.System }}", "{{ if .System }}{{ else }}{{ else }}{{ end }}", "{{ end }}{{ .System }}",
    "{{ if .System }}{{ else if }}{{ end }}", "{{ .System, .System }}", "{{ true.System }}",
)  # fmt: skip


@pytest.mark.parametrize("template", UNKNOWN)
def test_whatever_is_not_known_is_an_error(template: str) -> None:
    with pytest.raises(TemplateUnusable):
        evaluate(template, VALUES)


def test_limits() -> None:
    deep = "{{ if true }}" * (MAXIMUM_DEPTH + 1) + "{{ end }}" * (MAXIMUM_DEPTH + 1)
    inside = "{{ " + "(" * (MAXIMUM_DEPTH + 1) + "true" + ")" * (MAXIMUM_DEPTH + 1) + " }}"
    chain = "{{ if .Response }}" + "{{ else if .Response }}" * (MAXIMUM_DEPTH + 1) + "{{ end }}"
    for template in (deep, inside, chain, "a" * (MAXIMUM_CHARACTERS + 1), "{{" * 30_000, "{{ (" * 10_000):
        with pytest.raises(TemplateUnusable):
            evaluate(template, VALUES)
    assert evaluate("{{ " + "(" * 9 + "true" + ")" * 9 + " }}", VALUES) == "true"


def test_output_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go_evaluate, "MAXIMUM_OUTPUT", 10)
    assert evaluate("{{ range .Messages }}12345{{ end }}", VALUES) == "1234512345"
    with pytest.raises(TemplateUnusable, match="more than 10"):
        evaluate("{{ range .Messages }}123456{{ end }}", VALUES)


@given(pieces=st.lists(st.sampled_from([*'{}-.$()=:"`/*| \nax1', "if ", "end", "range ", "{{", "}}", "{{ ", " }}"])))
def test_any_text_is_written_or_refused(pieces: list[str]) -> None:
    template = "".join(pieces)
    try:
        written = evaluate(template, VALUES)
    except TemplateUnusable:
        return
    assert "{{" in template or written == template


@given(texts=st.lists(PLAIN, min_size=1, max_size=6), marks=st.lists(st.tuples(st.booleans(), st.booleans())))
def test_trim_markers_take_the_spaces_of_the_template_and_no_others(
    texts: list[str], marks: list[tuple[bool, bool]]
) -> None:
    """`{{- ` takes spaces, tabs and line ends before it, ` -}}` those behind it: never what an action writes."""
    marks = (marks + [(False, False)] * len(texts))[: len(texts) - 1]
    template, expected = "", ""
    for i, text in enumerate(texts):
        left = i > 0 and marks[i - 1][1]
        right = i < len(marks) and marks[i][0]
        expected += re.sub(r"\A[ \t\r\n]+" if left else r"\A\b\B", "", text)
        expected = re.sub(r"[ \t\r\n]*\Z", "", expected) if right and text.strip(" \t\r\n") else expected
        if right and not text.strip(" \t\r\n"):
            expected = expected.removesuffix("" if left else text)
        template += text
        if i < len(marks):
            template += ("{{-" if marks[i][0] else "{{") + ' " x\t" ' + ("-}}" if marks[i][1] else "}}")
            expected += " x\t"
    assert evaluate(template, VALUES) == expected


@given(text=PLAIN)
def test_text_without_actions_is_itself(text: str) -> None:
    assert evaluate(text, {}) == text
