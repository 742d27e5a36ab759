"""Random SIGKILLs of all that a call has started: the end is that of an undisturbed call, and nothing is left."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
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
HALVED = """\
title: Nine settings in three rungs, killed at random
dataset: digits
model: {name: resnet, blocks: [1], channels: [4]}
train: {epochs: 4, batch_size: 32}
grid: {product: {train.optimizer.lr: [0.01, 0.1, 0.5], train.optimizer.weight_decay: [0.0, 1e-4, 1e-2]}}
halving: {epochs: [1, 2, 4], keep: 1/3}
tables: [halving]
"""
WORDS = ("-c2", "--config", "studies=killed")
BITS = ("model.safetensors", "model.esp", "levels.safetensors", "cells.safetensors", "fp32.onnx", "grid.csv")


def study(repository, text: str = STUDY):
    (repository.folder / "config/studies/killed.yaml").write_text(text)
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


def kill_all(root: psutil.Process, generator: random.Random) -> None:
    """Kill all that a call has started; or Snakemake's process group alone, which its forked runs outlive."""
    with contextlib.suppress(psutil.NoSuchProcess):
        outside = [] if generator.random() < 0.5 else working_in(root.cwd())
        os.killpg(root.pid, signal.SIGKILL)
        for one in outside:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def names(repository) -> set[str]:
    """All that lies in results/, but for Snakemake's notes in folders that one of its own jobs has made."""
    found = (path for path in repository.folder.rglob("results/**/*") if path.name != ".snakemake_timestamp")
    return {str(path.relative_to(repository.folder)) for path in found}


def working_in(folder) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cwd", "cmdline"]) if one.info["cwd"] == str(folder)]


def alive(folder) -> bool:
    """Whether a run is still being made there."""
    return any("stage.py" in " ".join(one.info["cmdline"] or ()) for one in working_in(folder))


def call(repository, generator: random.Random | None, kill=kill_one, within: tuple[float, float] = (3, 25)) -> bool:
    """Call Snakemake, and kill what `kill` chooses at a random second where there is a generator; whether it ended
    well."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        [SNAKEMAKE, *WORDS], cwd=repository.folder, env=of_a_user(), start_new_session=True, **quiet
    )
    try:
        process.wait(generator.uniform(*within) if generator else PATIENCE_S)
    except subprocess.TimeoutExpired:
        kill(psutil.Process(process.pid), generator)
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


def decided(repository) -> dict[str, bytes]:
    """File → bytes of the answers of the rungs."""
    return {path.name: path.read_bytes() for path in repository.folder.glob("results/studies/*/answers/*.json")}


def epochs(repository) -> dict[str, int]:
    """Training → epochs in its history."""
    found = repository.folder.glob("results/runs/train/*/history.csv")
    return {path.parent.name: len(path.read_text().splitlines()) - 1 for path in found}


@pytest.mark.slow
def test_however_often_a_search_is_killed_it_decides_alike_and_trains_nothing_more(fresh, tmp_path):
    undisturbed, killed = study(fresh(tmp_path / "whole"), HALVED), study(fresh(tmp_path / "killed"), HALVED)
    assert call(undisturbed, None)
    decisions, most = decided(undisturbed), epochs(undisturbed)
    assert len(decisions) == 2 and sorted(most.values()) == [1] * 6 + [2] * 2 + [4]
    generator, kills, ends = random.Random(7), 0, 0
    while kills < KILLS or not ended:
        ended = call(killed, generator if kills < KILLS else None, kill_all, (4, 25))
        kills, ends = kills + (not ended), ends + ended
        made, trained = decided(killed), epochs(killed)
        assert made.items() <= decisions.items(), "another decision"
        assert all(count <= most[name] for name, count in trained.items()), "an epoch that no rung has asked for"
        told = f"{len(made)} decisions, {sum(trained.values())} epochs, {len(records(killed))} runs complete"
        print(f"{kills} kills, {ends} ends: {told}", flush=True)
        if ended:
            assert made == decisions and trained == most
            check(killed, undisturbed)
            for part in ("runs", "studies", "rungs"):
                shutil.rmtree(killed.folder / "results" / part)
