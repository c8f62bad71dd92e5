"""The code that decides a stage's results, as a fingerprint that is derived from the code itself.

Starting from the functions that make a stage's artefact, every function, class and constant of modspec that
they use, directly or through others, belongs to the fingerprint; nothing else does. Tables and figures that
only show a result are therefore left out even where they share a module with the code that makes it. Left
out as well are imports, docstrings, comments, annotations of functions, and the messages of errors and of
progress: they change what a person reads, not what is computed. Modules that decide where and when
something runs, or that only refuse an encoder, are left out too (``LEFT_OUT``); the values of the parameters
are recorded with every artefact.

References are resolved by name, as text. Code that is reached only through a string (``getattr``, a
registry that a decorator fills) is not seen, so results must not depend on such code.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from functools import cache
from itertools import chain
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
    "leave_one_out": (MATERIAL, ("modspec.stages.leave_one_out", "leave_one_out")),
    "calibration/clone": (MATERIAL, ("modspec.calibration.clones", "clone_experiment")),
    "calibration/cipher": (MATERIAL, ("modspec.calibration.cipher", "cipher_experiment")),
    "calibration/scores": (MATERIAL, JUDGED, ("modspec.calibration.scorers", "all_scores")),
    "calibration/templates": (MATERIAL, ("modspec.calibration.templates", "templates")),
    "calibration/planted": (MATERIAL, JUDGED, ("modspec.calibration.planted_heads", "planted_heads")),
    "calibration/datamodeling": (MATERIAL, JUDGED, ("modspec.calibration.retraining", "datamodeling")),
}
# Notebooks show tables and figures that nothing above them calls: all code of these folders decides them.
FOLDERS = {"figures": ("analysis", "figures"), "calibration": ("calibration", "figures")}
FOLDERS["exploration"] = FOLDERS["figures"]
LEFT_OUT = ("modspec.workflow", "modspec.errors", "modspec.output")
LEFT_OUT += ("modspec.stages.resuming", "modspec.models.encoder_checks", "modspec.downloads.hub")

Definition = tuple[str, str]  # module, name


@cache
def code_fingerprint(artefact: str) -> str:
    """Return the sha256 of all code that decides an artefact of ``ENTRY_POINTS`` or ``FOLDERS``."""
    digest = hashlib.sha256()
    for module, name in sorted(definitions(artefact)):
        digest.update(f"{module}.{name} {_decisive(module, name)[0]}\n".encode())
    return digest.hexdigest()


def definitions(artefact: str) -> set[Definition]:
    """Return the definitions that decide an artefact: pairs of a module and a name in it.

    Raises:
        KeyError: the artefact is neither in ``ENTRY_POINTS`` nor in ``FOLDERS``.
    """
    reached: set[Definition] = set()
    if artefact in FOLDERS:
        files = [file for folder in FOLDERS[artefact] for file in (PACKAGE / folder).glob("*.py")]
        modules = [f"modspec.{file.parent.name}.{file.stem}" for file in files]
        pending = [(module, name) for module in modules for name in _module(module)[0]]
    else:
        pending = list(ENTRY_POINTS[artefact])
    while pending:
        definition = pending.pop()
        if definition not in reached:
            reached.add(definition)
            pending += _decisive(*definition)[1]
    return reached


@cache
def _module(name: str) -> tuple[dict[str, list[ast.stmt]], dict[str, Definition]]:
    """Return what a module of the package defines at its top, and what its imported names refer to.

    Returns:
        {name: its statements}, where "" holds the statements that define nothing, which always run; and
        {imported name: module and name in it}.
    """
    tree = ast.parse(_file(name).read_text(encoding="utf-8"))
    defined: dict[str, list[ast.stmt]] = {"": []}
    for node in tree.body:
        for target in _names(node):
            defined.setdefault(target, []).append(node)
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "modspec"
        for alias in node.names
    }
    return defined, imported


@cache
def _decisive(module: str, name: str) -> tuple[str, list[Definition]]:
    """Return the text of a definition, without what only a person reads, and the definitions it names."""
    defined, imported = _module(module)
    nodes = [_WithoutProse().visit(copy.deepcopy(node)) for node in defined[name]]
    references = [(module, "")]
    for node in chain.from_iterable(map(ast.walk, nodes)):
        if isinstance(node, ast.Name) and node.id in defined:
            references.append((module, node.id))
        elif isinstance(node, ast.Name) and node.id in imported:
            references += _resolved(*imported[node.id])
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported
        ):
            references += _resolved(".".join(imported[node.value.id]), node.attr)
    return "".join(map(ast.dump, nodes)), references


def _resolved(module: str, name: str) -> list[Definition]:
    """Return where an imported name is defined, through packages that pass it on; [] for what is left out."""
    if module.startswith(LEFT_OUT) or not _file(module).is_file():
        return []
    if _file(f"{module}.{name}").is_file():
        return []  # a module; its attributes are resolved where they are named
    defined, imported = _module(module)
    if name in defined:
        return [(module, name)]
    return _resolved(*imported[name]) if name in imported else []


def _file(module: str) -> Path:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _names(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a module defines; [""] if it does something else."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return []
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return []  # a docstring
    return [""]


class _WithoutProse(ast.NodeTransformer):
    """Removes docstrings, annotations of functions, and the texts of errors, prints and progress bars."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.visit_ClassDef(node)

    def visit_ClassDef(self, node: ast.ClassDef | ast.FunctionDef) -> ast.AST:
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
