"""A training as one self-contained page: the curves, what happened on the way, and the figures in plain words (T2).

No script, nothing from outside; its Content-Security-Policy allows nothing but the page's one style sheet, by hash.
Records and facts may hold anything: what is no finite number is left out, every text is escaped. The same input gives
the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from so8t.report.card import environment, resource, spans, style_hash
from so8t.report.data_panels import Cell, harmless, shown
from so8t.report.data_report import numeric
from so8t.report.figures import Words
from so8t.report.training_figures import Training, statements
from so8t.report.training_log import Record, ordered_steps
from so8t.report.training_sections import training_sections

TITLE = Words("学習の記録", "Training report")
STATES = {True: Words("完了", "Finished"), False: Words("途中まで", "Unfinished")}


def training_report(history: Sequence[Record], events: Sequence[Record], facts: Record, lang: str = "ja") -> str:
    """The page in Japanese and English, `lang` first and larger; a switch on the page hides either.

    `history`: a record a step {step, loss, pet, pet_weight, rate, gradient_norm, tokens, angles [radians a layer]};
    `events`: {time, step, event, ja, en, ...}; `facts`: what the trainer returns, and name or profile of the run.
    Every key is optional.
    """
    first = "en" if lang == "en" else "ja"
    known = [e for e in events if isinstance(e, Mapping)]
    found = Training(ordered_steps(history), known, facts)
    style = "".join(resource(name) for name in ("card.css", "data.css", "training.css"))
    env = environment(first)
    env.globals["cell"] = lambda cell: _cell(cell, first)
    env.globals["numeric"] = numeric
    sections = training_sections(found, first)
    return env.from_string(resource("training.html.jinja")).render(
        first=first, style=Markup(style), style_hash=style_hash(style), title=TITLE,
        name=harmless(facts.get("name") or facts.get("profile") or ""), finished=found.finished,
        state=STATES[found.finished], statements=statements(found), sections=sections,
        headings={s.key: s.title for s in sections},
    )  # fmt: skip


def _cell(cell: Cell, first: str) -> Markup:
    """What comes from a log keeps its writing direction to itself."""
    return Markup("<bdi>{}</bdi>").format(shown(cell, lambda words: spans(words, first)))
