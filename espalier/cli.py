"""The command `espalier`: looks at what runs have made. Snakemake is the one way to make them."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

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


@command
def status(
    plan: Annotated[list[Path] | None, typer.Option(help="plan.json of a study; all of results/")] = None,
) -> None:
    """Tell which runs are done, running, failed, lost or waiting.

    Reads the files that the runs write, and asks no scheduler and no server; a minute's watch is
    `watch -n 60 espalier status`.
    """
    from espalier.results.page import status_table
    from espalier.results.read.planned_study import read

    plans = plan or sorted(Path("results/studies").glob("*/plan.json"))
    if not plans:
        raise Mistake("results/studies: holds no plan.json; `snakemake status` writes it")
    print("\n\n".join(status_table.told(read(one)) for one in plans))


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
    print(checks.told(asked, found))
    raise typer.Exit(any(finding.level == WRONG for finding in found))


@command
def decode(
    coded: Annotated[Path, typer.Argument(metavar="MODEL.esp")],
    output: Annotated[Path, typer.Argument(metavar="OUT.safetensors")],
) -> None:
    """Turn a coded network into a plain state dict in fp32.

    Weights are the numbers that their levels stand for. What a network does to the inputs of its layers is no part of
    a state dict: `espalier.networks.coded_network.load` gives the network with it.
    """
    from safetensors.torch import save_file

    from espalier.files import replacing
    from espalier.networks.coded_network import load

    network = load(coded)
    weights = {name: tensor.contiguous() for name, tensor in network.model.state_dict().items()}
    with replacing(output) as temporary:
        save_file(weights, temporary)
    for path in (coded, output):
        print(f"{path}: {path.stat().st_size:,} bytes")
    print(f"{network.choice.name}, {network.num_classes} classes, images of {network.image_size}x{network.image_size}")
    if network.quantization and (network.quantization.activations or network.quantization.dynamic):
        layers = len(network.quantization.activations) or len(network.quantization.dynamic)
        print(f"the inputs of {layers} layers are quantized too, which the state dict does not hold")
