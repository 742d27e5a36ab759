"""The cluster for as long as the tests run, and what a user has there: a copy of the repository, its profile edited."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from cluster import Cluster, missing
from filelock import FileLock
from submission import Submission, copy_repository

from support.snakemake_as_run import SNAKEMAKE

STEADY = """\
title: One run, to be disturbed
dataset: digits
model: {name: resnet, blocks: [1, 1], channels: [8, 16]}
augment: [pad_crop]
train: {epochs: 12, batch_size: 64}
tables: [summary]
"""
RUN_BY = "ESPALIER_SLURM_TESTS"
"""Set by `make test-slurm` alone: starting daemons is nothing that a plain test run should do."""


def pytest_sessionstart(session):
    """Bring the cluster up once for all workers."""
    if hasattr(session.config, "workerinput") or _reason():
        return
    session.config.cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")))
    session.config.cluster.up()
    os.environ[RUN_BY] = str(session.config.cluster.folder)


def pytest_sessionfinish(session):
    if hasattr(session.config, "cluster"):
        session.config.cluster.down()
        shutil.rmtree(session.config.cluster.folder)


def pytest_collection_modifyitems(items):
    if reason := _reason():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


def _reason() -> str | None:
    return missing() if RUN_BY in os.environ else "they bring up a cluster: make test-slurm"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return Cluster(Path(os.environ[RUN_BY]))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Path:
    """A repository in which the steady run was trained without SLURM and without a disturbance."""
    # The folder above a worker's own is common to all workers of a parallel test run.
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
    with FileLock(shared / "undisturbed.lock"):
        if not (shared / "undisturbed.done").exists():
            copy_repository(shared / "undisturbed")
            (shared / "undisturbed/config/studies/steady.yaml").write_text(STEADY)
            words = ("-c1", "--config", "studies=steady", "--until", "train")
            subprocess.run([SNAKEMAKE, *words], cwd=shared / "undisturbed", capture_output=True, check=True)
            (shared / "undisturbed.done").touch()
    return shared / "undisturbed"


@pytest.fixture
def submit(tmp_path, cluster, undisturbed):
    """Make a copy of the repository whose profile submits to a partition of the cluster: submit(partition, …)."""
    made = []

    def submit(partition: str = "gpu", **site: str) -> Submission:
        folder = copy_repository(tmp_path / "repository")
        (folder / "config/studies/steady.yaml").write_text(STEADY)
        shutil.copytree(undisturbed / "results/data", folder / "results/data")
        made.append(Submission(folder, cluster, partition, **site))
        return made[-1]

    yield submit
    for submission in made:
        submission.end()
