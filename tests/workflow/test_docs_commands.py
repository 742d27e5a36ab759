"""Every command that a page prints can be run: programs, scripts, options, rules, keys and studies are there."""

import pytest

from support.documented_commands import ROOT, Refused, check, commands, split

COMMANDS = commands()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_printed_command_is_understood(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    try:
        check(split(line))
    except Refused as refused:
        pytest.fail(f"{COMMANDS[line]}: {line}: {refused}")


def test_the_pages_have_commands():
    assert len(COMMANDS) > 30 and {"README.md", "docs/slurm.md", "docs/scale.md"} <= set(COMMANDS.values())


@pytest.mark.parametrize(
    "line",
    [
        "snakemake nothing",
        "snakemake --no-such-option",
        "snakemake -n --config studies=missing",
        "snakemake -n --config studies=demo train.epochs=3",
        "snakemake -n --config studies=demo 'train={epochs: many}'",
        "snakemake --profile profiles/missing",
        "snakemake results/elsewhere/<file>",
        "snakemake --batch nothing=1/2",
        "python workflow/scripts/missing.py",
        "espalier status --plans x",
        "python workflow/scripts/stage.py train results/x --data",
        "make nothing",
        "uv sync --group nothing",
        "sbatch profiles/missing.sbatch",
        "watch -n 60 python workflow/scripts/missing.py",
        "apptainer build espalier.sif envs/missing.def",
        "apptainer exec espalier.sif espalier nothing",
        "excel --macro",
    ],
)
def test_a_wrong_command_is_refused(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(Refused):
        check(split(line))
