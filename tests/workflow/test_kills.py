"""Random SIGKILLs of all that a call has started: the end is that of an undisturbed call, and nothing is left."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess

import psutil
import pytest

from support.snakemake_as_run import SNAKEMAKE, of_a_user

KILLS = int(os.environ.get("ESPALIER_KILLS", "4"))
"""More than shown in every run of the slow tests: ESPALIER_KILLS=100."""
PATIENCE_S = 3600
"""What takes longer has hung."""
STUDY = """\
title: Every stage, killed at random
dataset: digits
model: {name: resnet, blocks: [1], channels: [4]}
augment: [pad_crop]
train: {epochs: 12}
prune: {name: magnitude, ratio: 0.5}
fine_tune: {epochs: 4}
export: {}
quantize: {weight_bits: [8, 4], activation_bits: [8]}
encode: {}
repeats: 2
tables: [summary]
"""
WORDS = ("-c2", "--config", "studies=killed")
BITS = ("model.safetensors", "model.esp", "levels.safetensors", "cells.safetensors", "fp32.onnx", "grid.csv")


def study(repository):
    (repository.folder / "config/studies/killed.yaml").write_text(STUDY)
    return repository


def bits(repository) -> dict[str, str]:
    """File → digest of all that is a function of settings, seed and data alone."""
    files = [path for name in BITS for path in repository.folder.glob(f"results/runs/*/*/{name}")]
    return {str(path.relative_to(repository.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def records(repository) -> dict[str, str]:
    """Run → SHA-256 of its record."""
    found = repository.folder.glob("results/runs/*/*/run.json")
    return {path.parent.name: json.loads(path.read_text())["sha256"] for path in found}


def kill_one(root: psutil.Process, generator: random.Random) -> None:
    """Kill a process of a call, Snakemake itself as often as any other."""
    with contextlib.suppress(psutil.NoSuchProcess):
        generator.choice([root, *root.children(recursive=True)]).kill()


def names(repository) -> set[str]:
    """All that lies in results/, but for Snakemake's notes in folders that one of its own jobs has made."""
    found = (path for path in repository.folder.rglob("results/**/*") if path.name != ".snakemake_timestamp")
    return {str(path.relative_to(repository.folder)) for path in found}


def alive(folder) -> bool:
    """Whether a run is still being made there."""
    found = psutil.process_iter(["cwd", "cmdline"])
    return any(one.info["cwd"] == str(folder) and "stage.py" in " ".join(one.info["cmdline"] or ()) for one in found)


def call(repository, generator: random.Random | None) -> bool:
    """Call Snakemake, and kill a process of the call at random where there is a generator; whether it ended well."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        [SNAKEMAKE, *WORDS], cwd=repository.folder, env=of_a_user(), start_new_session=True, **quiet
    )
    try:
        process.wait(generator.uniform(3, 25) if generator else PATIENCE_S)
    except subprocess.TimeoutExpired:
        kill_one(psutil.Process(process.pid), generator)
    ended = process.wait(PATIENCE_S) == 0
    unlock = [SNAKEMAKE, "--unlock", *WORDS]
    subprocess.run(unlock, cwd=repository.folder, env=of_a_user(), check=True, **quiet)
    return ended


def check(killed, undisturbed) -> None:
    """A call that has ended well leaves what an undisturbed one leaves, and nothing that is half-way."""
    assert bits(killed) == bits(undisturbed)
    left = {path.name for path in (killed.folder / "results").rglob(".*")} - {".snakemake_timestamp"}
    assert left == set() and names(killed) == names(undisturbed)
    assert not alive(killed.folder)


@pytest.mark.slow
def test_whatever_is_killed_the_end_is_that_of_an_undisturbed_call(fresh, tmp_path):
    undisturbed, killed = study(fresh(tmp_path / "whole")), study(fresh(tmp_path / "killed"))
    assert call(undisturbed, None)
    generator, kills, complete = random.Random(5), 0, {}
    while kills < KILLS or complete:
        ended = call(killed, generator if kills < KILLS else None)
        now = records(killed)
        assert complete.items() <= now.items(), "a complete run was made again"
        kills += not ended
        complete = {} if ended else now
        print(f"{kills} kills, {len(now)} runs complete{', the end' if ended else ''}", flush=True)
        if ended:
            check(killed, undisturbed)
            for part in ("runs", "studies"):
                shutil.rmtree(killed.folder / "results" / part)
