"""The commands, with their options. The work is in the modules beside this one, loaded when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def examples(*lines: str) -> str:
    """The end of a help text: one example per line."""
    return "\n\n".join(["Examples:", *(f"  [bold]{line}[/]" for line in lines)])


app = typer.Typer(
    name="losslab",
    help="Replications of nine papers on losses for imperfect labels. Settings that no option names come from params.yaml.",
    epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 stopped by the budget (the same command goes on).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
runs_app = typer.Typer(
    no_args_is_help=True, help="Look into the run store: one record per training, shared by all papers."
)
app.add_typer(runs_app, name="runs")

Paper = Annotated[
    str, typer.Argument(metavar="PAPER", help="Folder name under replications/, for example gce.", show_default=False)
]
ScaleOption = Annotated[str | None, typer.Option("--scale", help="smoke, quick or paper.", show_default="params.yaml")]
SeedsOption = Annotated[
    int | None, typer.Option("--seeds", help="Trainings per cell.", show_default="as the experiment says")
]
DataOption = Annotated[
    Path | None, typer.Option("--data-root", help="Folder of downloaded data sets.", show_default="data/")
]


@app.command(
    epilog=examples(
        "losslab train gce",
        "losslab train gce --dry-run",
        "losslab train gce --scale smoke --only table-1",
        "losslab train gce --only table-1/cifar10 --where method=MAE,CCE --where noise_rate=0.4 --where seed=0",
        "losslab train gce --scale paper --device cuda --budget 25m",
    )
)
def train(
    paper: Paper,
    scale: ScaleOption = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="An item or experiment of paper.yaml, also with a block: table-1/cifar10.", show_default="everything"
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE[,VALUE]",
            help="Only trainings with these values; repeatable. Keys: method, dataset, noise_type, noise_rate, setting, "
            "experiment, seed, loss, model, data.",
            show_default="all",
        ),
    ] = None,
    seeds: SeedsOption = None,
    workers: Annotated[
        int | None, typer.Option(envvar="LOSSLAB_WORKERS", help="Processes side by side.", show_default="by machine")
    ] = None,
    device: Annotated[
        str | None, typer.Option(envvar="LOSSLAB_DEVICE", help="auto, cpu, cuda, cuda:1.", show_default="auto")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Train on a Dask cluster: its scheduler.", show_default="none")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Stop cleanly after this time, for example 25m, 90s, 1h30m.", show_default="none")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Also export the results frame (a .parquet file).", show_default="none")
    ] = None,
    data_root: DataOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would run, with time, memory and disk.")
    ] = False,
) -> int:
    """Train the runs of a paper that the store does not have yet. Stopped or killed, the same command goes on."""
    from losslab.cli import train as command

    return command.train(
        paper,
        scale=scale,
        only=only,
        where=where or (),
        seeds=seeds,
        workers=workers,
        device=device,
        dask=dask,
        budget=budget,
        output=output,
        data_root=data_root,
        dry_run=dry_run,
    )


@app.command(
    epilog=examples(
        "losslab execute replications/gce/notebook.ipynb",
        "losslab execute replications/gce/notebook.ipynb --scale smoke -p seeds=2",
        "losslab execute notebooks/scorecard.ipynb --output scorecard.ipynb",
    )
)
def execute(
    notebook: Annotated[Path, typer.Argument(help="The source notebook.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            help="The executed notebook; tables and figures go beside it.", show_default="under .losslab/results/"
        ),
    ] = None,
    scale: ScaleOption = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="name=value, may be repeated.", show_default="none")
    ] = None,
) -> int:
    """Run a notebook with parameters and write it so that equal results give equal bytes. Needs the runs to be trained."""
    from losslab.cli import notebook as command

    return command.execute(notebook, output=output, scale=scale, parameters=parameter or [])


@app.command(epilog=examples("losslab refresh replications/gce/notebook.ipynb"))
def refresh(
    notebooks: Annotated[list[Path] | None, typer.Argument(help="Source notebooks.", show_default="all")] = None,
) -> int:
    """Run source notebooks at their own defaults (smoke scale) and write the outputs into them. Trains what is missing."""
    from losslab.cli import notebook as command

    return command.refresh(notebooks or [])


@app.command(epilog=examples("losslab verify", "losslab verify gce", "losslab verify gce --against HEAD~3"))
def verify(
    paper: Annotated[str | None, typer.Argument(help="Folder name under replications/.", show_default="all")] = None,
    against: Annotated[str, typer.Option(help="The commit, branch or tag whose results to compare with.")] = "HEAD",
) -> int:
    """Compare the results in the working tree with the committed ones: how many numbers agree, and within what."""
    from losslab.cli import results as command

    return command.verify(paper, against=against)


@app.command(epilog=examples("losslab summary", "losslab summary --readme"))
def summary(
    since: Annotated[
        float | None,
        typer.Option(help="A time (seconds since 1970): count what was made after it.", show_default="none"),
    ] = None,
    readme: Annotated[
        bool, typer.Option("--readme", help="Fill the marked spots of README.md from the results instead.")
    ] = False,
) -> int:
    """What was regenerated, the claims by verdict, and how the numbers compare with the committed results."""
    from losslab.cli import results as command

    return command.fill_readme() if readme else command.summary(since)


@app.command(epilog=examples("losslab doctor", "losslab doctor --data-root /data"))
def doctor(data_root: DataOption = None) -> int:
    """What this machine can run: device, memory, versions, data sets that are there, what is missing and how to get it."""
    from losslab.cli import doctor as command

    return command.doctor(data_root)


@app.command(
    epilog=examples("losslab data", "losslab data mnist cifar10 --data-root /data", "losslab data --scale paper")
)
def data(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]", help="Data sets.", show_default="what the papers of params.yaml need"),
    ] = None,
    scale: ScaleOption = None,
    data_root: DataOption = None,
    output: Annotated[Path | None, typer.Option(help="Write what was found (JSON).", show_default="none")] = None,
) -> int:
    """Check data sets, and fetch those that may be downloaded."""
    from losslab.cli import data as command

    return command.data(names or [], scale=scale, data_root=data_root, output=output)


@app.command(epilog=examples("losslab losses", "losslab losses gce", "losslab losses nce+rce"))
def losses(
    name: Annotated[str | None, typer.Argument(help="A loss, or a sum like nce+rce.", show_default="all")] = None,
) -> int:
    """All losses, or the card of one: paper, formula, hyper-parameters with their ranges, properties."""
    from losslab.cli import losses as command

    return command.losses(name)


@app.command(
    "new-paper",
    epilog=examples(
        "losslab new-paper my_loss",
        "losslab new-paper my_loss --title 'A Loss of Mine' --authors 'A. Author' --venue 'ICML 2026' --year 2026",
    ),
)
def new_paper(
    slug: Annotated[
        str, typer.Argument(metavar="SLUG", help="The new folder's name under replications/.", show_default=False)
    ],
    title: Annotated[str, typer.Option(help="The paper's title.")] = "TO DO: title",
    authors: Annotated[str, typer.Option(help="Its authors.")] = "TO DO: authors",
    venue: Annotated[str, typer.Option(help="Where it appeared, with the year.")] = "TO DO: venue",
    year: Annotated[
        int | None, typer.Option(min=1900, max=2100, help="The year alone.", show_default="this year")
    ] = None,
) -> int:
    """Draft a replication that runs: folder, notebook, test, and its lines in params.yaml, dvc.yaml and pyproject.toml."""
    from losslab.cli import scaffold as command

    return command.new_paper(slug, title=title, authors=authors, venue=venue, year=year)


@runs_app.command(
    "list",
    epilog=examples("losslab runs list", "losslab runs list --paper gce --scale smoke", "losslab runs list --loss gce"),
)
def runs_list(
    paper: Annotated[str | None, typer.Option(help="Only the runs of a paper.", show_default="all")] = None,
    scale: ScaleOption = None,
    loss: Annotated[str | None, typer.Option(help="Only the runs with this loss.", show_default="all")] = None,
    limit: Annotated[int, typer.Option(help="Show at most this many rows; 0: all.")] = 50,
) -> int:
    """List stored runs: hash, what it is, accuracy, seconds."""
    from losslab.cli import runs as command

    return command.listing(paper=paper, scale=scale, loss=loss, limit=limit)


@runs_app.command("show", epilog=examples("losslab runs show 3f2a"))
def runs_show(
    run: Annotated[str, typer.Argument(metavar="HASH", help="A run's hash or its beginning.", show_default=False)],
) -> int:
    """Everything about one run: description, readings, cost, provenance."""
    from losslab.cli import runs as command

    return command.show(run)


@runs_app.command("check", epilog=examples("losslab runs check", "losslab runs check --remove"))
def runs_check(
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete damaged files, so that the runs are trained again.")
    ] = False,
) -> int:
    """Read every record and report damaged ones (exit code 1 if there are any)."""
    from losslab.cli import runs as command

    return command.check(remove=remove)


@runs_app.command("export", epilog=examples("losslab runs export runs.zip --paper gce"))
def runs_export(
    file: Annotated[Path, typer.Argument(help="Archive to write (.zip).", show_default=False)],
    paper: Annotated[str | None, typer.Option(help="Only the runs of a paper.", show_default="all")] = None,
    scale: ScaleOption = None,
) -> int:
    """Write records to one archive, for another machine or a release."""
    from losslab.cli import runs as command

    return command.export(file, paper=paper, scale=scale)


@runs_app.command("import", epilog=examples("losslab runs import runs.zip"))
def runs_import(file: Annotated[Path, typer.Argument(help="Archive made by export.", show_default=False)]) -> int:
    """Add the records of an archive to the store; damaged ones are refused."""
    from losslab.cli import runs as command

    return command.import_(file)
