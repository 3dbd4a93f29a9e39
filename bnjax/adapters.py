"""A `Model`, a pair of pure functions, from a Flax module, linen or nnx."""

import inspect
from typing import Any

import jax
from flax import linen as nn
from flax import nnx
from jax import Array
from jaxtyping import PyTree

from bnjax._host.programs import Bound, remembered
from bnjax.types import Model, Rngs, Variables, training_flag


@remembered
def from_linen(module: nn.Module) -> Model:
    """Make a Model from a linen module that is called as `module(x, train=...)` or `module(x)`.

    The variables are its `params` and its `batch_stats` collections; the latter is empty where nothing is remembered. Equal
    modules give the same Model, so that what is compiled for one is there for the next.

    Args:
        module: any linen module; `train` goes to those whose call takes it.

    Returns:
        Model whose `apply` hands `rngs` (such as {"dropout": key}) to the module.

    Raises:
        ValueError: if the module's call has its flag of training under another name.
    """
    _check_flag(module)

    def init(key: Array, x: Array) -> Variables:
        variables = module.init(key, x, **training_flag(module, False))
        return Variables(variables.get("params", {}), variables.get("batch_stats", {}))

    def apply(variables: Variables, x: Array, *, train: bool, rngs: Rngs | None = None) -> tuple[Array, PyTree[Array]]:
        collections = {"params": variables.params, "batch_stats": variables.batch_stats}
        mutable = ["batch_stats"] if train else []
        outputs, changed = module.apply(collections, x, rngs=rngs, mutable=mutable, **training_flag(module, train))
        return outputs, changed.get("batch_stats", variables.batch_stats)

    return Model(init, apply)


def from_nnx(module: nnx.Module) -> Model:
    """Make a Model from a constructed nnx module that is called as `module(x)` or `module(x, train=...)`.

    The variables are its `nnx.Param` and its `nnx.BatchStat`, as nested dictionaries of arrays; everything else stays as it is
    in the module. In training the model calls `module.train()` before, in evaluation `module.eval()`, on a copy: the module
    itself never changes. Programs belong to the module's graph: what is compiled once, such as a scan, is there for the same
    module with other values, and for others of the same structure, wherever they are adapted.

    Args:
        module: any nnx module; `train` goes to those whose call takes it.

    Returns:
        Model whose `init` gives the module's own variables, whatever the key, and whose `apply` seeds the streams that `rngs`
        names (such as {"dropout": key}), and the module's default stream with the first of them; without `rngs`, streams go
        on from where they are in the module, the same at every call.

    Raises:
        ValueError: if the module's call has its flag of training under another name.
    """
    _check_flag(module)
    graphs, states = {}, {}
    for train in (True, False):
        copy = nnx.clone(module)
        (copy.train if train else copy.eval)()
        graphs[train], *states[train] = nnx.split(copy, nnx.Param, nnx.BatchStat, ...)
    start = Variables(*map(nnx.to_pure_dict, states[False][:2]))
    forms = jax.tree.structure(states[True][:2]), jax.tree.structure(states[False][:2])
    apply = _make_apply(graphs[True], graphs[False], *forms)
    return Model(Bound(_start, start), Bound(apply, states[True][2], states[False][2]))


def _start(start: Variables, key: Array, x: Array) -> Variables:
    """Give a module's own variables."""
    return start


@remembered
def _make_apply(training: Any, evaluation: Any, *forms: Any) -> Any:
    """Make a function that applies every nnx module of a structure, given all that is neither a parameter nor a statistic."""

    def apply(
        rest: Any, rest_in_evaluation: Any, variables: Variables, x: Array, *, train: bool, rngs: Rngs | None = None
    ) -> tuple[Array, PyTree[Array]]:
        graph, form, rest = (training, forms[0], rest) if train else (evaluation, forms[1], rest_in_evaluation)
        params, batch_stats = jax.tree.unflatten(form, [0] * form.num_leaves)
        states = [_with_values(s, v) for s, v in ((params, variables.params), (batch_stats, variables.batch_stats))]
        merged: Any = nnx.merge(graph, *states, nnx.clone(rest))
        if rngs:
            reseed: Any = nnx.reseed
            reseed(merged, **{"default": next(iter(rngs.values())), **rngs})
        outputs = merged(x, **training_flag(merged, train))
        changed = nnx.to_pure_dict(nnx.state(merged, nnx.BatchStat)) if train else variables.batch_stats
        return outputs, changed

    return apply


def _check_flag(module: Any) -> None:
    """Raise where a call's flag of training has another name than `train`: what it says in training cannot be guessed."""
    parameters = inspect.signature(module).parameters
    if "train" in parameters:
        return
    if isinstance(module, nn.Sequential | nnx.Sequential):
        for layer in module.layers[:1]:
            _check_flag(layer)
    for name in ("training", "is_training", "deterministic", "use_running_average"):
        # NOTE: by default Flax's own layers take None, and do as their attribute says.
        if name in parameters and parameters[name].default is not None:
            raise ValueError(
                f"module must call its flag of training train, got {type(module).__name__} with {name}: rename it, or "
                "write the model as a pair of functions (init, apply)."
            )


def _with_values(state: Any, values: PyTree[Array]) -> Any:
    """Copy an nnx state with other values."""
    copy = nnx.clone(state)
    nnx.replace_by_pure_dict(copy, values)
    return copy
