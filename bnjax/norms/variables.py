"""Read and write the variables of a whole model in any of their forms."""

from collections.abc import Mapping
from typing import Any

from flax import nnx

from bnjax._host.kinds import holds_arrays
from bnjax.types import Variables

# Variables, a dictionary of collections as linen has them, or an nnx module that holds its own.
AnyVariables = Variables | Mapping[str, Any] | nnx.Module


def read_variables(variables: Any) -> Variables:
    """Take parameters and statistics out of Variables, a dictionary of linen's collections, or an nnx module.

    Further collections of a dictionary are carried along as `Variables` does: in `batch_stats`, beside that of the same name.

    Raises:
        ValueError: if it is something else.
    """
    if isinstance(variables, Variables):
        return variables
    if isinstance(variables, nnx.Module):
        return Variables(*(nnx.to_pure_dict(nnx.state(variables, kind)) for kind in (nnx.Param, nnx.BatchStat)))
    if not isinstance(variables, Mapping) or not {"params", "batch_stats"} & {*variables}:
        rule = "variables must be Variables, a dictionary with params and batch_stats, or an nnx module"
        got = f"a {type(variables).__name__}" + (
            f" of {', '.join(variables)}" if isinstance(variables, Mapping) else ""
        )
        raise ValueError(f"{rule}, got {got}.")
    more, stats = _further(variables), variables.get("batch_stats", {})
    return Variables(variables.get("params", {}), {"batch_stats": stats, **more} if more else stats)


def write_variables(new: Variables, like: Any) -> Any:
    """Return new parameters and statistics in the form of `like`; its other collections stay.

    For a module, which is not changed, they are returned as Variables.
    """
    if not isinstance(like, Mapping):
        return new
    stats = new.batch_stats["batch_stats"] if _further(like) else new.batch_stats
    return {**like, "params": new.params, "batch_stats": stats}


def _further(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Select linen's collections of arrays other than parameters and statistics; a user's own entries are none."""
    others = {name: tree for name, tree in variables.items() if name not in ("params", "batch_stats")}
    return {name: tree for name, tree in others.items() if isinstance(tree, Mapping) and holds_arrays(tree)}
