"""Section "tasks" of a card: questions answered, documents summed up, and the plan's targets (plan 7.3; SPEC P7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from so8t.report.figures import DOMAIN_WORDS, NONE, SMALL_SAMPLE, Figure, Words, count, decimal, number, percent
from so8t.report.reading import cell, interval, mapping, mappings, plain

TASK_WORDS: dict[str, tuple[Words, Words]] = {
    "general_qa": (
        Words("一般の質問", "General questions"),
        Words("認められた答えのどれかを含む答えの割合", "Replies that hold one of the accepted answers"),
    ),
    "domain_qa": (
        Words("分野の質問", "Domain questions"),
        Words("同じく、一般以外の七つの分野", "The same for the seven domains other than general"),
    ),
    "summary": (
        Words("要約", "Summaries"),
        Words("決められた字数の中で伝えた要点の割合", "Key facts told within the characters allowed"),
    ),
    "total": (
        Words("全体", "Total"),
        Words("一問を一と数えた平均(要約は要点の割合)", "Mean over all items; a summary counts by its facts"),
    ),
}
BESIDE: dict[str, Words] = {
    "exact": Words("一字一句の一致", "Exact match"),
    "normalised": Words("表記をそろえた一致", "Match in normal form"),
    "char_f1": Words("文字 F1", "Character F1"),
    "rouge1": Words("ROUGE-1(文字)", "ROUGE-1 (characters)"),
    "rouge2": Words("ROUGE-2(文字)", "ROUGE-2 (characters)"),
    "rougeL": Words("ROUGE-L(文字)", "ROUGE-L (characters)"),
    "bleu": Words("BLEU(文字)", "BLEU (characters)"),
    "within_limit": Words("字数を守った", "Kept to the limit"),
    "lead": Words("原文の冒頭を写しただけなら", "If the beginning were copied"),
}
SCORE = Figure("score", Words("得点", "Score"), (), "higher", "percent")


def tasks(section: Mapping[str, Any]) -> dict[str, Any]:
    """A row a task with its target, the measures beside, the domains, and a few replies as they came."""
    found = mapping(section.get("tasks"))
    rows = [row for name in TASK_WORDS if (row := _row(name, _part(section, found, name)))]
    beside = [(TASK_WORDS[name][0], _beside(mapping(found.get(name)))) for name in TASK_WORDS if name in found]
    domains = [
        {"words": words, "cells": [cell(SCORE, mapping(part.get(kind))) for kind in ("qa", "summary")]}
        for name, words in DOMAIN_WORDS.items()
        if (part := mapping(mapping(section.get("per_domain")).get(name)))
    ]
    examples = [_example(e) for e in mappings(section.get("examples"))]
    return {
        "rows": rows, "beside": [b for b in beside if b[1]], "domains": domains, "examples": examples,
        "notes": _notes(section),
    } if rows else {}  # fmt: skip


def _part(section: Mapping[str, Any], found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return mapping(section.get("total") if name == "total" else found.get(name))


def _row(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    figures = mapping(part.get("score"))
    numbers = {k: v for k in ("value", "low", "high", "n") if (v := number(figures.get(k))) is not None}
    value, target = numbers.get("value"), number(part.get("target"))
    if value is None:
        return {}
    n = numbers.get("n", 0.0)
    words, meaning = TASK_WORDS[name]
    return {
        "words": words, "meaning": meaning, "value": percent(value), "interval": interval(SCORE, numbers),
        "n": count(n), "target": NONE if target is None else f"≥ {percent(target)}",
        "met": None if target is None else value >= target,
        "notes": [Words(f"少数 n = {n:.0f}", f"small sample n = {n:.0f}")] if n < SMALL_SAMPLE else [],
    }  # fmt: skip


def _beside(part: Mapping[str, Any]) -> list[tuple[Words, str]]:
    rows = []
    for key, words in BESIDE.items():
        value = part.get(key)
        value = mapping(value).get("value") if isinstance(value, Mapping) else value
        if number(value) is not None:
            rows.append((words, decimal(value) if key != "lead" else percent(value)))
    return rows


def _example(example: Mapping[str, Any]) -> dict[str, Any]:
    score = number(example.get("score"))
    texts = {key: plain(example.get(key)) for key in ("asked", "wanted", "reply")}
    return {"score": percent(score), "right": score == 1.0, **texts}


def _notes(section: Mapping[str, Any]) -> list[Words]:
    notes = []
    released = number(mapping(section.get("released")).get("value"))
    if released is not None and released < 1:
        notes.append(
            Words(
                f"三重判定がそのまま通すのは {percent(released)} です。得点は、判定にかかわらず答えさせて測りました。",
                f"The judges let {percent(released)} through. The score was measured on all, whatever the verdict.",
            )
        )
    characters = number(section.get("document_characters"))
    if characters is not None:
        notes.append(
            Words(
                f"要約した文章の長さは中央値で {count(characters)} 字です。計画の目標は長文についてのものです。",
                f"The median document has {count(characters)} characters; the plan's target is for long ones.",
            )
        )
    n, of = number(section.get("n")), number(section.get("of"))
    if n is not None and of is not None and n < of:
        notes.append(
            Words(f"{count(of)} 問のうち {count(n)} 問だけで測りました。", f"Only {count(n)} of {count(of)} items.")
        )
    return notes
