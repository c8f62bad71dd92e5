"""The code that decides a stage's results, as a fingerprint: derived from the code itself, not from a list.

Starting from the function that makes a stage's artefact, every function, class and constant of modspec that it
uses, directly or through others, belongs to the fingerprint; nothing else does. Tables and figures that only
show a result are therefore left out even where they share a module with the code that makes it. Left out as
well are imports, docstrings, comments, annotations of functions, and the messages of errors and of progress:
they change what a person reads, not what is computed. ``modspec.workflow`` and ``modspec.errors`` are left out
because they decide where and when something runs; the parameters' values are recorded with every artefact.

References are resolved by name, as text. What is reached only through a string (``getattr``, a registry that a
decorator fills) is not seen, so results must not depend on such code.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# Artefact -> where its making starts: module and function.
ENTRY_POINTS = {
    "start": ("modspec.stages.warm_start", "make_start"),
    "search": ("modspec.stages.search", "search_all"),
    "finetuning": ("modspec.stages.finetuning", "finetune_condition"),
    "scores": ("modspec.stages.scoring", "keep_scores"),
    "influence": ("modspec.stages.scoring", "reduce_scores"),
    "calibration/clone": ("modspec.calibration.clones", "clone_experiment"),
    "calibration/cipher": ("modspec.calibration.cipher", "cipher_experiment"),
    "calibration/scores": ("modspec.calibration.scorers", "all_scores"),
    "calibration/templates": ("modspec.calibration.templates", "templates"),
    "calibration/planted": ("modspec.calibration.planted_heads", "planted_heads"),
    "calibration/datamodeling": ("modspec.calibration.retraining", "datamodeling"),
}
LEFT_OUT = ("modspec.workflow", "modspec.errors", "modspec.files", "modspec.figures")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Definition = tuple[str, str]  # module, name


@cache
def code_fingerprint(artefact: str) -> str:
    """Return the sha256 of all code that decides an artefact; ``artefact``: a key of ``ENTRY_POINTS``."""
    digest = hashlib.sha256()
    for module, name in sorted(definitions(artefact)):
        for node in _Module.read(module).defined[name]:
            digest.update(f"{module}.{name} {ast.dump(_decisive(node))}\n".encode())
    return digest.hexdigest()


def definitions(artefact: str) -> set[Definition]:
    """Return the definitions that decide an artefact: pairs of a module and a name in it."""
    reached: set[Definition] = set()
    pending = [ENTRY_POINTS[artefact]]
    while pending:
        definition = pending.pop()
        if definition not in reached:
            reached.add(definition)
            module = _Module.read(definition[0])
            for node in module.defined[definition[1]]:
                pending += module.references(_decisive(node))
    return reached


class _Module:
    """A module of the package as text: what it defines at its top, and what its names refer to.

    defined: {name: its statements}; "" holds the statements that define nothing, which always run.
    """

    def __init__(self, name: str) -> None:
        file = PACKAGE.parent.joinpath(*name.split("."))
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        self.name = name
        self.defined: dict[str, list[ast.stmt]] = {"": []}
        self.imported: dict[str, Definition] = {}
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "modspec":
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (node.module, alias.name)
        for node in tree.body:
            for defined in _names(node):
                self.defined.setdefault(defined, []).append(node)

    @staticmethod
    @cache
    def read(name: str) -> _Module:
        return _Module(name)

    def references(self, node: ast.AST) -> list[Definition]:
        """Return the definitions of the package that a statement names."""
        found = []
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                if inner.id in self.defined:
                    found.append((self.name, inner.id))
                elif inner.id in self.imported:
                    found += _resolved(*self.imported[inner.id])
            elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
                module = ".".join(self.imported.get(inner.value.id, ()))
                if module and _is_module(module):
                    found += _resolved(module, inner.attr)
        return [*found, (self.name, "")]


def _resolved(module: str, name: str) -> list[Definition]:
    """Return where an imported name is defined, through packages that pass it on; [] for what is left out."""
    if module.startswith(LEFT_OUT) or not _is_module(module):
        return []
    if _is_module(f"{module}.{name}"):
        return []  # a module; its attributes are resolved where they are named
    source = _Module.read(module)
    if name in source.defined:
        return [(module, name)]
    return _resolved(*source.imported[name]) if name in source.imported else []


def _is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _names(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a module defines; [""] if it does something else."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return []
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        return [node.name]
    targets = {ast.Assign: lambda: node.targets, ast.AnnAssign: lambda: [node.target]}
    targets |= {ast.AugAssign: lambda: [node.target]}
    if type(node) in targets:
        inner = [name for target in targets[type(node)]() for name in ast.walk(target)]
        return [name.id for name in inner if isinstance(name, ast.Name)]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return []  # a docstring
    return [""]


def _decisive(node: ast.stmt) -> ast.stmt:
    """Return a copy of a statement without what only a person reads."""
    return _Reader().visit(ast.parse(ast.unparse(node)).body[0])


class _Reader(ast.NodeTransformer):
    """Removes docstrings, annotations of functions, and the texts of errors, prints and progress bars."""

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, _FUNCTIONS):
            node.returns = None
        return (
            super().generic_visit(node)
            if not hasattr(self, f"visit_{type(node).__name__}")
            else super().visit(node)
        )

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(kind if isinstance(kind, ast.Name) else None, None)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            return ast.Constant(None)
        node.keywords = [word for word in node.keywords if word.arg not in ("progress", "desc")]
        return self.generic_visit(node)
