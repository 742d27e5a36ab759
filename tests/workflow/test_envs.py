"""The conda environments and the image hold the versions of the lock, and all that their scripts import."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
LOCKED = {p["name"]: p["version"] for p in tomllib.loads((ROOT / "uv.lock").read_text())["package"] if "version" in p}
DISTRIBUTIONS = {
    "PIL": "pillow",
    "huggingface_hub": "huggingface-hub",
    "torch_pruning": "torch-pruning",
    "vl_convert": "vl-convert-python",
    "sklearn": "scikit-learn",
    "pytorch_optimizer": "pytorch-optimizer",
    "ruamel": "ruamel-yaml",
}
ROOMS = {
    "train": [
        *("settings", "site", "runs", "models", "data", "metrics", "training", "pruning", "quantization", "coding"),
        *("export", "networks", "stages", "plan", "search"),
    ],
    "report": ["results", "plan", "settings"],
}


def pins(name):
    environment = YAML(typ="safe", pure=True).load((ROOT / "envs" / f"{name}.yaml").read_text())
    (pip,) = (item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    return dict(pin.split("==") for pin in pip)


@pytest.mark.parametrize("name", ROOMS)
def test_pins_are_those_of_the_lock(name):
    assert pins(name) == {package: LOCKED[package] for package in pins(name)}


@pytest.mark.parametrize("name", ROOMS)
def test_everything_imported_is_pinned(name):
    library = ROOT / "espalier"
    files = [*library.glob("*.py"), *(file for room in ROOMS[name] for file in (library / room).rglob("*.py"))]
    imported = set()
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(node.module.partition(".")[0])
    # Snakemake imports the one file that asks it of its own command line.
    # zstandard is a rung of the size ladder and pillow-heif a reader where they are installed; MLflow has an
    # environment of its own.
    outside = imported - set(sys.stdlib_module_names) - {"espalier", "snakemake", "zstandard", "mlflow", "pillow_heif"}
    pinned = set(pins(name)) | {"pydantic_core"}
    assert {DISTRIBUTIONS.get(module, module) for module in outside} <= pinned


def test_the_project_pins_what_the_lock_holds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert all(LOCKED[name] == version for name, version in (item.split("==") for item in project["dependencies"]))


def test_the_image_has_the_python_and_the_uv_of_the_project():
    recipe = (ROOT / "envs/espalier.def").read_text()
    (least,) = re.findall(r'requires-python = ">=(\S+)"', (ROOT / "pyproject.toml").read_text())
    assert re.findall(r"^From: python:([\d.]+)-", recipe, re.MULTILINE) == [least]
    assert {re.search(r"python =(\S+)", path.read_text())[1] for path in ROOT.glob("envs/*.yaml")} == {least}
    (uv,) = re.findall(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"uv==(\S+)", recipe) == [uv]


def test_the_image_is_built_of_files_that_are_there():
    recipe = (ROOT / "envs/espalier.def").read_text()
    files = re.findall(r"^    (\S+) /opt/source/(\S+)$", recipe, re.MULTILINE)
    assert files and all(here == there and (ROOT / here).exists() for here, there in files)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {here for here, _ in files} >= {"pyproject.toml", "uv.lock", project["project"]["readme"], *packages}
