"""The list of experiments, and the descriptions in their docstrings."""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments._evidence.claim import Claim

_FOLDER = Path(__file__).parents[1]
_WORDS = {"mnist": "MNIST", "mlp": "MLP", "batchnorm": "batch norm"}  # of headings
# The order of the sources; experiments that are not listed here come last.
_ORDER = (
    "training_curves",
    "activation_drift",
    "covariate_shift",
    "noisy_batchnorm",
    "drift_and_accuracy",
    "landscape",
    "mameli",
    "lp_norms",
    "theory_bounds",
    "mnist_mlp",
    "gradient_depth",
    "initialisation",
    "scale_invariance",
    "shuffling",
    "recurrent",
    "regularisation",
    "generalisation",
    "evaluation",
    "norm_order",
    "batch_size",
    "inception",
    "sensitivity",
    "scale_and_bias",
    "layer_dependence",
    "eigenvalues",
    "long_horizon",
    "which_norm",
)


def names() -> list[str]:
    """List the experiments: packages of `experiments` without a leading underscore that have a `table` module."""
    found = [path.parent.name for path in _FOLDER.glob("[!_]*/table.py")]
    return sorted(found, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def module(name: str) -> ModuleType:
    """Import an experiment."""
    return importlib.import_module(f"experiments.{name}")


def part(name: str, which: str) -> ModuleType | None:
    """Import a module of an experiment's package: claims, figure or table; None where it has none."""
    module = f"experiments.{name}.{which}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


def claims_of(name: str) -> tuple["Claim", ...]:
    """Return an experiment's claims, each directly followed by its caveats; none where it has none."""
    claims: tuple[Claim, ...] = getattr(part(name, "claims"), "CLAIMS", ())
    names = [claim.name for claim in claims]

    def place(claim: "Claim") -> tuple[int, int]:
        own = names.index(claim.name)
        return (names.index(claim.caveat_of), 1 + own) if claim.caveat_of in names else (own, 0)

    return tuple(sorted(claims, key=place))


def heading(name: str) -> str:
    """Write an experiment's name as a heading."""
    words = [_WORDS.get(word, word) for word in name.split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


def title(name: str) -> str:
    """Return the first line of an experiment's docstring, without importing it."""
    return _docstring(name).partition("\n")[0]


def remark(name: str, word: str) -> str:
    """Return the text after a keyword such as `Claim:` in an experiment's docstring, on one line; empty if absent."""
    found = re.search(rf"^{word}: (.*?)(?=^[A-Z]\w*: |\Z)", _docstring(name), re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _docstring(name: str) -> str:
    """Read an experiment's docstring, without importing it."""
    return ast.get_docstring(ast.parse((_FOLDER / name / "__init__.py").read_text(encoding="utf-8"))) or ""
