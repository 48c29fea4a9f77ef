"""`losslab verify` and `losslab summary`: regenerated results, in words."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from losslab import params, paths
from losslab.cli import DONE
from losslab.cli.console import console, duration
from losslab.errors import InputError
from losslab.notebooks import scorecard


def verify(paper: str | None, *, against: str) -> int:
    """One line per paper: how many numbers agree with the committed ones."""
    chosen = [paper] if paper is not None else [slug for slug in paths.replications() if paths.results(slug).is_dir()]
    if paper is not None and scorecard.metrics(paths.results(paper)) is None:
        raise InputError(f"{paths.show(paths.results(paper))} holds no results: run `make repro` first")
    if not chosen:
        raise InputError("no paper has results yet: run `make repro` first")
    _commit(against)
    out = console()
    for slug in chosen:
        out.print(f"{slug}: {comparison(slug, against)}", markup=False)
    return DONE


def comparison(slug: str, against: str = "HEAD") -> str:
    """The results in the working tree against those of a commit, in one line."""
    from losslab.report import verify as report

    new = scorecard.metrics(paths.results(slug))
    if new is None:
        return "no results in the working tree"
    with tempfile.TemporaryDirectory(prefix="losslab-") as folder:
        old = _committed(slug, against, Path(folder))
        if old is None:
            return f"no results in {against} to compare with"
        before = scorecard.metrics(old)
        if before is None or before["scale"] != new["scale"]:
            there = "of no known scale" if before is None else f"of scale {before['scale']}"
            return f"these results are of scale {new['scale']}, those in {against} {there}: not comparable"
        return f"against {against}: {report.folders(paths.results(slug), old).sentence()}"


def summary(since: float | None) -> int:
    """What was regenerated, claims by verdict, agreement with git's HEAD, seconds."""
    out = console()
    for slug in params.load().papers:
        found = scorecard.metrics(paths.results(slug))
        if found is None:
            out.print(f"{slug}: nothing regenerated yet", markup=False)
            continue
        executed = paths.results(slug) / "executed.ipynb"
        state = ""
        if since is not None:
            fresh = executed.is_file() and executed.stat().st_mtime >= since
            state = ", executed now" if fresh else ", up to date"
        runs, items, claims = (found.get(key, {}) for key in ("runs", "items", "claims"))
        out.print(f"{slug} (scale {found['scale']}{state})", markup=False)
        lost = f", {runs['diverged']} of them diverged" if runs.get("diverged") else ""
        out.print(
            f"  {items.get('regenerated', 0)} of {items.get('of', 0)} items of the paper, {sum(runs.values())} results{lost}",
            markup=False,
        )
        out.print(
            "  claims: " + ", ".join(f"{claims.get(name, 0)} {name.replace('_', ' ')}" for name in scorecard.VERDICTS),
            markup=False,
        )
        out.print(f"  {_or_problem(slug)}", markup=False)
        out.print(f"  read {paths.show(executed)}", markup=False)
    if since is not None:
        out.print(f"{duration(max(0.0, time.time() - since))} in all", markup=False)
    return DONE


def fill_readme() -> int:
    """Put a picture and the overview between the markers of README.md."""
    readme = paths.root() / "README.md"
    text = readme.read_text(encoding="utf-8")
    table = scorecard.overview()
    parts = {"picture": _picture(), "results": scorecard.markdown(table)}
    for name, content in parts.items():
        begin, end = f"<!-- losslab:{name}:begin", f"<!-- losslab:{name}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise InputError(f"README.md needs one pair of markers losslab:{name}:begin and losslab:{name}:end")
        head, rest = text.split(begin)
        opening = rest.split("-->")[0]
        tail = rest.split(end)[1]
        text = f"{head}{begin}{opening}-->\n{content}\n{end}{tail}"
    readme.write_text(text, encoding="utf-8")
    console().print("README.md filled from the results", markup=False)
    return DONE


def _picture() -> str:
    """The first figure of the first paper that has one."""
    from losslab import papers

    for slug in params.load().papers:
        for item in papers.load(slug).items:
            file = paths.results(slug) / "figures" / f"{item.id}.png"
            if file.is_file():
                scale = (scorecard.metrics(paths.results(slug)) or {}).get("scale")
                where = file.relative_to(paths.root()).as_posix()
                return f"![{item.title}]({where})\n\n*{item.title}* ({slug}, scale {scale})"
    return ""


def _or_problem(slug: str) -> str:
    """The comparison, or why there is none: a summary does not fail for it."""
    try:
        return comparison(slug)
    except InputError as problem:
        return f"not compared: {problem}"


def _commit(name: str) -> None:
    done = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if done.returncode:
        raise InputError(f"--against {name}: no such commit here")


def _committed(slug: str, against: str, folder: Path) -> Path | None:
    """A paper's committed results, unpacked into a folder."""
    where = f"replications/{slug}/results"
    done = _git("archive", "--format=tar", against, "--", where)
    if done.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / where


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(paths.root()), *arguments], capture_output=True)
    except FileNotFoundError:
        raise InputError("git is not installed: nothing to compare with") from None
