"""What pins the authors' code in a run's identity: its commit, and a digest of all that the kit changes in it.

That is the patches, the shims that are installed for the model, and the description of an added model, both as parsed:
a comment, a docstring or another line break retrains nothing.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from tal_repro.models.registry import model_entry

DIGITS = 8
OF_CHECKS = ("SMALL", "STOPS_EARLY")  # names of a description
# Digests that give the same results as another: results under the one on the right stay valid. A test holds that each
# left one is today's digest of a model.
EQUAL = {  # the four's were the hashes of the patches alone
    "fc3bffdf": "f1922ca1",  # tadtr
    "f72e7702": "fdd40769",  # actionformer
    "91b97a8e": "ae813d4c",  # tridet
    "e94ccbaf": "8db503dc",  # temporalmaxer
    "f365e4d6": "4240c1aa",  # dyfadet, when SMALL was part of its digest
    "f32cbf27": "6eb7b236",  # tetad, likewise
}


def upstream_version(model: str, patches: str) -> str:
    """Return the version of a model's results: commit, and the digest of patches, shims and description."""
    entry = model_entry(model)
    digest = change_digest(model, patches)
    return f"{entry.commit[:12]}+{EQUAL.get(digest, digest)}"


@cache
def change_digest(model: str, patches: str) -> str:
    """Return the digest of what the kit changes in a model's code (`patches`: their hash)."""
    from tal_repro.engines.upstream import shims

    parts = [patches]
    for shim in shims.needed(model):
        parts += [shim.name, source_digest(textwrap.dedent(inspect.getsource(shim.install)))]
    if adapter := model_entry(model).adapter:
        parts.append(description_digest(adapter))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]


def description_digest(module: str) -> str:
    """Hash the description of an added model as parsed, without what only `models check` reads."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not _is_of_checks(node)]
    return _digest(tree)


def _is_of_checks(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in OF_CHECKS


def module_digest(module: str) -> str:
    """Hash a module of the kit as parsed."""
    return source_digest(_file(module).read_text(encoding="utf-8"))


def source_digest(source: str) -> str:
    """Hash Python source as parsed: without comments, docstrings and layout, alike under every Python version."""
    return _digest(ast.parse(source))


def _digest(tree: ast.Module) -> str:
    return hashlib.sha256(repr(_parsed(tree)).encode()).hexdigest()


def _parsed(node: Any) -> Any:
    if isinstance(node, list):
        return [_parsed(item) for item in node if not _is_text(item)]
    if not isinstance(node, ast.AST):
        return node
    values = {name: _parsed(value) for name, value in ast.iter_fields(node)}
    kept = {name: value for name, value in values.items() if value not in (None, []) and name not in ("ctx", "kind")}
    return type(node).__name__, sorted(kept.items())


def _is_text(node: Any) -> bool:
    """Tell a docstring, or another text that is evaluated and dropped."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _file(module: str) -> Path:
    return Path(str(importlib.import_module(module).__file__))
