"""The page on adding things is true: its code is put where it says, its study runs, and the tests pass with it."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from espalier.settings.registry import ROOMS
from support.extending_page import PAGE, ROOT, add_all, blocks
from support.scripts_as_run import preloaded

REGISTRIES = re.compile(
    r"\bentries\(|\bpresets\(|\bSTAGES\b|\bcheck\(\)|of_training|pruned_networks|espalier.reference"
)
"""What a test says that goes through all that is registered."""
CONFIG = ("--config", "studies=extended", "plugins=my_models.py", "figures=[]")
"""The page adds no figure."""
ELSEWHERE = ("tests/workflow/test_extending.py", "tests/slurm", "tests/browser")


@pytest.fixture(scope="module")
def extended(tmp_path_factory, fresh):
    """A repository with all that the page adds, and the page's study run in it."""
    repository = fresh(tmp_path_factory.mktemp("extended") / "repository")
    add_all(repository.folder)
    (command,) = re.findall(r"^snakemake (.*)$", PAGE.read_text(), re.MULTILINE)
    assert command.endswith(" ".join(CONFIG[:-1]))
    repository.snakemake(*command.split(), CONFIG[-1])
    return repository


def runs_of(extended, stage):
    """Folder of every run of a stage → its metrics."""
    paths = extended.folder.glob(f"results/runs/{stage}/*/metrics.csv")
    return {path.parent: next(csv.DictReader(path.open())) for path in paths}


def of_plugin(extended, stage):
    """The run of a stage whose network is the plugin's."""
    (folder,) = [folder for folder in runs_of(extended, stage) if folder.name.startswith("plain-")]
    return folder


