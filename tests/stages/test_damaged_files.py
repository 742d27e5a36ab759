"""A thousand damages of the files of every stage: whoever reads one is told, and nothing is made of it."""

import random
from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.networks.scored_networks import scored_networks
from espalier.results.read.run_state import state_of
from espalier.runs import record as records
from support.digits_runs import made
from support.scripts_as_run import run

MODEL = ["model={name: resnet, blocks: [1], channels: [4]}", "train.epochs=1"]
DAMAGES = 1000


@pytest.fixture(scope="module")
def chain(digits, tmp_path_factory):
    """Stage → folder of a run of it, each with one file at least that only some runs of its stage write."""
    root = tmp_path_factory.mktemp("damaged")
    stages = {
        "train": (MODEL, []),
        "prune": (["prune={name: magnitude, ratio: 0.5}", "fine_tune.epochs=1"], ["train"]),
        "export": (["export={int8: true}"], ["train", "prune"]),
        "quantize": (["quantize={weight_bits: [4, 8], activation_bits: [8]}"], ["train", "prune"]),
        "encode": (["encode={}"], ["train", "prune", "quantize"]),
        "evaluate": (["evaluate.predictions=true"], ["train", "prune", "quantize"]),
    }
    folders = {}
    for number, (stage, (words, parents)) in enumerate(stages.items()):
        before = tuple(folders[parent] for parent in parents)
        folders[stage] = made(root / f"run-00000000b{number}", digits, *words, stage=stage, parents=before)
    return folders


def damaged(content: bytes, generator: random.Random) -> bytes:
    """A bit changed, an end cut off, or bytes of another length put in."""
    place = generator.randrange(len(content))
    kind = generator.randrange(4)
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + generator.randbytes(generator.randrange(1, 9)) + content[place:]
    return content[:place] + bytes([content[place] ^ 1 << generator.randrange(8)]) + content[place + 1 :]


def read(folder: Path, stage: str, name: str) -> None:
    """Read a file of a run as those do who use it: as a network, as a table, as the record."""
    if name == records.FILE:
        records.complete(folder)
    elif name.endswith(".csv"):
        if name == "metrics.csv" and (why := state_of({"stage": stage, "path": str(folder)}).why):
            raise Mistake(why)
        records.complete(folder).rows(name)
    else:
        next(scored_networks([folder], lambda model: model))


def test_no_damage_is_silent(chain):
    generator = random.Random(7)
    files = [(stage, folder / name) for stage, folder in chain.items() for name in written(folder)]
    assert len(files) >= 25
    whole = {path: path.read_bytes() for _, path in files}
    silent = []
    for number in range(DAMAGES):
        stage, path = files[number % len(files)]
        path.write_bytes(damaged(whole[path], generator))
        try:
            read(path.parent, stage, path.name)
            silent.append((path, number))
        except Mistake as error:
            assert str(path.parent) in str(error) and f"espalier forget {path.parent.name}" in str(error)
        finally:
            path.write_bytes(whole[path])
    assert silent == []


def written(folder: Path) -> list[str]:
    return [*records.complete(folder).written, records.FILE]


@pytest.mark.parametrize("stage", ["prune", "export", "quantize", "encode", "evaluate"])
def test_a_job_makes_nothing_of_a_damaged_parent(chain, stage, digits, tmp_path):
    path = chain["train"] / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(damaged(whole, random.Random(3)))
    words = {"prune": ["prune.name=magnitude"], "export": ["export={}"], "quantize": ["quantize={}"]}
    words |= {"encode": ["encode={}"]}
    folder = tmp_path / "run-00000000c1"
    try:
        done = run(stage, folder, "--parents", chain["train"], "--data", digits, *words.get(stage, []))
    finally:
        path.write_bytes(whole)
    assert done.returncode == 2 and f"{path}: it is damaged" in done.stderr
    assert f"espalier forget {path.parent.name}" in done.stderr
    assert {one.name for one in folder.iterdir()} == {"heartbeat.json", "run.log"}
