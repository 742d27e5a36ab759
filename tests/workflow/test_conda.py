"""Rules run in their conda environments, and miss nothing there. In place of conda stands what makes venvs."""

import os
import re
import shutil
from pathlib import Path

import pytest

from support import stand_in_conda

ROOT = Path(__file__).parents[2]
SDM = ("-c1", "--sdm", "conda")
MLP = "dataset: digits\nmodel: {name: mlp, hidden: [8]}\n"
RATES = "grid: {product: {train.optimizer.lr: [0.01, 0.1]}}\ntables: [halving]\n"
STUDIES = {
    "all_stages": """\
title: Every stage that makes a network, and files of it
dataset: digits
model: {name: resnet, blocks: [1], channels: [4]}
train: {epochs: 1}
extend: {epochs: 1}
prune: magnitude
fine_tune: {epochs: 1}
quantize: {weight_bits: [4], activation_bits: [8]}
encode: {}
export: {}
""",
    "paused": f"title: Two rungs\n{MLP}train: {{epochs: 2}}\n{RATES}halving: {{epochs: [1, 2], keep: 1/2}}\n",
    "compared": f"title: The same, not waited for\n{MLP}train: {{epochs: 2}}\n{RATES}"
    "halving: {epochs: [1, 2], keep: 1/2, wait: false}\n",
    "asked": f"title: Points of a model\n{MLP}train: {{epochs: 1}}\ntables: [summary]\n"
    "space: {train.optimizer.lr: {log_uniform: [1e-3, 1]}}\nsample: {method: gp, rounds: 2, points: 2}\n",
}


@pytest.fixture
def conda(tmp_path, monkeypatch):
    programs = stand_in_conda.install(tmp_path / "conda")
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs), os.environ["PATH"]]))


def test_a_page_is_made_by_the_packages_of_its_environment(finished, conda, tmp_path):
    copy = finished.copy(tmp_path / "copy")
    shutil.rmtree(copy.folder / "results/studies")
    copy.snakemake(*SDM, "--config", "studies=tiny")
    assert (copy.folder / "results/studies/tiny/index.html").exists()
    made = copy.folder.glob(".snakemake/conda/*/lib/python*/site-packages")
    assert sorted((packages / "torch").exists() for packages in made) == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("index", [False, True], ids=["locked", "index"])
def test_every_rule_is_run_in_its_environment(index, conda, repository, monkeypatch):
    """Linked packages are those of the lock; of an index all that is not pinned is the newest."""
    if index:
        uv = shutil.which("uv") or ROOT / ".uv/bin/uv"
        if not Path(uv).exists():
            pytest.skip("there is no uv")
        monkeypatch.setenv(stand_in_conda.UV, str(uv))
    for name, text in STUDIES.items():
        (repository.folder / f"config/studies/{name}.yaml").write_text(text)
    words = (*SDM, "--config", f"studies=[{','.join(STUDIES)}]")
    made = repository.snakemake(*words, check=False)
    if index and "Failed to fetch" in made.stdout + made.stderr:
        pytest.skip("no index can be reached")
    assert made.returncode == 0, made.stdout + made.stderr
    for target in ("report", "preview", "zoo", "mlflow", "preflight"):
        # Where there is no cluster, preflight ends with what is wrong.
        done = repository.snakemake(*words, "--", target, check=target != "preflight")
        assert "is not installed in this environment" not in done.stdout + done.stderr
    logs = "".join(log.read_text() for log in repository.folder.glob(".snakemake/log/*.log"))
    run = set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", logs, re.MULTILINE))
    assert run >= with_environment() - {"outdated"}, with_environment() - run


def with_environment() -> set[str]:
    """The rules that name one. `outdated` is wanted only after a study was changed."""
    rules = [
        rule
        for path in (ROOT / "workflow/rules").glob("*.smk")
        for rule in re.split(r"^(?:rule|checkpoint) ", path.read_text(), flags=re.MULTILINE)[1:]
    ]
    return {rule.partition(":")[0] for rule in rules if "conda:" in rule}
