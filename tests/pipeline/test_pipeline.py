"""The pipeline at smoke scale in a temporary clone: what runs, what does not run again, and what it leaves behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from clones import Clone

from losslab.notebooks.normalise import dumps, leaks, normalise

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
RESULTS = "replications/gce/results"
NOTEBOOK = "replications/gce/notebook.ipynb"


@pytest.fixture(scope="module")
def done(clone: Clone) -> Clone:
    """The clone after its first `dvc repro`, committed."""
    assert clone.stages() == ["data", "train@gce", "notebook@gce", "scorecard"]
    clone.commit()
    return clone


def test_the_first_run_writes_every_result(done: Clone) -> None:
    folder = done.folder / RESULTS
    for name in ("executed.ipynb", "claims.json", "facts.json", "metrics.json", "curves.csv", "runs.parquet"):
        assert (folder / name).is_file(), name
    assert list((folder / "tables").glob("*.csv")) and list((folder / "figures").glob("*.png"))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["scale"] == "smoke" and metrics["runs"]["missing"] == 0
    assert (done.folder / "notebooks/executed/scorecard.ipynb").is_file()
    assert json.loads((done.folder / "notebooks/executed/scorecard.json").read_text())["papers"] >= 1


def test_executed_notebooks_are_normalised_and_tell_nothing_of_the_machine(done: Clone) -> None:
    for name in (f"{RESULTS}/executed.ipynb", "notebooks/executed/scorecard.ipynb"):
        text = (done.folder / name).read_text(encoding="utf-8")
        book = nbformat.reads(text, as_version=4)
        assert leaks(book) == []
        assert dumps(normalise(book)) == text


def test_exported_runs_are_not_in_git_but_small_results_are(done: Clone) -> None:
    listed = done.run("git", "ls-files").splitlines()
    assert f"{RESULTS}/runs.parquet" not in listed
    assert f"{RESULTS}/executed.ipynb" in listed and f"{RESULTS}/metrics.json" in listed


def test_the_second_run_does_nothing(done: Clone) -> None:
    assert done.stages() == []
    assert done.changed() == set()


def test_metrics_and_plots_say_something(done: Clone) -> None:
    shown = done.dvc("metrics", "show", "--md")
    assert "claims" in shown and "smoke" in shown
    done.dvc("plots", "show", "--out", "../plots")
    page = (done.folder.parent / "plots" / "index.html").read_text()
    assert '"method"' in page and '"panel"' in page


def test_results_agree_with_the_committed_ones(done: Clone) -> None:
    shown = done.losslab("verify", "gce")
    counts = shown.split(" numbers are identical")[0].split()
    assert counts[-3] == counts[-1] and int(counts[-1]) > 0
    shown = done.losslab("summary", "--since", "0")
    assert "claims:" in shown and "executed now" in shown and " in all" in shown


def test_another_scale_is_not_compared(done: Clone) -> None:
    file = done.folder / RESULTS / "metrics.json"
    before = file.read_text()
    file.write_text(before.replace('"scale": "smoke"', '"scale": "quick"'))
    assert "not comparable" in done.losslab("verify", "gce")
    file.write_text(before)


def test_the_readme_is_filled_from_the_results(done: Clone) -> None:
    readme = done.folder / "README.md"
    for _ in range(2):  # twice: the markers stay
        done.losslab("summary", "--readme")
    text = readme.read_text()
    assert "![" in text.partition("losslab:picture:begin")[2].partition("losslab:picture:end")[0]
    assert "| [" in text.partition("losslab:results:begin")[2].partition("losslab:results:end")[0]
    done.run("git", "checkout", "--", "README.md")


SMALL = (
    "from losslab.notebooks import open_paper\nctx = open_paper('gce', scale=scale, seeds=seeds)",
    "ctx.table('table-1')",
    "print(ctx.finish())",
)


@pytest.fixture(scope="module")
def small(done: Clone) -> Clone:
    """The clone with a notebook of a few lines in place of the real one, executed and committed."""
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell("scale = 'smoke'\nseeds = None", metadata={"tags": ["parameters"]})]
    book.cells += [nbformat.v4.new_code_cell(source) for source in SMALL]
    nbformat.write(book, done.folder / NOTEBOOK)
    assert done.stages() in (["notebook@gce"], ["notebook@gce", "scorecard"])
    assert not list((done.folder / RESULTS / "figures").iterdir()), "what the new notebook does not make is gone"
    done.commit()
    return done


def test_an_edited_notebook_is_executed_again_and_nothing_else(small: Clone) -> None:
    book = nbformat.read(small.folder / NOTEBOOK, as_version=4)
    book.cells.append(nbformat.v4.new_markdown_cell("A remark."))
    nbformat.write(book, small.folder / NOTEBOOK)
    assert small.stages() == ["notebook@gce"]
    assert small.changed() == {"dvc.lock", NOTEBOOK, f"{RESULTS}/executed.ipynb"}
    small.commit()


def test_a_forced_run_gives_the_same_bytes(small: Clone) -> None:
    small.dvc("repro", "--force", "--single-item", "notebook@gce")
    assert small.changed() == set()
    assert small.stages() == []


def test_an_experiment_in_a_copy_leaves_the_working_tree_alone(small: Clone) -> None:
    shown = small.dvc("exp", "run", "--temp", "-S", "scale=smoke", "-S", "seeds=1", "scorecard")
    assert "Ran experiment" in shown
    assert small.changed() == set()
    assert "seeds" in small.dvc("exp", "show", "--csv").splitlines()[0]


def test_a_failing_notebook_stops_the_pipeline_and_is_kept(small: Clone) -> None:
    book = nbformat.read(small.folder / NOTEBOOK, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell("raise RuntimeError('on purpose')"))
    nbformat.write(book, small.folder / NOTEBOOK)
    shown = small.run(sys.executable, "-m", "dvc", "repro", "scorecard", ok=False)
    assert "RuntimeError: on purpose" in shown and "executed.failed.ipynb" in shown
    assert (small.folder / RESULTS / "executed.failed.ipynb").is_file()
    small.run("git", "checkout", "--", ".")
    assert small.changed() == set()


def test_every_paper_of_the_parameters_is_on_the_scorecard() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for stage in ("scorecard", "open_questions"):
        listed = {line.split("/")[1] for line in stages[stage]["deps"] if line.startswith("replications/")}
        assert listed == set(yaml.safe_load((ROOT / "params.yaml").read_text())["papers"]), stage


def test_modules_beside_a_notebook_lie_in_its_package() -> None:
    """The notebook stage depends on that package."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert "replications/${item}/${item}" in stages["notebook"]["do"]["deps"]
    assert list((ROOT / "replications").glob("*/*.py")) == []


def test_the_training_stage_depends_on_all_that_can_change_a_number() -> None:
    from losslab.runs.fingerprint import ENGINE

    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    listed = stages["train"]["do"]["deps"]
    for module in (*ENGINE, "losslab.losses", "losslab.runs.spec"):
        path = "shared/" + module.replace(".", "/")
        assert any(path == dep or path + ".py" == dep or path.startswith(f"{dep}/") for dep in listed), module
    for dep in listed:
        assert "${item}" in dep or dep == "data/manifest.json" or (ROOT / dep).exists(), dep
