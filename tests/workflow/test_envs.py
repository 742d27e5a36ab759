"""The conda environments hold the versions of the lock, and all that their scripts import."""

import ast
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
    if name == "report":
        # Of the command, `decode` is for the environment of training.
        imported -= {"safetensors"}
    outside = imported - set(sys.stdlib_module_names) - {"espalier", "snakemake", "zstandard", "mlflow", "pillow_heif"}
    pinned = set(pins(name)) | {"pydantic_core"}
    assert {DISTRIBUTIONS.get(module, module) for module in outside} <= pinned


def test_the_project_pins_what_the_lock_holds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert all(LOCKED[name] == version for name, version in (item.split("==") for item in project["dependencies"]))
