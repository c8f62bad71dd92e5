"""What every notebook's parameters have in common: types and ranges are enforced, and errors are one line."""

import ast
import difflib
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Self

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from modspec.errors import Contradiction, InputError, quoted

# Parameters that do not decide a result; what ``columns`` name is in the fingerprint of the data.
NOT_DECISIVE = {"study_dir", "data_dir", "columns", "figures_dir", "device", "memory_gib", "blind"}


class Strict(BaseModel):
    """A notebook's parameters. An unknown, mistyped or out-of-range parameter raises InputError.

    The error is a Contradiction if the parameter is wrong only beside another one.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        # YAML, JSON and papermill know lists, not tuples.
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            super().__init__(**values)
        except ValidationError as error:
            together = not error.errors()[0]["loc"]
            raise (Contradiction if together else InputError)(_one_line(error, type(self))) from None

    @classmethod
    def from_notebook(cls) -> Self:
        """Return the parameters set by this notebook's ``parameters`` cell and by papermill after it.

        They are looked up in the history of executed cells, because among the notebook's variables a misspelt
        parameter could not be told from any other variable and would be ignored.
        """
        from IPython import get_ipython

        # Said by libraries that are imported next; progress bars are text on purpose.
        warnings.filterwarnings("ignore", message="IProgress not found")
        _name_other_environment()
        shell = get_ipython()
        names = names_in_force(shell.history_manager.input_hist_raw, cls.model_fields)
        return cls(**{name: shell.user_ns[name] for name in names if name in shell.user_ns})

    def identity(self) -> dict[str, Any]:
        """Return the parameters that decide the result, as JSON values: no paths, no device."""
        return self.model_dump(mode="json", exclude=NOT_DECISIVE)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """Yield one line for each parameter that contradicts another one."""
        yield from ()

    def _at_most(self, name: str, limit: str) -> Iterator[str]:
        value, most = getattr(self, name), getattr(self, limit)
        if value is not None and value > most:
            yield f"{name}: {value}; allowed: at most {limit} = {most}"


def _name_other_environment() -> None:
    """Print which environment runs this notebook if another one's papermill or JupyterLab started it.

    A cluster's module system may offer a kernel of the usual name, with packages of its own.
    """
    with suppress(psutil.Error, IndexError):
        starter = Path(psutil.Process().parent().cmdline()[0])
        if starter.is_absolute() and starter.parent != Path(sys.executable).parent:
            print(f"This notebook runs in {sys.prefix}, although {starter} started it.")


def names_in_force(cells: Iterable[str], parameters: Collection[str]) -> list[str]:
    """Return the names that cells of literals have set since the parameters cell was last run.

    Who sees the error of a misspelt parameter, corrects the cell and runs it again has withdrawn that name.

    Args:
        cells: all that were run. papermill's cell stands next to the parameters cell, and belongs to it.
        parameters: names that the parameters cell sets.
    """
    names: list[str] = []
    for _, neighbours in groupby(map(literal_names, cells), key=bool):
        new_names = [*chain.from_iterable(neighbours)]
        names = new_names if set(parameters) <= set(new_names) else names + new_names
    return names


def literal_names(cell: str) -> list[str]:
    """Return the names that a cell assigns if it does nothing but assign literals to names, else none."""
    names = []
    try:
        for statement in ast.parse(cell).body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            ast.literal_eval(statement.value)
            (target,) = statement.targets
            names.append(target.id)
    except (SyntaxError, ValueError, TypeError, AttributeError):  # a statement is not NAME = LITERAL
        return []
    return names


def _one_line(error: ValidationError, model: type[Strict]) -> str:
    """Return the first problem as ``parameter: value; allowed: …``."""
    first = error.errors()[0]
    problems = [p for p in error.errors() if p["loc"][:1] == first["loc"][:1]]
    # Of a list that is wrong in one place, this place, also where something else than a list is allowed.
    problem = next((p for p in problems if any(isinstance(part, int) for part in p["loc"])), first)
    # The parameter, and the position in a list; without the member of a union that was tried.
    name = ".".join(str(part) for i, part in enumerate(problem["loc"]) if i == 0 or isinstance(part, int))
    value = list(problem["input"]) if isinstance(problem["input"], tuple) else problem["input"]
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, model.model_fields, n=1)
        hint = f"{close[0]} (did you mean it?), " if close else ""
        others = ", ".join(field for field in model.model_fields if field not in close)
        return (
            f"{quoted(name)[1:-1]}: {quoted(value)} is not a parameter of this stage; allowed: {hint}{others}"
        )
    if problem["type"] == "value_error":  # raised here: by a check of one parameter, or of several
        return f"{name}: {problem['ctx']['error']}" if name else str(problem["ctx"]["error"])
    # Of a parameter with several types, each type says what it allows. YAML, JSON and papermill know lists,
    # not tuples. Values are compared by identity, since NaN does not equal itself.
    same = (p for p in problems if p["input"] is problem["input"])
    noise = r"^Input should be (a valid )?|^Tuple should have | after validation.*"
    allowed = " or ".join(dict.fromkeys(re.sub(noise, "", p["msg"]) for p in same)).replace("tuple", "list")
    return f"{name}: {quoted(value)} ({type(value).__name__}); allowed: {allowed}"
