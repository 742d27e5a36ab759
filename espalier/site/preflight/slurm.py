"""What SLURM says of itself: the output of scontrol, sinfo and sacctmgr as data."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

_NODES = ("sinfo", "--noheader", "--all", "--Node", "--format=%R|%c|%m|%G|%n")
PATIENCE_S = 30.0
"""A controller that does not answer in this time is as good as none."""


class Silent(Exception):
    """A command of SLURM is absent, failed or did not answer; the message says which."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node, once for each partition that it is in."""

    partition: str
    cpus: int
    memory_mb: int
    gpus: Mapping[str, int]
    """type → number; a node whose GPUs have no type has them under the empty one"""
    host: str


def ask(*words: str) -> str:
    """The output of a command of SLURM.

    Raises:
        Silent: it is absent, failed, or did not answer.
    """
    if shutil.which(words[0]) is None:
        raise Silent(f"{words[0]} is not installed here")
    try:
        environment = os.environ | {"LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment)
    except subprocess.TimeoutExpired:
        raise Silent(f"{words[0]} did not answer within {PATIENCE_S:.0f} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Silent(f"{' '.join(words[:3])}: {said[0] if said else f'exit code {done.returncode}'}")
    return done.stdout


def settings() -> dict[str, str]:
    """`scontrol show config`: key → value; the controller's time under `now`."""
    return read_settings(ask("scontrol", "show", "config"))


def partitions() -> dict[str, dict[str, str]]:
    """Name → keys of every partition."""
    return read_partitions(ask("scontrol", "show", "partition", "--oneliner"))


def nodes() -> list[Node]:
    return read_nodes(ask(*_NODES))


def accounts(user: str) -> set[tuple[str, str]]:
    """Account and partition of every association of a user; an empty partition stands for all."""
    return read_accounts(ask("sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=account,partition"))


def read_settings(text: str) -> dict[str, str]:
    found = dict(re.findall(r"^(\S+) += (.*?) *$", text, re.MULTILINE))
    now = re.search(r"^Configuration data as of (\S+)", text, re.MULTILINE)
    return found | ({"now": now[1]} if now else {})


def read_partitions(text: str) -> dict[str, dict[str, str]]:
    rows = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in text.splitlines()]
    return {row["PartitionName"]: row for row in rows if "PartitionName" in row}


def read_nodes(text: str) -> list[Node]:
    rows = (line.split("|") for line in text.splitlines() if line.count("|") == 4)
    return [
        Node(partition, _number(cpus), _number(memory), _gpus(gres), host)
        for partition, cpus, memory, gres, host in rows
    ]


def read_accounts(text: str) -> set[tuple[str, str]]:
    return {(account, partition) for account, partition in (line.split("|")[:2] for line in text.splitlines() if line)}


def minutes(text: str) -> float:
    """SLURM's ``[days-]hours:minutes:seconds``, ``minutes[:seconds]`` or ``UNLIMITED`` in minutes.

    Raises:
        ValueError: the text is none of these.
    """
    if text.upper() in ("UNLIMITED", "INFINITE", "NONE", "INVALID", ""):
        return float("inf")
    days, dash, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if dash or len(parts) == 3:
        hours, mins, seconds = (*parts, 0, 0)[:3]
    else:
        hours, (mins, seconds) = 0, (*parts, 0)[:2]
    return int(days or 0) * 1440 + hours * 60 + mins + seconds / 60


def seconds(text: str) -> int:
    """``300 sec`` as a number.

    Raises:
        ValueError: the text does not begin with one.
    """
    return int(text.split()[0])


def _number(text: str) -> int:
    return int(re.match(r"\d*", text)[0] or 0)


def _gpus(gres: str) -> dict[str, int]:
    """``gpu:a100:2(S:0-1),gpu:4`` → {"a100": 2, "": 4}"""
    found: dict[str, int] = {}
    for name in re.findall(r"(?:^|,)gpu((?::[^,:(]+)*)", gres):
        parts = [part for part in name.split(":") if part]
        count = int(parts.pop()) if parts and parts[-1].isdecimal() else 1
        kind = parts[0] if parts else ""
        found[kind] = found.get(kind, 0) + count
    return found
