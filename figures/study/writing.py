"""Everything that a study writes: claims, effects, figures, tables, methods, references, the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import figures
from analyses.study.claims import Claim, agreement, claims_frame, claims_of
from analyses.study.effects import Effects, study_effects
from analyses.study.record import CellRecord, MeasureRecord, Record
from figures.drawing import Drawing
from figures.study.forest import plot_forest
from figures.study.latex import latex_table
from figures.study.methods import methods_text, references
from figures.study.report import Shown, report_html
from figures.study.tables import claim_tables
from figures.style import save_figure, write_table
from figures.table import Table
from interp.files import write_atomically
from interp.results import load_result

__all__ = ["write_report"]


_CLAIMS = "claims"


@dataclass(frozen=True)
class _Section:
    """What is shown of one part of one measure."""

    name: str
    tables: list[Table]
    drawings: list[tuple[str, Drawing]]
    diagnostics: list[str]


def write_report(record: Record, out: Path) -> tuple[list[Path], list[Claim]]:
    """Write all files of a study from its finished cells, without a model.

    Returns:
        The files, and the claims.

    Raises:
        ResultError: A saved result is damaged.
    """
    effects = study_effects(record, out)
    claims = claims_of(effects, record.claims)
    sections = _sections(record, out)
    if claims:
        data = claims_frame(claims).drop(columns=["sentence", "why", "files", "digests"])
        sections.insert(0, _Section(_CLAIMS, claim_tables(claims), [("forest", _forest(claims, data))], []))
    files = [
        write_table(claims_frame(claims), out / "claims.csv"),
        write_table(effects.to_frame(), out / "effects.csv"),
        write_table(agreement(effects), out / "agreement.csv"),
    ]
    for section in sections:
        for stem, drawing in section.drawings:
            files += save_figure(drawing.draw(), out / "figures" / stem, drawing.data)
        for number, table in enumerate(section.tables, 1):
            stem = section.name if number == 1 else f"{section.name}-{number}"
            files.append(_write(out / "tables" / f"{stem}.tex", latex_table(table, stem)))
    files += _texts(record, out, effects, claims, sections)
    return files, claims


def _forest(claims: Sequence[Claim], data: Any) -> Drawing:
    return Drawing("forest", lambda: plot_forest(claims), data)


def _texts(
    record: Record, out: Path, effects: Effects, claims: Sequence[Claim], sections: Sequence[_Section]
) -> list[Path]:
    methods = methods_text(record, effects)
    shown = [
        Shown(s.name, [] if s.name == _CLAIMS else s.tables, [d for _, d in s.drawings], s.diagnostics)
        for s in sections  # the claims have a table of their own there
    ]
    return [
        _write(out / "methods.md", methods.markdown),
        _write(out / "methods.tex", methods.latex),
        _write(out / "references.bib", references(record)),
        _write(out / "report.html", report_html(record, effects, claims, shown, methods.markdown)),
    ]


def _sections(record: Record, out: Path) -> list[_Section]:
    """Tables and figures of every part of which at least one checkpoint is done."""
    return [
        _section(measure, part, done, out)
        for measure in record.measures
        for part in measure.parts
        if (done := [cell for cell in record.of(measure.name, part) if cell.state == "done"])
    ]


def _section(measure: MeasureRecord, part: str, done: Sequence[CellRecord], out: Path) -> _Section:
    results = [load_result(out / cell.file) for cell in done]
    names, view = [cell.checkpoint for cell in done], dict(measure.view)
    name = measure.name if measure.name == part else f"{measure.name}-{part}"
    drawn = figures.drawings(results, names, **view)
    stems = [(".".join(text for text in (each.stem, name) if text), each) for each in drawn]
    notes = [
        f"{called}: {text}"
        for called, result in zip(names, results, strict=True)
        for text in result.diagnostics(**view)
    ]
    return _Section(name, figures.tables(results, names, **view), stems, notes)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda stream: stream.write(text.encode()))
    return path
