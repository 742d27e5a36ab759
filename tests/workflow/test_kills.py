"""Random SIGKILLs of all that a call has started: the end is that of an undisturbed call, and nothing is left."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

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


def kill_one(process: subprocess.Popen, generator: random.Random) -> None:
    """Kill a process of a call at a random second, Snakemake itself as often as any other."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(generator.uniform(3, 25))
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        generator.choice([root, *root.children(recursive=True)]).kill()


def kill_all(process: subprocess.Popen, generator: random.Random) -> None:
    """Kill Snakemake's process group, which its forked runs outlive, or all that the call has started: within the
    seconds in which it starts, or after it has made up to three files."""
    folder = psutil.Process(process.pid).cwd()
    wanted, alone = generator.randrange(4), generator.random() < 0.5
    before = made(folder)
    while process.poll() is None and len(made(folder) - before) < wanted:
        time.sleep(0.05)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(generator.uniform(0, 8 if wanted == 0 else 2))
    outside = [] if alone else working_in(folder)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in outside:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def made(folder: str) -> set[Path]:
    """What a call makes, one after the other."""
    return {
        path
        for name in ("rungs/*/*.json", "studies/*/answers/*.json", "runs/*/*/run.json")
        for path in Path(folder, "results").glob(name)
    }


def names(repository) -> set[str]:
    """All that lies in results/, but for Snakemake's notes in folders that one of its own jobs has made."""
    found = (path for path in repository.folder.rglob("results/**/*") if path.name != ".snakemake_timestamp")
    return {str(path.relative_to(repository.folder)) for path in found}


def working_in(folder) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cwd", "cmdline"]) if one.info["cwd"] == str(folder)]


def alive(folder) -> bool:
    """Whether a run is still being made there."""
    return any("stage.py" in " ".join(one.info["cmdline"] or ()) for one in working_in(folder))


def call(repository, generator: random.Random | None, kill=kill_one) -> int:
    """Call Snakemake, and kill what `kill` chooses where there is a generator; its exit code."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        [SNAKEMAKE, *WORDS], cwd=repository.folder, env=of_a_user(), start_new_session=True, **quiet
    )
    if generator:
        kill(process, generator)
    code = process.wait(PATIENCE_S)
    unlock = [SNAKEMAKE, "--unlock", *WORDS]
    subprocess.run(unlock, cwd=repository.folder, env=of_a_user(), check=True, **quiet)
    return code


def check(killed, undisturbed) -> None:
    """A call that has ended well leaves what an undisturbed one leaves, and nothing that is half-way."""
    assert bits(killed) == bits(undisturbed)
    left = {path.name for path in (killed.folder / "results").rglob(".*")} - {".snakemake_timestamp"}
    assert left == set() and names(killed) == names(undisturbed)
    assert not alive(killed.folder)


@pytest.mark.slow
def test_whatever_is_killed_the_end_is_that_of_an_undisturbed_call(fresh, tmp_path):
    undisturbed, killed = study(fresh(tmp_path / "whole")), study(fresh(tmp_path / "killed"))
    assert call(undisturbed, None) == 0
    generator, kills, complete = random.Random(5), 0, {}
    while kills < KILLS or complete:
        ended = call(killed, generator if kills < KILLS else None) == 0
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
    assert call(undisturbed, None) == 0
    decisions, most = decided(undisturbed), epochs(undisturbed)
    assert len(decisions) == 2 and sorted(most.values()) == [1] * 6 + [2] * 2 + [4]
    generator, kills, ends = random.Random(7), 0, 0
    while kills < KILLS or not ended:
        code = call(killed, generator if kills < KILLS else None, kill_all)
        assert code in (0, -signal.SIGKILL), "a call that failed by itself"
        ended = code == 0
        kills, ends = kills + (not ended), ends + ended
        answers, trained = decided(killed), epochs(killed)
        assert answers.items() <= decisions.items(), "another decision"
        assert all(count <= most[name] for name, count in trained.items()), "an epoch that no rung has asked for"
        told = f"{len(answers)} decisions, {sum(trained.values())} epochs, {len(records(killed))} runs complete"
        print(f"{kills} kills, {ends} ends: {told}", flush=True)
        if ended:
            assert answers == decisions and trained == most
            check(killed, undisturbed)
            for part in ("runs", "studies", "rungs"):
                shutil.rmtree(killed.folder / "results" / part)
