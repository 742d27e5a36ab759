"""Which runs are forked where torch is imported: those that would import the same, unless nobody wishes it."""

import os
import subprocess
import sys

import pytest

from espalier.site.preload.forked import loading, refusal
from espalier.site.preload.server import wanted
from support.scripts_as_run import ENVIRONMENT

ASKED = {"python": [sys.prefix, sys.version]}


def test_another_python_is_refused_by_name():
    asked = ASKED | {"environment": dict(os.environ)}
    assert refusal(asked) is None
    assert "another Python" in refusal(asked | {"python": ["/elsewhere", sys.version]})


def test_the_threads_of_a_run_are_told_as_such():
    asked = ASKED | {"environment": os.environ | {"OMP_NUM_THREADS": "7", "MKL_NUM_THREADS": "7"}}
    assert refusal(asked) == "another number of threads than in the process that forks runs"


def test_what_libraries_read_while_they_are_loaded():
    environment = {"OMP_NUM_THREADS": "1", "LD_PRELOAD": "x", "HOME": "/", "CUDA_VISIBLE_DEVICES": "0", "PWD": "/"}
    assert set(loading(environment)) == {"OMP_NUM_THREADS", "LD_PRELOAD", "CUDA_VISIBLE_DEVICES"}


@pytest.mark.parametrize("preload", [True, False])
def test_a_wish_is_followed(preload):
    assert wanted(preload) is preload


FORKS = """
import importlib, os, pkgutil, sys
import espalier
from espalier.site.preload.forked import started
from espalier.site.preload.server import MODULES

def forked():
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(3 if started() else 0)

names = list(MODULES)
if sys.argv[1] == "all":
    names += [one.name for one in pkgutil.walk_packages(espalier.__path__, "espalier.") if "__main__" not in one.name]
    names += ["torchvision", "timm", "torch_pruning", "pytorch_optimizer", "onnxruntime", "torch._dynamo"]
for name in names:
    importlib.import_module(name)
import torch
print(forked(), torch.cuda.is_initialized())
torch.cuda.is_available()
print(forked())
"""


@pytest.mark.parametrize("modules", ["preloaded", pytest.param("all", marks=pytest.mark.slow)])
def test_no_import_starts_cuda_so_that_a_forked_run_may_use_it(modules):
    """Torch notes that its driver was asked for anything, and looks after a fork whether it was before."""
    words = [sys.executable, "-c", FORKS, modules]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["0 False", "3"], done.stderr
