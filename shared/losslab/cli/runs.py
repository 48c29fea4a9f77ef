"""`losslab runs`: looking into the store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from losslab import paths
from losslab.cli.console import console, duration, table
from losslab.cli.settings import open_paper, settle
from losslab.errors import InputError

if TYPE_CHECKING:
    from losslab.runs import Record, Run, Store


def listing(*, paper: str | None, scale: str | None, loss: str | None, limit: int) -> int:
    """One line per stored run."""
    chosen = _runs(paper, scale)
    wanted = None if chosen is None else {run.hash for run in chosen}
    if loss is not None:
        from losslab import losses

        losses.spec(loss)
    records = [
        record
        for record in _store().records()
        if (wanted is None or record.run.hash in wanted) and (loss is None or record.run.loss.name == loss)
    ]
    shown = table("hash", "run", "model", "status", ">last", ">best", ">seconds")
    kept = records if limit == 0 else records[:limit]
    for record in kept:
        numbers = [record.reading("test_acc", how) for how in ("last", "best")]
        percent = ["" if number is None else f"{100 * number:.2f}" for number in numbers]
        shown.add_row(
            record.run.hash[:10],
            record.run.label(),
            record.run.model.name,
            record.status,
            *percent,
            f"{_cost(record):.1f}",
        )
    out = console()
    out.print(shown)
    more = f" (the first {len(kept)} shown; --limit 0 shows all)" if len(kept) < len(records) else ""
    total = sum(_cost(record) for record in records)
    out.print(f"{len(records)} runs, {duration(total)} of training{more}", markup=False)
    return 0


def show(prefix: str) -> int:
    """One record in full, without its curves' single values."""
    import json

    found = [path.stem for path in _files() if path.stem.startswith(prefix)]
    if not found:
        raise InputError(f"no run {prefix!r} in {paths.show(paths.store())}")
    if len(found) > 1:
        raise InputError(
            f"{prefix!r} fits {len(found)} runs; give more digits: {', '.join(name[:12] for name in found[:4])}"
        )
    from losslab.runs import READINGS, Damaged, fingerprint

    try:
        record = _store().read(found[0])
    except Damaged as problem:
        raise InputError(f"run {found[0]} is damaged: {problem}; it will be trained again") from None
    out = console()
    current = record.fingerprint == fingerprint(record.run)
    out.print(
        f"{record.run.hash}  {record.run.label()}  ({record.status}{'' if current else ', made by older code'})",
        markup=False,
    )
    out.print(json.dumps(record.run.content(), indent=1), markup=False)
    shown = table("curve", *(f">{how}" for how in READINGS))
    for name, values in sorted(record.curves.items()):
        if values and isinstance(values[-1], list):
            continue
        numbers = [record.reading(name, how) for how in READINGS]
        shown.add_row(name, *("" if number is None else f"{number:.4f}" for number in numbers))
    out.print(shown)
    for title, content in (("cost", record.cost), ("provenance", record.provenance), ("digests", record.digests)):
        out.print(f"{title}: " + ", ".join(f"{key} {value}" for key, value in content.items()), markup=False)
    return 0


def check(*, remove: bool) -> int:
    """Read everything; 1 if something is damaged and stays."""
    sound, problems = _store().check()
    out = console()
    for problem in problems:
        out.print(f"damaged: {paths.show(problem.path)}: {problem.reason}", markup=False)
        if remove:
            problem.path.unlink(missing_ok=True)
            problem.path.with_suffix(".safetensors").unlink(missing_ok=True)
    gone = "; removed, they will be trained again" if remove else "; --remove deletes them"
    out.print(f"{sound} sound, {len(problems)} damaged{gone if problems else ''}", markup=False)
    return 1 if problems and not remove else 0


def export(file: Path, *, paper: str | None, scale: str | None) -> int:
    """Records and weights in one archive that depends on their content alone."""
    count = _store().export(file, _runs(paper, scale))
    console().print(f"{count} runs written to {file}", markup=False)
    return 0


def import_(file: Path) -> int:
    """Put an archive's records into the store; what is damaged or made by other source code is refused and named."""
    report = _store().import_(file)
    out = console()
    for run_hash, reason in report.refused.items():
        out.print(f"refused: {run_hash}: {reason}", markup=False)
    taken = len(report.new) + len(report.replaced)
    counts = f"{len(report.same)} were there, {len(report.refused)} refused"
    out.print(f"{taken} runs added to {paths.show(paths.store())}, {counts}", markup=False)
    return 1 if report.refused else 0


def _store() -> Store:
    from losslab.runs import Store

    return Store(paths.store())


def _files() -> Iterable[Path]:
    return sorted((paths.store() / "records").glob("??/*.json"))


def _cost(record: Record) -> float:
    return float(record.cost.get("seconds") or 0.0)


def _runs(paper: str | None, scale: str | None) -> list[Run] | None:
    """The runs of a paper; None for all."""
    if paper is None:
        if scale is not None:
            raise InputError("--scale needs --paper")
        return None
    return [cell.run for cell in open_paper(paper).cells(settle(scale=scale).scale)]
