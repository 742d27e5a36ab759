"""Which runs are forked where torch is imported: those that would import the same, unless nobody wishes it."""

import os
import sys

import pytest

from espalier.site.preload.forked import loading, refusal
from espalier.site.preload.server import wanted

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
