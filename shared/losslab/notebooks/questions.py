"""The readers' questions of all papers with the answers that the papers' notebooks give."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from losslab import params, paths

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Answer:
    """One question. ``headline``: the answer's bold first words; ``text``: the whole answer as Markdown; both empty where there is none yet."""

    paper: str
    id: str
    question: str
    section: str
    headline: str
    text: str


def collect() -> list[Answer]:
    """Every question of the papers of params.yaml, in their order, with its answer from the paper's executed notebook."""
    from losslab import papers

    found = []
    for slug in params.load().papers:
        executed = paths.results(slug) / "executed.ipynb"
        cells = _markdown(executed)
        for question in papers.load(slug).questions:
            text = next((t for cell in cells for t in [_answer(cell, question.id)] if t), "")
            bold = re.match(r"\*\*A\d+\.\s*(.*?)\*\*", text, flags=re.S)
            headline = bold.group(1).strip() if bold else ""
            found.append(Answer(slug, question.id, question.question, question.answered_in, headline, text))
    return found


def table(answers: list[Answer]) -> pd.DataFrame:
    """Question and headline of the answer, one row each."""
    import pandas as pd

    rows = [(a.paper, a.id, a.question, a.headline) for a in answers]
    return pd.DataFrame(rows, columns=["paper", "id", "question", "in short"])


def markdown(answers: list[Answer], up: str = "") -> str:
    """All questions and answers as sections; `up` leads from where it is read to the repository's root."""
    from losslab import papers

    parts = []
    for slug in dict.fromkeys(answer.paper for answer in answers):
        paper = papers.load(slug)
        parts.append(f"## {paper.title}")
        for answer in (a for a in answers if a.paper == slug):
            link = f"[{answer.section}]({up}replications/{slug}/results/executed.ipynb)"
            text = answer.text or "No answer yet."
            parts.append(
                f"### {answer.id}. {answer.question}\n\n{text}\n\n*The experiment: section {link} of the paper's notebook.*"
            )
    return "\n\n".join(parts)


def _markdown(file: Path) -> list[str]:
    from losslab.notebooks.execute import read

    return [str(cell.source) for cell in read(file).cells if cell.cell_type == "markdown"] if file.is_file() else []


def _answer(cell: str, question: str) -> str:
    """The answer in a cell of text: from its bold mark to the end of the cell, or to the next question or heading."""
    begun = cell.find(f"**A{question[1:]}.")
    if begun < 0:
        return ""
    ends = [m.start() for m in re.finditer(r"\n(?:#+ |\*\*[QA]\d+\.)", cell[begun + 1 :])]
    return cell[begun : begun + 1 + ends[0]].strip() if ends else cell[begun:].strip()
