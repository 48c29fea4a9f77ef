"""Puts the latest results into docs/performance.md: ``python -m benchmarks.tables``. Needs nothing but Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- tables: begin (made by benchmarks/tables.py) -->", "<!-- tables: end -->"
TITLES = {
    "throughput": "Trainings per minute on the digits",
    "images": "Images per second and share of the peak",
    "growth": "Growth with networks, samples and classes; memory",
    "overhead": "Record keeping and checkpoints",
    "mixing": "Six losses against one",
    "workers": "Several workers",
    "losses": "Value and gradient of each loss against cross-entropy",
}


def cell(value: Any) -> str:
    """A value as it stands in a table."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else str(value)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A markdown table."""
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    return [*lines, *(f"| {' | '.join(cell(row[name]) for name in names)} |" for row in rows)]


def section(path: Path) -> list[str]:
    """One benchmark's tables."""
    result = json.loads(path.read_text())
    about, asked = result["provenance"], result["options"]
    where = f"{about['device']}, torch {about['torch']}, Python {about['python']}, {about['threads']} thread(s)"
    load = f", load {about['load']}" if about["device_type"] == "cpu" else ""
    lines = [f"### {TITLES[result['benchmark']]} ({about['device_type']})", ""]
    lines += [f"{where}, commit {about['commit'] or 'unknown'}{load}; {asked['rounds']} rounds.", ""]
    for title, rows in result["tables"].items():
        lines += [f"**{title}**", "", *table(rows), ""]
    for name, fact in result["facts"].items():
        if isinstance(fact, str):
            lines += [f"{name.capitalize()}: {fact}.", ""]
    return lines


def main() -> None:
    """Rewrites the part of the page between the marks."""
    lines: list[str] = []
    for name in TITLES:
        for path in sorted(RESULTS.glob(f"{name}-*.json")):
            lines += section(path)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text("\n".join([f"{before}{BEGIN}", "", *lines, f"{END}{after}"]))
    print(f"{PAGE} written from {len(list(RESULTS.glob('*.json')))} files")


if __name__ == "__main__":
    main()
