"""Whole chains on a make-believe GPU have the files of those on a CPU, also where every run is stopped and resumed."""

import json

import pytest
import torch
from safetensors.torch import load_file

from espalier.data.prepared import write
from support.data_samples import made as images
from support.digits_runs import made
from support.make_believe_gpu import gpu
from support.scripts_as_run import table

TRAIN = ["model={name: resnet, blocks: [1, 1], channels: [4, 8], dropout: 0.2}", "train.batch_size=24"]
TRAIN += ["train.epochs=2", "augment=[pad_crop, {name: color_jitter, brightness: 0.3}]"]
TUNE = ["fine_tune.epochs=1", "fine_tune.batch_size=24", "augment=[pad_crop, mixup]"]
CHAINS = {
    "structured, calibrated": [
        ("train", TRAIN, 3),
        ("prune", [*TUNE, "prune={name: structured, ratio: 0.3}"], 2),
        ("quantize", ["quantize={weight_bits: [8, 3], activation_bits: [8]}"], 1),
        ("evaluate", [], None),
    ],
}
SLOW = {
    "iterative, fine-tuned": [
        ("train", [*TRAIN, "train.lookahead.k=2", "train.optimizer=adamw"], 7),
        ("prune", [*TUNE, "prune={name: iterative, ratio: 0.3, rounds: 2, max_drop: 90}"], 4),
        ("quantize", ["quantize={weight_bits: [4], activation_bits: [8], fine_tune: {epochs: 1, batch_size: 24}}"], 3),
        ("export", ["export={}"], None),
        ("evaluate", ["evaluate={corruptions: {names: [jpeg, contrast], strengths: [2]}, predictions: true}"], None),
    ],
}
TIMED = ("wall_s", "cpu_s", "memory", "images_per_s", "epoch_s", "speedup", "latency", "_ms")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "made-00000000aa.safetensors"
    write(path, images(train=91, validation=20, test=20, size=8), {"name": "made"})
    return path


def chained(folder, data, chain, stopped=False):
    """The folders of the runs of a chain, each stopped after some looks and gone on with, where it is asked for."""
    folder.mkdir()
    found, done = (), []
    for number, (stage, words, looks) in enumerate(chain):
        run = folder / f"{stage}-000000000{number}"
        if stopped and looks:
            made(run, data, *words, stage=stage, parents=found, stop=looks)
            assert not (run / "run.json").exists()
        made(run, data, *words, stage=stage, parents=found)
        done.append(run)
        # A network of other runtimes is no parent.
        found = found if stage == "export" else (*found, run)
        assert (run / "run.json").exists()
    return done


def numbers(path):
    """What a table says but for times: numbers as such."""
    rows = [{key: row[key] for key in row if not any(word in key for word in TIMED)} for row in table(path)]
    return [{key: _number(value) for key, value in row.items()} for row in rows]


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text


def assert_alike(here, there):
    """Files of one run. What a GPU trains is the CPU's to the bit here; statistics are counted in another order there,
    and so scores of few bits may differ by rounding."""
    assert sorted(path.name for path in here.iterdir()) == sorted(path.name for path in there.iterdir())
    exact = here.name.startswith(("train", "prune"))
    for one in here.glob("*.safetensors"):
        other = there / one.name
        if exact:
            assert one.read_bytes() == other.read_bytes(), one
            continue
        tensors, others = load_file(one), load_file(other)
        assert tensors.keys() == others.keys()
        for name, tensor in tensors.items():
            torch.testing.assert_close(others[name], tensor, rtol=1e-4, atol=1e-5)
    for one in here.glob("*.csv"):
        rows, others = numbers(one), numbers(there / one.name)
        assert len(rows) == len(others)
        for row, other in zip(rows, others, strict=True):
            assert row.keys() == other.keys()
            for key, value in row.items():
                close = value if exact or isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=1e-5)
                assert other[key] == close, (one, key)


@pytest.mark.parametrize(
    "chain",
    [*CHAINS.values(), *(pytest.param(chain, marks=pytest.mark.slow) for chain in SLOW.values())],
    ids=[*CHAINS, *SLOW],
)
def test_a_chain_on_a_gpu_has_the_files_of_a_cpu(chain, data, tmp_path):
    here = chained(tmp_path / "cpu", data, chain)
    with gpu() as seen:
        there = chained(tmp_path / "gpu", data, chain, stopped=True)
        assert seen.kernels.total() > 1000
    for one, other in zip(here, there, strict=True):
        assert_alike(one, other)
        told = json.loads((other / "run.json").read_text())
        if one.name.startswith("export"):
            # Networks are written for other runtimes on the CPU.
            assert (told["device"], told["gpu"]) == ("cpu", None)
        else:
            assert told["device"] == "make-believe GPU"
            assert told["gpu"].keys() == {"cuda", "cudnn", "driver", "tf32", "cudnn_benchmark"}
            assert told["gpu"]["tf32"] is told["gpu"]["cudnn_benchmark"] is False


@pytest.mark.slow
@pytest.mark.parametrize("chain", [*CHAINS.values(), *SLOW.values()], ids=[*CHAINS, *SLOW])
def test_a_chain_runs_on_a_device_without_float64(chain, data, tmp_path):
    """As on a Mac, where a number may be another by rounding from the first image on."""
    with gpu("mps") as seen:
        runs = chained(tmp_path / "mps", data, chain, stopped=True)
        assert seen.kernels.total() > 1000
    devices = {run.name[:-11]: json.loads((run / "run.json").read_text())["device"] for run in runs}
    assert devices == {stage: "cpu" if stage == "export" else "mps" for stage, _, _ in chain}
