"""Short expressions in Python's syntax, walked and never run: what a rule comes to at given names."""

import ast
import math
import operator
from collections.abc import Mapping
from functools import cache
from typing import Any

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS = {
    "all": all,
    "int": int,
    "len": len,
    "list": list,
    "log": math.log,
    "max": max,
    "min": min,
    "range": range,
    "round": round,
    "set": set,
    "sorted": sorted,
}


def value(rule: str | float, settings: Mapping[str, Any], *, lists: bool = False) -> Any:
    """What a rule comes to at these settings; a number is itself.

    Args:
        lists: also read lists and places in them, as in `[30, 60][attempt - 1]`

    Raises:
        SyntaxError: it is no expression.
        KeyError: it names something that is not among the settings, or an operator that is not read here.
        ValueError: it uses more of the language than is read here.
    """
    return _value(_parsed(rule), settings, lists) if isinstance(rule, str) else rule


@cache
def _parsed(rule: str) -> ast.expr:
    return ast.parse(rule, mode="eval").body


def _value(node: ast.expr, names: Mapping[str, Any], lists: bool) -> Any:
    def of(part: ast.expr) -> Any:
        return _value(part, names, lists)

    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return names[node.id]
        case ast.Tuple():
            return tuple(map(of, node.elts))
        case ast.List() if lists:
            return [*map(of, node.elts)]
        case ast.Subscript() if lists:
            return of(node.value)[of(node.slice)]
        case ast.UnaryOp(op=ast.USub()):
            return -of(node.operand)
        case ast.BinOp():
            return OPERATORS[type(node.op)](of(node.left), of(node.right))
        case ast.Compare(ops=[op], comparators=[right]):
            return OPERATORS[type(op)](of(node.left), of(right))
        case ast.BoolOp():
            return (all if isinstance(node.op, ast.And) else any)(map(of, node.values))
        case ast.IfExp():
            return of(node.body if of(node.test) else node.orelse)
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            return FUNCTIONS[name](*map(of, node.args))
        case ast.GeneratorExp(generators=[each]) if isinstance(each.target, ast.Name):
            return [_value(node.elt, {**names, each.target.id: one}, lists) for one in of(each.iter)]
    raise ValueError(f"a rule cannot hold {ast.unparse(node)!r}")
