"""What fp32 means on a GPU, and what a record tells of it."""

import pytest
import torch

from espalier.errors import Mistake
from espalier.site import device
from support.make_believe_gpu import gpu


def rounds() -> tuple[bool, bool]:
    """Whether products of matrices and those of convolutions are rounded."""
    return torch.get_float32_matmul_precision() != "highest", torch.backends.cudnn.allow_tf32


def test_fp32_is_not_rounded_and_tf32_is_until_the_next_run_begins():
    with gpu():
        torch.backends.cudnn.allow_tf32 = True
        device.prepare()
        device.accelerate()
        assert rounds() == (False, False)
        assert device.gpu(device.choose())["tf32"] is False
        device.accelerate("tf32")
        assert rounds() == (True, True)
        assert device.gpu(device.choose())["tf32"] is True
        device.prepare()
        assert rounds() == (False, False)


def test_what_has_no_tf32_refuses_it(monkeypatch):
    with pytest.raises(
        Mistake, match=r"train.precision: tf32 does not work on this device \(cpu has no TF32\); use fp32"
    ):
        device.accelerate("tf32")
    with gpu():
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
        with pytest.raises(Mistake, match="make-believe GPU has no TF32"):
            device.accelerate("tf32")
    assert rounds() == (False, False)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_record_tells_whether_kernels_were_chosen_by_their_speed(deterministic):
    with gpu():
        device.prepare(deterministic)
        assert device.gpu(torch.device("cuda", 0))["cudnn_benchmark"] is not deterministic
    device.prepare()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n", "550.54.15"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n", "580.65.06"),
        (None, None),
    ],
)
def test_the_driver_is_told_where_the_kernel_tells_it(text, version, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "DRIVER", tmp_path / "version")
    if text:
        device.DRIVER.write_text(text)
    with gpu():
        assert device.gpu(torch.device("cuda", 0))["driver"] == version


def test_a_cpu_has_no_such_software():
    assert device.gpu(torch.device("cpu")) is None
