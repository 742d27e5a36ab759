"""The command `espalier`: looks at what runs have made. Snakemake is the one way to make them."""

import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from espalier.counted import counted
from espalier.errors import Mistake

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


def command(function: Callable) -> Callable:
    """Make a function a subcommand whose mistakes are told in one line, exit code 2."""

    @wraps(function)
    def told(*args: Any, **settings: Any) -> None:
        try:
            function(*args, **settings)
        except (Mistake, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(2) from None

    return app.command()(told)


Studies = Annotated[list[str] | None, typer.Argument(help="names of studies; those of config/config.yaml")]
Words = Annotated[list[str] | None, typer.Option("--config", help="key=value, as Snakemake takes it; may be repeated")]
Runs = Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="ids, names, spoken names or folders of runs")]


@command
def status(
    studies: Studies = None,
    config: Words = None,
    watch: Annotated[bool, typer.Option(help="look again and again, until all runs have ended")] = False,
    every: Annotated[float, typer.Option(help="seconds between two looks")] = 10.0,
) -> None:
    """Tell which runs of a study, as it is written now, are done, running, paused, failed, lost or waiting.

    Reads the files that the runs write. It asks no scheduler, takes no lock, and needs no call of Snakemake before.
    """
    from espalier.plan.configured_plan import plan_studies
    from espalier.plan.manifest import manifest
    from espalier.results.page import status_table

    plan = plan_studies(studies or (), config or ())
    told = {name: manifest(planned) for name, planned in plan.studies.items()}
    while True:
        found = [status_table.text(study) for study in told.values()]
        print(
            "\n\n".join(text + status_table.other_plan(study) for text, study in zip(found, told.values(), strict=True))
        )
        if not watch or all(status_table.is_over(study) for study in told.values()):
            return
        time.sleep(every)
        print(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')}")


@command
def partial(studies: Studies = None, config: Words = None) -> None:
    """Make the tables, figures and pages of what exists so far, in results/partial/."""
    from espalier.plan import manifest
    from espalier.plan.configured_plan import plan_studies
    from espalier.results.study_folder import make

    wrong: list[str] = []
    for name, planned in plan_studies(studies or (), config or ()).studies.items():
        folder = Path("results/partial") / name
        manifest.write(folder / "plan.json", manifest.manifest(planned))
        _, failures = make(folder, folder / "plan.json")
        print(folder / "index.html")
        wrong += [f"{each.trace}{folder}/{each.message()}" for each in failures]
    if wrong:
        raise Mistake("\n".join(wrong))


@command
def show(run: Annotated[str, typer.Argument(help="id, name, spoken name or folder of a run")]) -> None:
    """Show what a run is: its outcome, settings, command and files, and the end of its log."""
    from espalier.results.page import run_table
    from espalier.runs.folders import find

    print(run_table.text(find(run)))


@command
def forget(
    runs: Runs = None,
    stale: Annotated[
        bool, typer.Option(help="all runs of the studies that are damaged, or made of other data")
    ] = False,
    config: Words = None,
) -> None:
    """Remove runs, so that the next call of snakemake makes them again; also those not run because of them."""
    from espalier.results.read import run_folders
    from espalier.runs.folders import find

    chosen = [find(name) for name in runs or ()]
    if stale:
        from espalier.plan.configured_plan import plan_studies
        from espalier.plan.plan_records import PlanRecords

        chosen += [Path(run.path) for run in PlanRecords(plan_studies((), config or ())).problems]
    if not chosen and not stale:
        raise Mistake("name the runs to forget, or --stale")
    for folder in run_folders.forget(chosen):
        print(f"forgotten: {folder}")


@command
def orphans(
    delete: Annotated[bool, typer.Option(help="remove them")] = False,
) -> None:
    """List runs, rungs of runs and prepared data that no study asks for, with their size.

    Asked for is what any study of config/studies/ has or starts from, as it is written now, and any plan in
    results/studies/.
    """
    from espalier.plan.configured_plan import STUDIES, plan_studies
    from espalier.results.read import run_folders
    from espalier.results.read.planned_study import read

    names = [path.stem for path in sorted(STUDIES.glob("*.yaml"))]
    print(f"{counted(len(names), 'study is', 'studies are')} planned: all of {STUDIES}", file=sys.stderr, flush=True)
    plan = plan_studies(names)
    planned = [run for runs in plan.runs.values() for run in runs.values()]
    asked = [run.path for run in planned]
    starts = [start.file for run in planned if (start := getattr(run.spec, "checkpoint", None))]
    for path in sorted(Path("results/studies").glob("*/plan.json")):
        runs = read(path)["runs"].values()
        asked += [run["path"] for run in runs]
        starts += [
            file for run in runs for key in ("checkpoint", "checkpoint.file") if (file := run["settings"].get(key))
        ]
    # A run whose weights another starts from is asked for, however its path is written.
    asked += [os.path.relpath(Path(start).resolve().parent) for start in starts]
    found = {path: run_folders.size(path) for path in run_folders.orphans(asked)}
    for path, size in found.items():
        if delete:
            run_folders.remove(path)
        print(f"{'removed: ' if delete else ''}{path}  {counted(size, 'byte')}")
    print(f"{len(found):,} that no study asks for, {counted(sum(found.values()), 'byte')}")


@command
def verify(studies: Studies = None, config: Words = None) -> None:
    """Read every file of a study's runs, and tell which is not what was written. Exit code 1 where one is not."""
    from espalier.plan.configured_plan import plan_studies
    from espalier.plan.plan_records import PlanRecords
    from espalier.results.read import verification

    plan = plan_studies(studies or (), config or ())
    found = verification.verified(plan, PlanRecords(plan))
    print(found.text())
    raise typer.Exit(bool(found.wrong))


@command
def runs(
    studies: Studies = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="out.csv or out.parquet; printed without")
    ] = None,
) -> None:
    """Write all runs of one or several studies as one table: a row a chain, with the folders of its runs."""
    from espalier.results import notebook

    frame = notebook.frame(*studies or ())
    if output is None:
        print(frame.to_csv(index=False, lineterminator="\n"), end="")
        return
    notebook.save(frame, output)
    print(f"{output}: {counted(len(frame), 'chain')}")


