"""The study that trains every network of the zoo, and with it every other that is registered."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from espalier.models import rules
from espalier.plan.build import build
from espalier.settings.registry import entries

STUDY = Path(__file__).parents[2] / "config/studies"


def trained(folder):
    """The networks that the study trains."""
    return {run.spec.model.name for run in build(["every-network"], folder).runs["train"].values()}


def complete(folder):
    """Add to the study what is registered and not in it, each at the smallest images that it takes."""
    yaml = YAML()
    study = yaml.load(folder / "every-network.yaml")
    (block,) = study["grid"]
    for name in sorted(set(entries("model")) - trained(folder)):
        block["zip"]["model"][name] = name
        block["zip"]["dataset.image_size"].append(max(8, rules.smallest(entries("model")[name])))
    yaml.dump(study, folder / "every-network.yaml")


def test_the_study_takes_every_registered_network(tmp_path):
    shutil.copy(STUDY / "every-network.yaml", tmp_path)
    complete(tmp_path)
    assert trained(tmp_path) == set(entries("model"))


@pytest.mark.slow
def test_every_network_trains_one_epoch(repository):
    complete(repository.folder / "config/studies")
    repository.snakemake("-c", "2", "--config", "studies=every-network")
    runs = pd.read_csv(repository.folder / "results/studies/every-network/runs.csv")
    assert len(runs) == len(build(["every-network"], repository.folder / "config/studies").runs["train"])
    assert (runs["state"] == "done").all()
    assert runs["train_loss"].between(0, 5).all(), "a loss far above that of chance, ln 10, did not train"
    page = (repository.folder / "results/studies/every-network/index.html").read_text()
    assert "1,000,618" in page, "the count of DenseNet-121 stands in the table"