def stage(extended, *words, **environment):
    """A stage by hand, in the repository."""
    command = [sys.executable, "workflow/scripts/stage.py", *map(str, words)]
    known = {key: value for key, value in preloaded(extended.folder).items() if key != "ESPALIER_PLUGINS"}
    return subprocess.run(
        command, cwd=extended.folder, env=known | environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_every_block_of_code_has_its_place():
    assert len(blocks()) == len(re.findall(r"^```(?:python|yaml)$", PAGE.read_text(), re.MULTILINE))


def test_the_page_names_the_place_of_every_kind():
    text = PAGE.read_text().replace("`", "").replace(",", "")
    for kind, place in ROOMS.items():
        assert re.search(rf"^\|[^|]*\b{kind}\b[^|]*\|[^|]*{re.escape(place)}", text, re.MULTILINE), kind


def test_its_study_trains_prunes_and_scores(extended):
    counts = {name: len(runs_of(extended, name)) for name in ("train", "prune", "half", "evaluate")}
    assert counts == {"train": 2, "prune": 1, "half": 3, "evaluate": 3}
    (pruned,) = runs_of(extended, "prune").values()
    assert 25 < float(pruned["sparsity"]) < 35
    # Of two classes: half are right by chance.
    assert min(float(row["test_top1"]) for row in runs_of(extended, "evaluate").values()) > 40
    folder = extended.folder / "results/studies/extended/tables"
    assert len(list(csv.DictReader((folder / "slowest.csv").open()))) == 3
    text = (folder / "slowest.md").read_text()
    assert "The configurations with the longest mean wall time of training. With count 5." in text


def test_its_metric_is_measured(extended):
    for folder in runs_of(extended, "evaluate"):
        found = {row["metric"]: float(row["value"]) for row in csv.DictReader((folder / "test_metrics.csv").open())}
        assert found.keys() == {"nll", "worst1", "worst2"}
        assert 0 <= found["worst1"] <= found["worst2"] <= 100


def test_its_settings_are_in_the_runs(extended):
    text = "".join(path.read_text() for path in extended.folder.glob("results/runs/train/*/run.json"))
    assert all(word in text for word in ('"separable"', '"dim"', '"adagrad"', '"poly"', '"plain"'))


def held(path):
    """Bytes of the tensors in a file, without those of its header, which says its own length first."""
    return path.stat().st_size - 8 - int.from_bytes(path.read_bytes()[:8], "little")


def test_its_stage_halves_the_file_and_all_else_comes_by_itself(extended):
    for folder, row in runs_of(extended, "half").items():
        parent = json.loads((folder / "run.json").read_text())["parent"]
        (before,) = extended.folder.glob(f"results/runs/*/*-{parent}/model.safetensors")
        own = folder / "model.safetensors"
        assert float(row["file_bytes"]) == own.stat().st_size
        assert held(own) < 0.6 * held(before)
        assert folder.name.rpartition("-")[0].endswith("fp16")
    rows = csv.DictReader((extended.folder / "results/studies/extended/tables/accounting.csv").open())
    assert {row["stage"]: row["bits"] for row in rows} == {"original": "32.0", "pruned": "32.0", "half": "16.0"}
    plan = json.loads((extended.folder / "results/studies/extended/plan.json").read_text())
    command = next(run["command"] for run in plan["runs"].values() if run["stage"] == "half")
    assert command[:3] == ["python", "workflow/scripts/stage.py", "half"] and "--parents" in command
    told = stage(extended, "half", "--help").stdout
    assert "Round a network's weights to 16 bits" in told and "--parents" in told
    code = "from espalier.reference import schemas; print('half' in schemas()['study.schema.json']['properties'])"
    environment = os.environ | {"PYTHONPATH": str(extended.folder)}
    printed = subprocess.run([sys.executable, "-c", code], cwd=extended.folder, env=environment, capture_output=True)
    assert printed.stdout == b"True\n", printed.stderr


def test_a_wrong_setting_of_its_stage_is_told_before_any_job(extended):
    done = extended.snakemake("-n", *CONFIG, "half={dtype: fp8}", check=False)
    assert done.returncode and "half.dtype: found 'fp8', expected 'fp16' or 'bf16'" in done.stdout + done.stderr


def test_runs_tell_the_plugin_and_only_its_own_are_made_anew_when_it_is_edited(extended, tmp_path):
    record = json.loads((of_plugin(extended, "train") / "run.json").read_text())
    assert len(record["plugins"]["my_models.py"]) == 64
    assert record["spec"]["model"]["plugin"] == f"sha256-{record['plugins']['my_models.py'][:10]}"
    assert extended.jobs(*CONFIG) == {}
    copy = extended.copy(tmp_path / "copy")
    copy.edit("my_models.py", "nn.ReLU()", "nn.Hardswish()")
    jobs = copy.jobs(*CONFIG)
    assert {"train": 1, "half": 1, "evaluate": 1}.items() <= jobs.items()
    assert "prune" not in jobs and "prepare" not in jobs
    # A job of the old plan finds another file.
    parent = of_plugin(extended, "train")
    words = ["train", tmp_path / "net-0123456789", "--data", next(extended.folder.glob("results/data/*.safetensors"))]
    words += ["model.name=plain", f"model.plugin={record['spec']['model']['plugin']}"]
    done = stage(copy, *words, ESPALIER_PLUGINS="my_models.py")
    assert done.returncode == 2 and "the plugin my_models.py is sha256-" in done.stderr
    done = stage(copy, *evaluated(extended, parent, tmp_path), ESPALIER_PLUGINS="my_models.py")
    assert done.returncode == 2 and "model: the plugin my_models.py is sha256-" in done.stderr


def evaluated(extended, parent, folder):
    """The command that evaluates a run."""
    data = next(extended.folder.glob("results/data/*.safetensors"))
    return ["evaluate", folder / "net-0123456789", "--parents", parent, "--data", data]


def test_by_hand_a_plugin_is_named_in_the_environment(extended, tmp_path):
    words = evaluated(extended, of_plugin(extended, "train"), tmp_path)
    done = stage(extended, *words)
    assert done.returncode == 2
    assert "'plain' is of a plugin that is not named; set ESPALIER_PLUGINS to its file" in done.stderr
    done = stage(extended, *words, ESPALIER_PLUGINS="my_models.py")
    assert done.returncode == 0, done.stderr
    done = stage(extended, *words, ESPALIER_PLUGINS="missing.py")
    assert done.returncode == 2 and done.stderr.startswith("plugins: there is no file missing.py")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("prune", ["prune.name=magnitude", "prune.exclude=[classifier]"]),
        ("prune", ["prune.name=structured"]),
        ("quantize", ["quantize.weight_bits=[8]"]),
    ],
)
def test_what_must_know_an_undeclared_network_names_the_missing_facts(name, settings, extended, tmp_path):
    words = evaluated(extended, of_plugin(extended, "train"), tmp_path)
    done = stage(extended, name, *words[1:], *settings, ESPALIER_PLUGINS="my_models.py")
    assert done.returncode == 2
    assert "a Sequential, does not declare its facts `classifier` and `first`" in done.stderr
    assert "return declare(model, Facts(classifier=…, first=…))`, of espalier/models/facts.py" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_tests_of_all_that_is_registered_pass_with_the_page(tmp_path):
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    add_all(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "ESPALIER_PLUGINS": ""}
    words = [sys.executable, "workflow/scripts/document.py"]
    subprocess.run(words, cwd=tmp_path, env=environment, check=True)
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if REGISTRIES.search(path.read_text())]
    names = [path.relative_to(ROOT).as_posix() for path in files]
    words = [sys.executable, "-m", "pytest", "-q", *(name for name in names if not name.startswith(ELSEWHERE))]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
