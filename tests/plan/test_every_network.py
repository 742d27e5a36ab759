"""The study that trains every network of the zoo."""

from pathlib import Path

import pandas as pd
import pytest

from espalier.plan.build import build
from espalier.settings.registry import entries

STUDY = Path(__file__).parents[2] / "config/studies"


def test_every_model_of_the_registry_is_in_the_study():
    runs = build(["every-network"], STUDY).runs["train"].values()
    assert {run.spec.model.name for run in runs} == set(entries("model"))


@pytest.mark.slow
def test_every_network_trains_one_epoch(repository):
    repository.snakemake("-c", "2", "--config", "studies=every-network")
    runs = pd.read_csv(repository.folder / "results/studies/every-network/runs.csv")
    assert len(runs) == len(build(["every-network"], STUDY).runs["train"])
    assert (runs["state"] == "done").all()
    assert runs["train_loss"].between(0, 5).all(), "a loss far above that of chance, ln 10, did not train"
    page = (repository.folder / "results/studies/every-network/index.html").read_text()
    assert "1,000,618" in page, "the count of DenseNet-121 stands in the table"
