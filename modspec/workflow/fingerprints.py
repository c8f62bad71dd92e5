"""The code that decides a stage's results, as a fingerprint that is derived from the code itself.

Starting from the functions that make a stage's artefact, every function, class and constant of modspec that
they use, directly or through others, belongs to the fingerprint; nothing else does. Tables and figures that
only show a result are therefore left out even where they share a module with the code that makes it. Left
out as well are imports, docstrings, comments, annotations of functions, and the messages of errors and of
progress: they change what a person reads, not what is computed. Modules that decide where and when
something runs are left out too (``LEFT_OUT``); the values of the parameters are recorded with every
artefact.

References are resolved by name, as text. Code that is reached only through a string (``getattr``, a
registry that a decorator fills) is not seen, so results must not depend on such code.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
MATERIAL = ("modspec.stages.material", "load_material")  # makes data and encoder for every stage
JUDGED = ("modspec.calibration.templates", "judged")  # chooses the examples of several experiments
# Artefact -> the functions that decide it: module and name.
ENTRY_POINTS = {
    "start": (MATERIAL, ("modspec.stages.warm_start", "make_start")),
    "search": (MATERIAL, ("modspec.stages.search", "search_all")),
    "finetuning": (MATERIAL, ("modspec.stages.finetuning", "finetune_condition")),
    "scores": (MATERIAL, ("modspec.stages.scoring", "keep_scores")),
    "influence": (("modspec.stages.scoring", "reduce_scores"),),
    "calibration/clone": (MATERIAL, ("modspec.calibration.clones", "clone_experiment")),
    "calibration/cipher": (MATERIAL, ("modspec.calibration.cipher", "cipher_experiment")),
    "calibration/scores": (MATERIAL, JUDGED, ("modspec.calibration.scorers", "all_scores")),
    "calibration/templates": (MATERIAL, ("modspec.calibration.templates", "templates")),
    "calibration/planted": (MATERIAL, JUDGED, ("modspec.calibration.planted_heads", "planted_heads")),
    "calibration/datamodeling": (MATERIAL, JUDGED, ("modspec.calibration.retraining", "datamodeling")),
}
# Notebooks show tables and figures that nothing above them calls: all code of these folders decides them.
FOLDERS = {"figures": ("analysis", "figures"), "calibration": ("calibration", "figures")}
LEFT_OUT = ("modspec.workflow", "modspec.errors", "modspec.files", "modspec.stages.resuming")

Definition = tuple[str, str]  # module, name


@cache
def code_fingerprint(artefact: str) -> str:
    """Return the sha256 of all code that decides an artefact of ``ENTRY_POINTS`` or ``FOLDERS``."""
    digest = hashlib.sha256()
    for module, name in sorted(definitions(artefact)):
        digest.update(f"{module}.{name} {_Module.read(module).decisive(name)[0]}\n".encode())
    return digest.hexdigest()


def definitions(artefact: str) -> set[Definition]:
    """Return the definitions that decide an artefact: pairs of a module and a name in it.

    Raises:
        KeyError: the artefact is neither in ``ENTRY_POINTS`` nor in ``FOLDERS``.
    """
    if artefact not in {**ENTRY_POINTS, **FOLDERS}:
        raise KeyError(artefact)
    reached: set[Definition] = set()
    pending = list(ENTRY_POINTS.get(artefact, ()))
    for folder in FOLDERS.get(artefact, ()):
        for file in sorted((PACKAGE / folder).glob("*.py")):
            module = f"modspec.{folder}.{file.stem}"
            pending += [(module, name) for name in _Module.read(module).defined]
    while pending:
        definition = pending.pop()
        if definition not in reached:
            reached.add(definition)
            pending += _Module.read(definition[0]).decisive(definition[1])[1]
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
        self._decisive: dict[str, tuple[str, list[Definition]]] = {}
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

    def decisive(self, name: str) -> tuple[str, list[Definition]]:
        """Return the text of a definition, without what only a person reads, and the definitions it names."""
        if name not in self._decisive:
            nodes = [_WithoutProse().visit(copy.deepcopy(node)) for node in self.defined[name]]
            references = [reference for node in nodes for reference in self._references(node)]
            self._decisive[name] = "".join(map(ast.dump, nodes)), [*references, (self.name, "")]
        return self._decisive[name]

    def _references(self, node: ast.AST) -> Iterator[Definition]:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                if inner.id in self.defined:
                    yield self.name, inner.id
                elif inner.id in self.imported:
                    yield from _resolved(*self.imported[inner.id])
            elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
                module = ".".join(self.imported.get(inner.value.id, ()))
                if module and _is_module(module):
                    yield from _resolved(module, inner.attr)


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


@cache
def _is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _names(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a module defines; [""] if it does something else."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return []
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = {ast.Assign: lambda: node.targets, ast.AnnAssign: lambda: [node.target]}
    targets |= {ast.AugAssign: lambda: [node.target]}
    if type(node) in targets:
        inner = [name for target in targets[type(node)]() for name in ast.walk(target)]
        return [name.id for name in inner if isinstance(name, ast.Name)]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return []  # a docstring
    return [""]


class _WithoutProse(ast.NodeTransformer):
    """Removes docstrings, annotations of functions, and the texts of errors, prints and progress bars."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._undocumented(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._undocumented(node)

    def _undocumented(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        kind = node.exc.func if isinstance(node.exc, ast.Call) else None
        return ast.Raise(kind if isinstance(kind, ast.Name) else None)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            return ast.Constant(None)
        node.keywords = [word for word in node.keywords if word.arg not in ("progress", "desc")]
        return self.generic_visit(node)
