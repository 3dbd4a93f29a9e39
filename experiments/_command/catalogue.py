"""Which experiments there are, and what they say of themselves."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

_FOLDER = Path(__file__).parents[1]
# That of the sources; what is not named here comes last.
_ORDER = (
    "training_curves",
    "activation_drift",
    "covariate_shift",
    "noisy_batchnorm",
    "landscape",
    "lp_norms",
    "theory_bounds",
    "mnist_mlp",
    "gradient_depth",
)


def names() -> list[str]:
    """List the experiments: the modules of `experiments` that have no leading underscore."""
    modules = pkgutil.iter_modules([str(_FOLDER)])
    found = [module.name for module in modules if not module.ispkg and not module.name.startswith("_")]
    return sorted(found, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def module(name: str) -> ModuleType:
    """Import an experiment."""
    return importlib.import_module(f"experiments.{name}")


def heading(name: str) -> str:
    """Write an experiment's name as a heading."""
    words = [word.upper() if word in ("mnist", "mlp") else word for word in name.split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


def title(name: str) -> str:
    """Return the first line of an experiment's docstring, without importing it."""
    return _docstring(name).partition("\n")[0]


def remark(name: str, word: str) -> str:
    """Return what an experiment's docstring says behind a word such as Claim, on one line; empty if it does not say it."""
    found = re.search(rf"^{word}: (.*?)(?=^[A-Z]\w*: |\Z)", _docstring(name), re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _docstring(name: str) -> str:
    """Read an experiment's docstring, without importing it."""
    return ast.get_docstring(ast.parse((_FOLDER / f"{name}.py").read_text())) or ""
