"""YAML as users write it, read within bounds: what is nested, multiplied or counted beyond them is one message."""

from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node, ScalarNode

CHARACTERS = 256 * 1024
DEPTH = 40
VALUES = 50_000
"""In all, each counted as often as aliases have it."""
DIGITS = 18
"""Of a whole number, so that it is one of 64 bits."""


_MANY = f"more than {VALUES:,} values, each counted as often as aliases have it; write fewer"
_KINDS = "tag:yaml.org,2002:"
_READ = ("null", "bool", "int", "float", "str", "seq", "map", "merge", "timestamp", "value")


class Unreadable(ValueError):
    """A text that is no YAML, or more of it than anyone means; `line` counts from 1, None where it is not known."""

    def __init__(self, message: str, line: int | None = None):
        super().__init__(message)
        self.line = line


class _Beyond(MarkedYAMLError):
    """YAML beyond the bounds."""


class _Bounded(Composer):
    """Stops while nodes are put together, before aliases are followed or numbers made."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **settings)
        self._depth = self._nodes = 0
        self._sizes: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.parser.peek_event().start_mark
        alias = self.parser.check_event(AliasEvent)
        self._depth += 1
        self._nodes += 1
        self._expect(self._depth <= DEPTH, f"nested more than {DEPTH} deep", mark)
        self._expect(self._nodes <= VALUES, _MANY, mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if id(node) not in self._sizes:
            self._expect(not alias, "an alias that stands for what it is in", mark)
            self._sizes[id(node)] = self._size(node, mark)
        return node

    def _size(self, node: Node, mark: Any) -> tuple[int, int]:
        """Values in a node and how deep they lie, what aliases stand for among them."""
        kind = str(node.tag).removeprefix(_KINDS)
        self._expect(kind in _READ, f"the tag {kind} means nothing here; leave it out", mark)
        if isinstance(node, ScalarNode):
            if kind == "int":
                digits = len(node.value.lstrip("+-0"))
                self._expect(digits <= DIGITS, f"a number of {digits} digits; at most {DIGITS} are read", mark)
            return 1, 1
        parts = [part for each in node.value for part in (each if isinstance(each, tuple) else (each,))]
        sizes = [self._sizes[id(part)] for part in parts]
        count, depth = 1 + sum(size for size, _ in sizes), 1 + max((deep for _, deep in sizes), default=0)
        self._expect(count <= VALUES, _MANY, mark)
        self._expect(depth <= DEPTH, f"nested more than {DEPTH} deep by its aliases", mark)
        return count, depth

    def _expect(self, sound: bool, problem: str, mark: Any) -> None:
        if not sound:
            raise _Beyond(None, None, problem, mark)


def read(text: str, typ: Literal["safe", "rt"] = "safe") -> Any:
    """A text as YAML 1.2 reads it.

    Args:
        typ: rt keeps the lines of keys

    Raises:
        Unreadable: it is no YAML, or beyond the bounds.
    """
    if len(text) > CHARACTERS:
        raise Unreadable(f"it has {len(text):,} characters, at most {CHARACTERS:,} are read; split it")
    yaml = YAML(typ=typ, pure=True)
    yaml.Composer = _Bounded
    try:
        return yaml.load(text)
    except _Beyond as error:
        raise Unreadable(error.problem, error.problem_mark.line + 1) from None
    except (YAMLError, ValueError, TypeError, AttributeError, LookupError) as error:
        # Values that their tag does not fit, such as !!int abc, are what the library's conversions raise.
        mark = getattr(error, "problem_mark", None)
        told = (getattr(error, "problem", None) or str(error)).splitlines()
        raise Unreadable(
            f"not valid YAML: {told[0] if told else type(error).__name__}", mark and mark.line + 1
        ) from None


def shown(found: Any) -> str:
    """A value as messages show it, cut where it is long."""
    text = repr(found)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


_SHOWN = 160
