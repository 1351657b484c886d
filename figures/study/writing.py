"""Everything that a finished study writes: claims, effects, figures, tables, methods, references and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import figures
from analyses.study.cells import StudyPlan
from analyses.study.claims import Claim, agreement, claims_frame, claims_of
from analyses.study.effects import Effects, study_effects
from figures.drawing import Drawing
from figures.study.forest import plot_forest
from figures.study.latex import latex_table
from figures.study.methods import methods_text, references
from figures.study.report import Shown, report_html
from figures.study.tables import claim_tables
from figures.style import save_figure, write_table
from figures.table import Table
from interp.files import write_atomically

if TYPE_CHECKING:
    from interp.results import Result

__all__ = ["write_report"]


@dataclass(frozen=True)
class _Section:
    """What is shown of one part of one measure."""

    name: str
    tables: list[Table]
    drawings: list[tuple[str, Drawing]]
    diagnostics: list[str]


def write_report(plan: StudyPlan) -> tuple[list[Path], list[Claim]]:
    """Write all files of a study from its finished cells, without a model.

    Returns:
        The files, and the claims.

    Raises:
        ResultError: A saved result is damaged.
    """
    out, effects = plan.study.out, study_effects(plan)
    claims = claims_of(effects, plan.study.claims)
    sections = _sections(plan)
    if claims:
        data = claims_frame(claims).drop(columns=["files", "digests"])
        sections.insert(0, _Section("study", claim_tables(claims), [("forest", _forest(claims, data))], []))
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
    files += _texts(plan, effects, claims, sections)
    return files, claims


def _forest(claims: Sequence[Claim], data: Any) -> Drawing:
    return Drawing("forest", lambda: plot_forest(claims), data)


def _texts(
    plan: StudyPlan, effects: Effects, claims: Sequence[Claim], sections: Sequence[_Section]
) -> list[Path]:
    out = plan.study.out
    methods = methods_text(plan, effects)
    shown = [Shown(s.name, s.tables, [d for _, d in s.drawings], s.diagnostics) for s in sections]
    return [
        _write(out / "methods.md", methods.markdown),
        _write(out / "methods.tex", methods.latex),
        _write(out / "references.bib", references(plan)),
        _write(out / "report.html", report_html(plan, effects, claims, shown, methods.markdown)),
    ]


def _sections(plan: StudyPlan) -> list[_Section]:
    """Tables and figures of every part of which at least one checkpoint is done."""
    sections = []
    for planned in plan.planned:
        for suffix in dict.fromkeys(part.suffix for part in planned.plan.parts):
            done = [
                cell
                for cell in plan.cells
                if cell.planned is planned
                and cell.part.suffix == suffix
                and cell.state == "done"
                and cell.file
            ]
            if not done:
                continue
            results: list[Result] = [cell.part.adapt(cell.part.kind.load(cell.file)) for cell in done]
            names, view = [cell.name for cell in done], dict(planned.plan.view)
            name = planned.entry.name if planned.entry.name == suffix else f"{planned.entry.name}-{suffix}"
            drawn = figures.drawings(results, names, **view)
            stems = [(".".join(part for part in (each.stem, name) if part), each) for each in drawn]
            notes = [
                f"{called}: {text}"
                for called, result in zip(names, results, strict=True)
                for text in result.diagnostics(**view)
            ]
            tables = figures.tables(results, names, **view, **planned.plan.context)
            sections.append(_Section(name, tables, stems, notes))
    return sections


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda stream: stream.write(text.encode()))
    return path