@command
def compare(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY STUDY...", help="names of studies of the same data")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder of the page; by default below results/compare/")
    ] = None,
    config: Words = None,
) -> None:
    """Show the configurations of several studies side by side, with verdicts across them, from the runs that exist.

    A file with `compare: [A, B]` in config/studies/ is such a comparison that Snakemake makes and keeps.
    """
    from espalier.plan import manifest
    from espalier.plan.configured_plan import plan_comparison
    from espalier.results.study_folder import make

    planned = plan_comparison(studies, config or ())
    folder = output or Path("results/compare") / planned.name
    manifest.write(folder / "plan.json", manifest.manifest(planned))
    _, failures = make(folder, folder / "plan.json")
    # What the page says of how the numbers came about stands below the table.
    table, _, _ = (folder / "tables/against_baseline.md").read_text(encoding="utf-8").partition("\n\n")
    print(f"{table}\n\n{folder}/index.html")
    if failures:
        raise Mistake("\n".join(f"{each.trace}{folder}/{each.message()}" for each in failures))


@command
def predict(
    run: Annotated[str, typer.Argument(help="id, name, spoken name or folder of a run, or a file")],
    images: Annotated[Path, typer.Argument(help="an image, a folder, searched to its depth, or a pickled batch")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="table: file, label, probability, error; or ID, Labels"),
    ],
    strict: Annotated[bool, typer.Option(help="stop at a file that cannot be read")] = False,
) -> None:
    """Tell the class of every image in a folder. Exit code 1 where a file could not be read; the rest is answered."""
    from espalier.networks.classify_folder import classify
    from espalier.runs.folders import path_or_run

    counts = classify(path_or_run(run), images, output, strict=strict)
    images_ = counted(counts.images, "image")
    print(f"{output}: {images_}, {counts.unreadable} could not be read, {counts.per_second:.0f} a second")
    raise typer.Exit(bool(counts.unreadable))


@command
def preflight(
    profile: Annotated[Path, typer.Option(help="folder of the profile")] = Path("profiles/slurm"),
    results: Annotated[Path, typer.Option(help="folder that runs are written to")] = Path("results"),
) -> None:
    """Check this site against a profile before any job, and say what to change. Submits nothing.

    Exit codes: 0 nothing is wrong, 1 something is, 2 the profile cannot be read.
    """
    from espalier.site.preflight import checks
    from espalier.site.preflight import profile as profiles
    from espalier.site.preflight.finding import WRONG

    asked = profiles.read(profile)
    found = checks.findings(asked, results)
    print(checks.text(asked, found))
    raise typer.Exit(any(finding.level == WRONG for finding in found))


@command
def decode(
    coded: Annotated[Path, typer.Argument(metavar="MODEL.esp")],
    output: Annotated[Path, typer.Argument(metavar="OUT.safetensors")],
) -> None:
    """Turn a coded network into a plain state dict in fp32.

    Weights are the numbers that their levels stand for. What a network does to the inputs of its layers is no part of
    a state dict: `espalier.load` gives the network with it. torch is not needed.
    """
    from espalier.coding.state_dict import write

    record = write(coded, output)
    for path in (coded, output):
        print(f"{path}: {path.stat().st_size:,} bytes")
    print(f"{record.model.name}, {record.num_classes} classes, images of {record.image_size}x{record.image_size}")
    if layers := sum(each is not None for each in record.activations or record.dynamic):
        print(f"the inputs of {counted(layers, 'layer')} are quantized too, which the state dict does not hold")
