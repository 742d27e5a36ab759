"""Stands in for conda: an environment is a venv of what its file has pip install.

The packages are those of this Python, linked: the pins of the file and what these bring with them, and no others. Where
STAND_IN_UV names a uv, that installs them from an index, as pip would.
"""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

UV = "STAND_IN_UV"
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'


def install(folder: Path) -> Path:
    """Write the programs `conda` and `activate`; returns the folder that holds them."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(ACTIVATE)
    (programs / "conda").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$0" "$@"\n')
    (programs / "conda").chmod(0o755)
    return programs


def create(file: Path, prefix: Path) -> None:
    pins = re.findall(r"^ *- (\S+==\S+)$", file.read_text(), re.MULTILINE)
    if uv := os.environ.get(UV):
        subprocess.run([uv, "venv", "-q", "--python", "3.11", prefix], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", prefix / "bin/python", *pins], check=True)
        return
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    (packages,) = prefix.glob("lib/python*/site-packages")
    for found in brought(pins):
        # A folder that several packages share is linked whole.
        for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(found.locate_file(name))
        for script in found.entry_points.select(group="console_scripts"):
            module, _, function = script.value.partition(":")
            text = f"#!{prefix}/bin/python\nfrom {module} import {function}\n{function}()\n"
            (prefix / "bin" / script.name).write_text(text)
            (prefix / "bin" / script.name).chmod(0o755)


def brought(pins: list[str]) -> list[Distribution]:
    """Packages of this Python that pip would install for these pins."""
    waiting, found = [Requirement(pin) for pin in pins], {}
    while waiting:
        asked = waiting.pop()
        known = found.setdefault(asked.name.lower().replace("_", "-"), (distribution(asked.name), set()))
        for extra in {"", *asked.extras} - known[1]:
            known[1].add(extra)
            needs = map(Requirement, known[0].requires or ())
            waiting += [each for each in needs if each.marker is None or each.marker.evaluate({"extra": extra})]
    return [each for each, _ in found.values()]


def main(program: str, *words: str) -> None:
    if words == ("--version",):
        print("conda 24.9.0")
    elif words[0] == "info":
        print(json.dumps({"conda_prefix": str(Path(program).resolve().parents[1]), "platform": "linux-64"}))
    elif words[0] == "config":
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif words[:2] == ("env", "create"):
        create(*(Path(words[words.index(option) + 1]) for option in ("--file", "--prefix")))
    elif words[0] != "clean":
        sys.exit(f"conda {' '.join(words)}: not stood in for")


if __name__ == "__main__":
    main(*sys.argv[1:])
