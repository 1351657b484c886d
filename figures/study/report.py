"""The report of a study: one HTML file that needs no network and no script."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import matplotlib as mpl

from analyses.study.claims import VERDICTS, Claim
from analyses.study.effects import Effects
from analyses.study.record import Record
from figures.drawing import Drawing
from figures.table import Table

__all__ = ["Shown", "report_html"]

_MOST_ROWS = 200  # of a figure's data as a table; the CSV has all
_SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "interp", "text.parse_math": False}


@dataclass(frozen=True)
class Shown:
    """What the report shows of one part of one measure.

    Attributes:
        name: Heading.
        tables: As in the terminal.
        drawings: Figures with their data.
        diagnostics: What weakens it.
    """

    name: str
    tables: Sequence[Table]
    drawings: Sequence[Drawing]
    diagnostics: Sequence[str]


@dataclass(frozen=True)
class _Figure:
    title: str
    svg: str
    csv: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_rows: int


def report_html(
    record: Record, effects: Effects, claims: Sequence[Claim], shown: Sequence[Shown], methods: str
) -> str:
    """The report as HTML; every text from data is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(
        (files("figures.study") / "report.html.j2").read_text(encoding="utf-8")
    )
    counts = {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in VERDICTS}
    return template.render(
        record=record,
        claims=claims,
        counts=counts,
        effects=effects,
        sections=[(s.name, s.tables, [_figure(s.name, d) for d in s.drawings], s.diagnostics) for s in shown],
        methods=[text for text in methods.split("\n\n") if not text.startswith("#")],
    )


def _figure(name: str, drawing: Drawing) -> _Figure:
    data = drawing.data
    csv = base64.b64encode(data.to_csv(index=False).encode()).decode()
    rows = [
        [_cell(value) for value in row] for row in data.head(_MOST_ROWS).itertuples(index=False, name=None)
    ]
    title = name if not drawing.stem else f"{name}: {drawing.stem}"
    return _Figure(title, _svg(drawing), csv, list(map(str, data.columns)), rows, len(data))


def _svg(drawing: Drawing) -> str:
    """The figure as an SVG element, without the XML head, with its own ids."""
    buffer = io.StringIO()
    with mpl.rc_context(_SVG):
        drawing.draw().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
