"""The conda environments hold the versions of the lock, and all that their scripts import."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
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
    "train": ["data", "models", "training", "pruning", "quantization", "coding", "export", "measure", "plan"],
    "report": ["results", "plan"],
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
    library = ROOT / "workflow/scripts/espalier"
    files = [*library.glob("*.py"), *(file for room in ROOMS[name] for file in (library / room).rglob("*.py"))]
    imported = set()
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(node.module.partition(".")[0])
    # zstandard is a rung of the size ladder where it is installed.
    outside = imported - set(sys.stdlib_module_names) - {"espalier", "zstandard"}
    pinned = set(pins(name)) | {"pydantic_core"}
    if name == "report":
        # artifact.py and device.py stand at the top of the library for the training scripts alone.
        outside -= {"torch", "safetensors", "accelerate"}
    assert {DISTRIBUTIONS.get(module, module) for module in outside} <= pinned


def test_the_project_pins_what_the_lock_holds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert all(LOCKED[name] == version for name, version in (item.split("==") for item in project["dependencies"]))
