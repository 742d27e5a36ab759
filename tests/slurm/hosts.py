"""Hosts of one network on one machine: each has a name, interfaces and addresses of its own, and sees the same files.

A host is a network namespace. A cable leads from it, and one from this machine, to a switch in a namespace of its own,
where no firewall of this machine's stands between them. No name leads to most of them, and a host's own name leads to
its loopback, as on Debian.
"""

import os
import re
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from programs import absent, call

_NETWORK = "198.18.77"
"""Of those set aside for tests of networks (RFC 2544), so that it is no machine's own."""
HERE = f"{_NETWORK}.1"
"""This machine's address among the hosts."""
ELSEWHERE = "172.17.0.1"
"""Address of every host in a network of its own, which leads to no other host; a container engine sets such ones up."""
_CABLE = "espalier"
_SWITCH = "espalier-switch"
_PLACE = Path("/run/netns")
# A namespace that ends takes with it all that was tried there.
_TRIAL = "ip link add name switch type bridge && ip link add name one type veth peer name other && hostname trial"
_NAMES = "/etc/hosts"


@dataclass(frozen=True)
class Socket:
    """A process's end of a connection; `peer` is None while it waits for one."""

    process: int
    address: str
    peer: str | None


def missing() -> str | None:
    """Why no hosts can be made here, or None."""
    if reason := absent("ip", "ss", "nsenter", "unshare", "hostname"):
        return reason
    try:
        call("unshare", "--net", "--uts", "--mount", "sh", "-c", _TRIAL)
    except RuntimeError as error:
        return f"no host of its own can be made of a namespace: {str(error).rpartition(': ')[2]}"
    return None


class Hosts:
    """Hosts, which any process of this machine may look into.

    Args:
        folder: for their tables of names, made by `up`
        known: those that each of them finds by name
    """

    def __init__(self, folder: Path, names: Iterable[str], known: Iterable[str]):
        self._folder, self._known = folder, tuple(known)
        self._number = {name: number for number, name in enumerate(names, 2)}

    def up(self) -> None:
        """Make the hosts, after what an earlier call that was killed has left of them."""
        self.down()
        self._folder.mkdir(parents=True)
        self._tell_names("here", Path(_NAMES).read_text())
        for name in self._number:
            self._tell_names(name, f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
        call("ip", "netns", "add", _SWITCH)
        call("ip", "-n", _SWITCH, "link", "add", "name", "switch", "up", "type", "bridge")
        call("ip", "link", "add", "name", _CABLE, "type", "veth", "peer", "name", "here", "netns", _SWITCH)
        call("ip", "addr", "add", f"{HERE}/24", "dev", _CABLE)
        call("ip", "link", "set", _CABLE, "up")
        _plug("here")
        for name in self._number:
            self._add(name)

    def down(self) -> None:
        """End every process of the hosts, and take down what `up` has made."""
        for name in self._number:
            for process in self.processes(name):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        # With one end of a cable its other end goes, but with a namespace its cables go later.
        if _CABLE in dict(socket.if_nameindex()).values():
            call("ip", "link", "delete", _CABLE)
        for name in (_SWITCH, *map(_namespace, self._number)):
            if (_PLACE / name).exists():
                call("ip", "netns", "delete", name)

    def address(self, name: str) -> str:
        return f"{_NETWORK}.{self._number[name]}"

    def interface(self, name: str) -> str:
        """The host's interface to the others, which is called differently on each."""
        return f"net{self._number[name]}"

    def plug(self, name: str) -> None:
        _plug(_end_of(name))

    def unplug(self, name: str) -> None:
        """Let nothing reach a host any more; who is connected to it is not told."""
        call("ip", "-n", _SWITCH, "link", "set", _end_of(name), "down")

    def words(self, name: str, *command: str) -> list[str]:
        """A command line that runs `command` on a host."""
        words = self.words_here("sh", "-c", 'hostname "$0" && exec "$@"', name, *command, table=name)
        return ["nsenter", f"--net={_PLACE / _namespace(name)}", "unshare", "--uts", *words]

    def words_here(self, *command: str, table: str = "here") -> list[str]:
        """A command line that runs `command` on this machine, where it knows the names that hosts know."""
        bind = f'mount --bind "$0" {_NAMES} && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", bind, str(self._folder / table), *command]

    def processes(self, name: str) -> list[int]:
        """Ids of all processes of a host."""
        there = (_PLACE / _namespace(name)).exists()
        return [int(process) for process in call("ip", "netns", "pids", _namespace(name)).split()] if there else []

    def sockets(self, name: str) -> set[Socket]:
        """Where the processes of a host listen, and what they are connected to."""
        found = set()
        for line in call(*self.words(name, "ss", "-H", "-t", "-a", "-n", "-p")).splitlines():
            state, _, _, own, peer, *users = line.split()
            if state in ("LISTEN", "ESTAB"):
                own, peer = (each.rpartition(":")[0].strip("[]").removeprefix("::ffff:") for each in (own, peer))
                ids = map(int, re.findall(r"pid=(\d+)", " ".join(users)))
                found |= {Socket(process, own, peer if state == "ESTAB" else None) for process in ids}
        return found

    def _tell_names(self, table: str, own: str) -> None:
        others = [f"{self.address(name)} {name}\n" for name in self._known if name != table]
        (self._folder / table).write_text("".join([own, *others]))

    def _add(self, name: str) -> None:
        space = _namespace(name)
        call("ip", "netns", "add", space)
        call("ip", "-n", space, "link", "set", "lo", "up")
        # Before the one to the others, where who takes the first interface finds it.
        call("ip", "-n", space, "link", "add", "name", "containers0", "up", "type", "bridge")
        call("ip", "-n", space, "addr", "add", f"{ELSEWHERE}/16", "dev", "containers0")
        own, cable = self.interface(name), _end_of(name)
        call("ip", "-n", space, "link", "add", "name", own, "type", "veth", "peer", "name", cable, "netns", _SWITCH)
        call("ip", "-n", space, "addr", "add", f"{self.address(name)}/24", "dev", own)
        call("ip", "-n", space, "link", "set", own, "up")
        _plug(cable)


def _namespace(name: str) -> str:
    return f"espalier-{name}"


def _end_of(name: str) -> str:
    """The end of a host's cable at the switch."""
    return f"to-{name}"


def _plug(cable: str) -> None:
    call("ip", "-n", _SWITCH, "link", "set", cable, "up", "master", "switch")
