"""What kind of processor a latency was measured on."""

import platform
import subprocess
from contextlib import suppress
from pathlib import Path

EIGHT_BIT = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
"""Flags of processors, as Linux names them, that have products of 8 bits that do not saturate."""
_TOLD = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "avx512_fp16")
_TOLD += ("amx_tile", "amx_bf16", "asimd", "sve", "sve2", *EIGHT_BIT)


def processor() -> dict[str, str | list[str] | None]:
    """Model and architecture of the CPU, and which of its flags matter to inference; none where it does not tell."""
    words = _cpuinfo()
    found = set(words.get("flags", words.get("Features", "")).split())
    model = words.get("model name") or _macos_model()
    return {"model": model, "architecture": platform.machine(), "flags": [flag for flag in _TOLD if flag in found]}


def saturates(found: dict[str, str | list[str] | None]) -> bool:
    """Whether sums of two 8-bit products may exceed 16 bits on this CPU, and are then cut."""
    return "avx2" in (found["flags"] or []) and not set(EIGHT_BIT) & set(found["flags"] or [])


def _cpuinfo() -> dict[str, str]:
    with suppress(OSError):
        first, *_ = Path("/proc/cpuinfo").read_text().split("\n\n")
        pairs = (line.partition(":") for line in first.splitlines())
        return {key.strip(): value.strip() for key, _, value in pairs}
    return {}


def _macos_model() -> str | None:
    with suppress(OSError, subprocess.SubprocessError):
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return platform.processor() or None
