"""A profile of Snakemake as its jobs will ask SLURM: what each rule wants at each attempt."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from espalier.errors import Mistake
from espalier.settings import expressions
from espalier.settings.bounded_yaml import read as read_yaml

_UNITS = {"s": 1 / 60, "m": 1, "min": 1, "h": 60, "d": 1440}


@dataclass(frozen=True, slots=True)
class Request:
    """The SLURM resources that some rules ask for; None or empty where the profile leaves one to SLURM."""

    rules: str
    account: str | None
    partition: str | None
    minutes: tuple[float, ...]
    """of each attempt"""
    mem_mb: tuple[int, ...]
    """of each attempt"""
    gpus: int
    gpu_model: str | None
    extra: str


@dataclass(frozen=True)
class Profile:
    """A profile's config.yaml."""

    path: Path
    keys: Mapping[str, Any]

    @property
    def slurm(self) -> bool:
        """Whether its jobs go to SLURM."""
        return self.keys.get("executor") == "slurm"

    def requests(self) -> list[Request]:
        """The resources of each rule that the profile names, and of `all other rules`; rules that ask for the same
        share one.

        Raises:
            Mistake: a resource is not a number, a text or an expression of `attempt` and `threads`.
        """
        common, own = self._mapping("default-resources"), self._mapping("set-resources")
        threads = self._mapping("set-threads")
        alike: dict[Request, list[str]] = {}
        for rule, changes in {"all other rules": {}, **own}.items():
            if not isinstance(changes, Mapping):
                raise Mistake(f"{self.path}: set-resources.{rule}: write it as a mapping, so that it can be checked")
            asked = self._request(rule, {**common, **changes}, threads.get(rule, 1))
            alike.setdefault(asked, []).append(rule)
        return [replace(asked, rules=", ".join(rules)) for asked, rules in alike.items()]

    def _mapping(self, key: str) -> Mapping[str, Any]:
        found = self.keys.get(key) or {}
        if not isinstance(found, Mapping):
            raise Mistake(f"{self.path}: {key}: write it as a mapping, so that it can be checked")
        return found

    def _request(self, rule: str, wanted: Mapping[str, Any], threads: Any) -> Request:
        try:
            attempts = range(1, 2 + int(self.keys.get("retries") or 0))
            each = [
                {key: _value(value, {"attempt": attempt, "threads": threads}) for key, value in wanted.items()}
                for attempt in attempts
            ]
            first = each[0]
            model = _text(first.get("gpu_model"))
            return Request(
                "",
                _text(first.get("slurm_account")),
                _text(first.get("slurm_partition")),
                tuple(_minutes(found["runtime"]) for found in each if "runtime" in found),
                tuple(int(found["mem_mb"]) for found in each if "mem_mb" in found),
                int(first.get("gpu") or 0) or int(model is not None),
                model,
                _text(first.get("slurm_extra")) or "",
            )
        except (TypeError, ValueError) as error:
            raise Mistake(f"{self.path}: resources of {rule}: {error}; write a number or an expression") from error


def read(folder: Path) -> Profile:
    """The profile in `folder`.

    Raises:
        Mistake: there is none, or it is not YAML.
    """
    path = Path(folder, "config.yaml")
    try:
        keys = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Mistake(f"{path}: cannot be read as a profile ({error}); name its folder with --profile") from error
    if not isinstance(keys, Mapping):
        raise Mistake(f"{path}: holds no keys; name another profile with --profile")
    return Profile(path, keys)


def _value(value: Any, names: Mapping[str, Any]) -> Any:
    """A resource as Snakemake reads it: a text is an expression if it can be one, and else itself."""
    try:
        return expressions.value(value, names, lists=True) if isinstance(value, str) else value
    except (SyntaxError, ValueError, KeyError, TypeError, ArithmeticError, LookupError):
        return value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _minutes(value: Any) -> float:
    if isinstance(value, int | float):
        return float(value)
    parts = re.findall(r"([\d.]+) *([a-z]+)", str(value).lower())
    if not parts or any(unit not in _UNITS for _, unit in parts):
        raise ValueError(f"runtime {value!r} is no time")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
