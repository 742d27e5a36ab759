"""The commands that the documentation prints, and what would refuse to run them."""

import argparse
import importlib.util
import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path

from snakemake import cli
from snakemake.exceptions import CliException
from typer.testing import CliRunner

from espalier.cli import app
from espalier.plan import config
from espalier.plan.build import build
from espalier.stages import STAGES

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md"))]
PAGES += [path for room in ("config", "docs", "benchmarks") for path in sorted((ROOT / room).rglob("*.md"))]
OURS = ("snakemake", "espalier", "python", "make", "uv", "bash", "sbatch", "pytest", "mlflow", "tensorboard")
OWN = ("mine", "mine_a", "extended")
"""Studies that a page asks its reader to write; any stands for them."""
BEFORE = ("sudo", "watch", "nohup", "time")
_BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


class Refused(Exception):
    """A command could not be run as it is printed."""


def commands() -> dict[str, str]:
    """Every command with the page it is first printed on: lines of shell blocks, and inline code that begins so."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [
            line.strip()
            for language, block in _BLOCK.findall(text)
            if language in ("sh", "bash", "shell", "console")
            for line in block.replace("\\\n", " ").splitlines()
        ]
        inline = re.findall(r"`([^`]+)`", _BLOCK.sub("", text))
        begins = tuple(f"{name} " for name in (*OURS, *BEFORE))
        lines += [" ".join(code.split()) for code in inline if code.startswith(begins)]
        for line in lines:
            if line and not line.startswith("#"):
                found.setdefault(line, page.relative_to(ROOT).as_posix())
    return found


def check(words: list[str]) -> None:
    """Take a command as far as it goes without doing anything.

    Raises:
        Refused: a program, script, option, rule, key or study in it does not exist.
    """
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    name, *rest = words
    if name in BEFORE:
        options = re.compile(r"-.*|\d+")
        while rest and options.fullmatch(rest[0]):
            rest = rest[1:]
        check(rest)
    elif name in _CHECKS:
        _CHECKS[name](rest)
    else:
        raise Refused(f"{name}: no program that these tests know")


def _snakemake(words: list[str]) -> None:
    try:
        _, args = cli.parse_args(words)
    except SystemExit as ended:
        # --version and --help answer and end well.
        if ended.code:
            raise Refused(str(ended)) from ended
        return
    try:
        given, overrides = config.read(cli.parse_config(args.config))
        _plan(given.studies, json.dumps(overrides))
    except (CliException, ValueError, config.StudyError) as error:
        raise Refused(str(error)) from error
    rules = _rules()
    targets = [*args.targets, *(args.forcerun or ()), *([args.batch.rulename] if args.batch else ())]
    for target in targets:
        beginning = target.partition("<")[0]
        if target not in rules and not any(made.fullmatch(target) for made in _outputs()) and beginning == target:
            raise Refused(f"{target}: neither a rule nor a file that one makes")
        if beginning != target and not any(made.pattern.startswith(re.escape(beginning)) for made in _outputs()):
            raise Refused(f"{target}: no rule makes files there")


@cache
def _plan(studies: tuple[str, ...], overrides: str) -> None:
    known = tuple("demo" if name in OWN else name for name in studies)
    build(known, ROOT / "config/studies", json.loads(overrides))


@cache
def _rules() -> set[str]:
    files = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    return {name for file in files for name in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)}


@cache
def _outputs() -> list[re.Pattern]:
    texts = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    made = {name for text in texts for name in re.findall(r'"(results/[^"\s]+)"', text)}
    made |= {f"results/runs/{stage.name}/{{run}}/{name}" for stage in STAGES.values() for name in stage.written}
    return [re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(name))) for name in made]


def _python(words: list[str]) -> None:
    if words[:1] == ["-m"]:
        if importlib.util.find_spec(words[1]) is None:
            raise Refused(f"{words[1]}: no such module")
        return
    script, *rest = words
    if not (ROOT / script).is_file():
        raise Refused(f"{script}: no such file")
    if not re.search(r"parse_args|argparse|espalier\.stages", (ROOT / script).read_text()):
        if rest:
            raise Refused(f"{script}: takes no words")
        return
    before, sys.argv = sys.argv, [script, *rest]
    path = list(sys.path)
    sys.path.insert(0, str((ROOT / script).parent))
    try:
        with _parsing_only():
            runpy.run_path(str(ROOT / script), run_name="__main__")
    except _Parsed:
        return
    finally:
        sys.argv, sys.path[:] = before, path


class _Parsed(Exception):
    """The words of a command were understood."""


@contextmanager
def _parsing_only():
    """Let a script end where argparse has understood its words, or refused them."""
    kept = {name: getattr(argparse.ArgumentParser, name) for name in ("parse_args", "parse_intermixed_args")}

    def ending(original):
        def parse(self, *args, **kwargs):
            try:
                original(self, *args, **kwargs)
            except SystemExit as end:
                if end.code:
                    raise Refused(f"{self.prog}: its words are not understood") from None
            raise _Parsed

        return parse

    for name, original in kept.items():
        setattr(argparse.ArgumentParser, name, ending(original))
    try:
        yield
    finally:
        for name, original in kept.items():
            setattr(argparse.ArgumentParser, name, original)


def _espalier(words: list[str]) -> None:
    """Have the command line understand its words, without doing anything."""
    told = CliRunner().invoke(app, [*words, "--help"])
    if told.exit_code:
        raise Refused(f"espalier: {told.output}")


def _make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text()
    for target in words:
        if not re.search(rf"^{re.escape(target)}:", text, re.MULTILINE):
            raise Refused(f"make {target}: no such target")


def _uv(words: list[str]) -> None:
    if words[:1] == ["run"]:
        return check(words[3:] if words[1:2] == ["--with"] else words[1:])
    if words[:1] == ["sync"]:
        groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
        for group in (word for option, word in pairwise(words) if option == "--group"):
            if group not in groups:
                raise Refused(f"uv sync: no group {group}")
    elif words[:1] != ["venv"] and words[:2] != ["pip", "install"]:
        raise Refused(f"uv {' '.join(words)}: not known here")


def _apptainer(words: list[str]) -> None:
    verb, *rest = words
    if verb == "build":
        if not (ROOT / rest[-1]).is_file():
            raise Refused(f"{rest[-1]}: no such recipe")
        return
    image = next(place for place, word in enumerate(rest) if word.endswith(".sif"))
    check([*(["snakemake"] if verb == "run" else []), *rest[image + 1 :]])


def _conda(words: list[str]) -> None:
    if words[0] not in ("create", "activate"):
        raise Refused(f"conda {words[0]}: not known here")


def _shell(words: list[str]) -> None:
    while words and words[0].startswith("-"):
        words = words[2:]
    script, *rest = words
    if not (ROOT / script).is_file():
        raise Refused(f"{script}: no such file")
    _snakemake(rest)


def _pytest(words: list[str]) -> None:
    for before, word in pairwise(["", *words]):
        if before != "-m" and not word.startswith("-") and not (ROOT / word).exists():
            raise Refused(f"pytest {word}: no such file")


def _helped(program: str, words: list[str]) -> None:
    """Ask a program of the group `trackers` what it takes."""
    path = Path(sys.executable).with_name(program)
    if not path.exists():
        return
    command = [word for word in words[:1] if not word.startswith("-")]
    told = subprocess.run([path, *command, "--help"], capture_output=True, text=True, check=False)
    for option in (word.partition("=")[0] for word in words if word.startswith("-")):
        if told.returncode or not re.search(rf"(?<![\w-]){re.escape(option)}\b", told.stdout + told.stderr):
            raise Refused(f"{program} {' '.join(command)}: no option {option}")


_CHECKS = {
    "snakemake": _snakemake,
    "espalier": _espalier,
    "python": _python,
    "make": _make,
    "uv": _uv,
    "pip": lambda words: _uv(["pip", *words]),
    "conda": _conda,
    "apptainer": _apptainer,
    "bash": _shell,
    "sbatch": _shell,
    "pytest": _pytest,
    "mlflow": lambda words: _helped("mlflow", words),
    "tensorboard": lambda words: _helped("tensorboard", words),
    "wandb": lambda words: _helped("wandb", words),
}


def split(line: str) -> list[str]:
    return shlex.split(line, comments=True)
