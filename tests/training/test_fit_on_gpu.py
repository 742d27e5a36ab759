"""Training on a make-believe GPU: its steps wait for nothing, are deterministic, and start few kernels; whole and
resumed runs have the CPU's bits."""

import copy
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident
from espalier.models.rules import smallest
from espalier.settings.registry import entries
from espalier.settings.words import parse
from espalier.site import device
from espalier.stages import STAGES
from espalier.stages.train import build
from espalier.training.loop import fit
from espalier.training.state import State
from support.data_samples import made
from support.digits_runs import same, timeless, train
from support.make_believe_gpu import gpu, on_cpu

KERNELS = {
    "cct": 380,
    "cvt": 152,
    "densenet": 1480,
    "efficientnet": 715,
    "ghostnet": 1112,
    "googlenet": 543,
    "lenet": 56,
    "mlp": 38,
    "mobilenetv2": 426,
    "preact_resnet": 175,
    "pyramidnet": 1074,
    "regnetx": 363,
    "resnet": 99,
    "resnet_imagenet": 186,
    "shufflenetv2": 478,
    "spinal_cnn": 129,
    "spinal_vgg": 155,
    "spinal_resnet": 201,
    "squeezenet": 163,
    "thriftynet": 687,
}
"""Operations of a step of each network with its default settings, of sgd. Fewer is better: write the lower number."""

MLP = ["model={name: mlp, hidden: [8]}"]
RESNET = ["model={name: resnet, blocks: [1, 1], channels: [4, 8], dropout: 0.2}"]
STEPS = {
    "odd side": ["model=spinal_resnet", "model.blocks=[1, 1, 1]", "model.channels=[4, 4, 4]"],
    "dropout": RESNET,
    "option A": ["model={name: resnet, blocks: [1, 1], channels: [4, 8], shortcut: A, se_reduction: 2}"],
    "upsampled": ["model={name: resnet_imagenet, upsample: 40}"],
    "mixed": [*RESNET, "augment=[pad_crop, {name: mixup, per: batch}]"],
    "clipped": [*MLP, "train.clip_norm=0.1", "train.lookahead.k=2"],
    "taught": [*MLP, "train.teacher={temperature: 2.0}"],
    "smoothed": [*MLP, "train.label_smoothing=0.1", "train.class_weights=balanced", "train.sampling=balanced"],
    **{name: [*MLP, f"train.optimizer={name}"] for name in entries("optimizer")},
    **{name: [*MLP, f"train.scheduler={name}"] for name in ("one_cycle", "plateau")},
    **{name: [*MLP, f"train.loss={name}"] for name in entries("loss")},
}
"""Settings on which it depends what a step does."""

RUN = [
    *(*RESNET, "augment=[pad_crop, mixup]", "train.epochs=2", "train.batch_size=24", "train.lookahead.k=3"),
    *("train.optimizer=adamw", "train.label_smoothing=0.1", "train.clip_norm=1.0"),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Prepared images of a size."""
    folder = tmp_path_factory.mktemp("data")

    def of(size: int = 8, train: int = 6) -> Prepared:
        path = folder / f"{size}-{train}.safetensors"
        if not path.exists():
            write(path, made(train=train, size=size), {})
        return Prepared.read(path)

    return of


class Ended(Exception):
    """Enough steps are seen."""


@dataclass
class Step:
    waits: dict[str, int] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    kernels: int = 0


def second_step(prepared: Prepared, words: list[str]) -> Step:
    """What the device is asked for between the ends of the first two steps, which are of two images each."""
    device.prepare()
    with gpu() as seen:
        data = Resident(prepared, "cuda")
        spec = parse(STAGES["train"].settings, [*words, "train.batch_size=2"])
        accelerator = device.accelerate()
        model, policy = build(spec, data, accelerator.device)
        teacher = copy.deepcopy(model).eval().requires_grad_(False) if spec.train.teacher else None
        state = State.begin(model, spec.train, 3)
        done = []

        def stepped(state: State) -> None:
            done.append(Step(dict(seen.waits), dict(seen.copies), dict(seen.places), seen.kernels.total()))
            seen.clear()
            if len(done) == 2:
                raise Ended

        unwatched = SimpleNamespace(epoch_begins=lambda state: None, step_ended=lambda state: None)
        settings = {"accelerator": accelerator, "watch": unwatched, "stepped": stepped, "teacher": teacher}
        with pytest.raises(Ended):
            fit(state, data, policy, spec.train, seed=0, **settings)
    assert all(parameter.is_cuda for parameter in model.parameters())
    return done[1]


@pytest.mark.parametrize("name", entries("model"))
def test_a_step_of_every_network_waits_for_nothing_and_starts_no_more_kernels_than_before(name, prepared):
    found = second_step(prepared(max(16, smallest(entries("model")[name]))), [f"model={name}"])
    assert not found.waits and not found.copies, found.places
    assert 0 < found.kernels <= KERNELS[name]


@pytest.mark.parametrize("words", STEPS.values(), ids=STEPS)
def test_a_step_waits_for_nothing_whatever_is_asked_of_it(words, prepared):
    found = second_step(prepared(10), words)
    assert not found.waits and not found.copies, found.places


def test_a_run_on_a_gpu_has_the_bits_of_a_cpu_and_reads_twice_an_epoch(prepared, tmp_path):
    here = train(tmp_path / "cpu", Resident(prepared(8, 91)), RUN)
    with gpu() as seen:
        data = Resident(prepared(8, 91), "cuda")
        there = train(tmp_path / "gpu", data, RUN)
        assert seen.waits["from"] == 2 * 2, seen.places
        assert seen.waits.keys() == {"from", "to"}, seen.places
    assert same(here.best, {name: on_cpu(tensor) for name, tensor in there.best.items()})
    assert timeless(there.history) == timeless(here.history)


def test_a_run_stopped_on_one_device_goes_on_with_the_same_bits_on_another(prepared, tmp_path):
    data = prepared(8, 91)
    whole = train(tmp_path / "whole", Resident(data), RUN)
    for look in (2, 6):
        folder = tmp_path / str(look)
        with gpu():
            assert train(folder, Resident(data, "cuda"), RUN, stop=look) is None
        # A process of its own begins with CUDA asleep.
        with gpu():
            assert train(folder, Resident(data, "cuda"), RUN, stop=2) is None
        resumed = train(folder, Resident(data), RUN)
        assert resumed.resumed == 2
        assert same(whole.best, resumed.best)
        assert timeless(whole.history) == timeless(resumed.history)


def test_a_device_can_be_seeded_before_anything_is_on_it():
    with gpu():
        assert torch.cuda.default_generators == ()
        device.seed(torch.device("cuda"), 0, "init")
        first = torch.rand(4, device="cuda").tolist()
        device.seed(torch.device("cuda"), 0, "init")
        assert torch.rand(4, device="cuda").tolist() == first


def test_a_device_that_is_neither_cpu_nor_cuda_trains_as_well(prepared, tmp_path):
    words = [*RESNET, "augment=[pad_crop, cutout]", "train.epochs=1", "train.batch_size=24"]
    here = train(tmp_path / "cpu", Resident(prepared(8, 91)), words)
    with gpu("mps") as seen:
        there = train(tmp_path / "mps", Resident(prepared(8, 91), "mps"), words)
        assert seen.waits["from"] == 2
    assert same(here.best, {name: on_cpu(tensor) for name, tensor in there.best.items()})
