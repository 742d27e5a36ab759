"""Three processes and more add gradients in one order, and so a resumed run has the bits of one never stopped."""

import multiprocessing
import os
import random

import pytest
import torch

# The first optimizer imports it: once here, and not in each process.
import torch._dynamo
from accelerate.state import AcceleratorState, PartialState
from safetensors.torch import load_file, save_file

from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident
from espalier.models.resnet import resnet
from espalier.site import ranks
from espalier.training.buckets import settle
from support.data_samples import made
from support.digits_runs import same, train

WORDS = ["model={name: resnet, blocks: [1, 1], channels: [8, 16], dropout: 0.2}", "augment=[pad_crop]"]
WORDS += ["train.epochs=2", "train.batch_size=24"]
LOOKS = 10
"""Steps and epoch ends of such a run of 91 images."""


def one(rank, world, folder, data, stop):
    """One process of a group."""
    meeting = folder / f"meeting-{stop}"
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    os.environ |= {name: str(rank if "RANK" in name else world) for name in names} | {ranks.RENDEZVOUS: str(meeting)}
    AcceleratorState._reset_state(True)
    PartialState._reset_state()
    torch.set_num_threads(1)
    state = train(folder, Resident(Prepared.read(data)), [*WORDS, f"train.processes={world}"], stop)
    if state and ranks.main():
        save_file({name: each.contiguous() for name, each in state.model.state_dict().items()}, folder / "end")
    torch.distributed.destroy_process_group()


def together(world, folder, data, stop=None):
    """Several processes train, stopped after so many looks; the weights at the end, where there is one."""
    folder.mkdir(exist_ok=True)
    forks = multiprocessing.get_context("fork")
    group = [forks.Process(target=one, args=(rank, world, folder, data, stop), daemon=True) for rank in range(world)]
    for process in group:
        process.start()
    for process in group:
        process.join()
    assert [process.exitcode for process in group] == [0] * world
    return load_file(folder / "end") if stop is None else None


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "made.safetensors"
    write(path, made(train=91, size=8), {})
    return path


@pytest.mark.skipif(torch.cuda.is_available(), reason="forks, which a process with threads for a GPU cannot")
@pytest.mark.parametrize(
    ("world", "stops"), [(3, 1), pytest.param(3, 4, marks=pytest.mark.slow), pytest.param(4, 4, marks=pytest.mark.slow)]
)
def test_a_resumed_run_of_several_processes_has_the_bits_of_a_whole_one(world, stops, data, tmp_path):
    whole = together(world, tmp_path / "whole", data)
    # Not behind the last step, where nothing is left to add up.
    for stop in random.Random(world).sample(range(2, LOOKS - 2), stops):
        together(world, tmp_path / f"{stop}", data, stop)
        assert same(together(world, tmp_path / f"{stop}", data), whole), stop


def test_nothing_remains_of_the_pass_that_settles_the_layout():
    model = resnet(10, 8, blocks=(1, 1), channels=(4, 8), dropout=0.2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    settle(model, (3, 8, 8))
    assert same(model.state_dict(), before)
    assert all(parameter.grad is None for parameter in model.parameters())
