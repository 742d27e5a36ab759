"""Full batches as one graph: the same bits as without, and without where no graph gives them."""

import logging

import pytest
import torch

from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident
from espalier.settings.registry import entries
from espalier.settings.words import parse
from espalier.site import device
from espalier.stages import STAGES
from espalier.stages.train import build
from espalier.training import cuda_graph
from espalier.training.loop import fit
from espalier.training.state import State
from support.data_samples import made
from support.digits_runs import same, timeless
from support.make_believe_gpu import gpu, on_cpu

WORDS = [
    *("model={name: resnet, blocks: [1, 1], channels: [4, 8], dropout: 0.2}", "augment=[pad_crop, mixup]"),
    *("train.epochs=2", "train.batch_size=16", "train.label_smoothing=0.1"),
]


class Unwatched:
    """Watches nothing."""

    def epoch_begins(self, state, best=None):
        """No pause."""

    step_ended = epoch_ended = epoch_begins

    def close(self):
        """Nothing is open."""


class Tape:
    """Stands where a CUDA graph would: runs what it has recorded once more, into the memory of the first time."""

    def __init__(self, model=None, spoil=0.0):
        self.recorded = self.replayed = 0
        self._model, self._spoil = model, spoil

    def __call__(self, once):
        told = once()
        self.recorded += 1
        parameters = list(self.model.parameters())
        gradients = [one.grad for one in parameters]

        def replay():
            self.replayed += 1
            told.copy_(once())
            for parameter, gradient in zip(parameters, gradients, strict=True):
                gradient.copy_(parameter.grad + self._spoil)

        return replay, told


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "images.safetensors"
    # 60 images: three full batches of 16, and one of 12.
    write(path, made(train=60, size=8), {})
    return Prepared.read(path, ("train", "validation"))


def trained(prepared, words, capture):
    device.prepare()
    with gpu():
        data = Resident(prepared, "cuda")
        spec = parse(STAGES["train"].settings, words)
        accelerator = device.accelerate()
        model, policy = build(spec, data, accelerator.device)
        state = State.begin(model, spec.train, data.steps_per_epoch(spec.train.batch_size))
        capture.model = model
        fit(state, data, policy, spec.train, seed=0, accelerator=accelerator, watch=Unwatched(), capture=capture)
        return on_cpu(state.weights()), timeless(state.history)


@pytest.mark.parametrize("more", [[], ["train.clip_norm=0.1", "train.optimizer=adamw", "train.lookahead.k=2"]])
def test_with_a_graph_a_training_has_the_same_bits(prepared, more, caplog):
    caplog.set_level(logging.INFO)
    tape, eager = Tape(), Tape()
    with_graph = trained(prepared, [*WORDS, *more], tape)
    without = trained(prepared, [*WORDS, *more, "train.cuda_graph=false"], eager)
    assert same(with_graph[0], without[0]) and with_graph[1] == without[1]
    size = prepared.splits["train"].labels.numel()
    # One of them compares.
    assert (tape.recorded, tape.replayed) == (1, 1 + 2 * (size // 16)) and size % 16
    assert eager.recorded == 0 and "full batches are one CUDA graph" in caplog.text


def test_a_graph_with_other_bits_is_not_used(prepared, caplog):
    caplog.set_level(logging.INFO)
    tape = Tape(spoil=1e-3)
    found = trained(prepared, WORDS, tape)
    assert tape.replayed == 1 and "are not one CUDA graph: it gives other bits" in caplog.text
    without = trained(prepared, [*WORDS, "train.cuda_graph=false"], Tape())
    assert same(found[0], without[0]) and found[1] == without[1]


def test_what_no_graph_can_hold_is_done_without(prepared, caplog):
    caplog.set_level(logging.INFO)

    class Waits(Tape):
        def __call__(self, once):
            once()
            raise RuntimeError("operation not permitted when stream is capturing\nmore words")

    found = trained(prepared, WORDS, Waits())
    assert "full batches are not one CUDA graph: operation not permitted when stream is capturing" in caplog.text
    assert "more words" not in caplog.text
    without = trained(prepared, [*WORDS, "train.cuda_graph=false"], Tape())
    assert same(found[0], without[0]) and found[1] == without[1]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (("cuda", 1, False, False), ""),
        (("cpu", 1, False, False), "there is no CUDA GPU"),
        (("mps", 1, False, False), "there is no CUDA GPU"),
        (("cuda", 2, False, False), "several processes"),
        (("cuda", 1, True, False), "compiled"),
        (("cuda", 1, False, True), "fp16"),
    ],
)
def test_where_batches_are_done_without(asked, reason):
    where, *rest = asked
    told = cuda_graph.refusal(torch.device(where), *rest)
    assert reason in told and bool(told) == bool(reason)


@pytest.mark.parametrize("name", entries("optimizer"))
def test_an_optimizer_leaves_parameters_and_gradients_where_they_are(name):
    train = parse(STAGES["train"].settings, ["model=lenet", f"train.optimizer={name}", "train.lookahead.k=1"]).train
    model = torch.nn.Linear(3, 2)
    state = State.begin(model, train, 4)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = [(one.data_ptr(), one.grad.data_ptr()) for one in model.parameters()]
    for _ in range(3):
        state.optimizer.step()
    assert [(one.data_ptr(), one.grad.data_ptr()) for one in model.parameters()] == before
