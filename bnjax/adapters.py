"""A `Model`, a pair of pure functions, from a Flax module, linen or nnx."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn
from flax import nnx
from flax.errors import InvalidRngError
from jax import Array
from jaxtyping import PyTree

from bnjax._host.arguments import checked
from bnjax._host.axes import with_axes
from bnjax._host.programs import Bound, remembered
from bnjax.types import (
    Call,
    Model,
    Rngs,
    Variables,
    check_flag,
    check_moved,
    linen_arguments,
    linen_collections,
    missing_key,
    training_flag,
)


@checked("call")
@remembered
def from_linen(module: nn.Module, call: Call | None = None, *, frozen: bool = False) -> Model:
    """Make a Model from a linen module that is called as `module(x, train=...)` or `module(x)`, or as `call` says.

    The variables are its `params` and its `batch_stats` collections; the latter is empty if the module has no statistics. If
    the module has more collections, they are carried along: `batch_stats` is then the dictionary of all except `params`.
    Tuples to which the module's `sow` appends hold the values of the last call. Equal modules give the same Model, which
    reuses the compiled programs. An axis name that the module sums over, as under pmap, is bound to the only device, unless a
    surrounding vmap or shard_map binds it.

    Args:
        module: any linen module; without `call`, `train` is passed if its call takes it.
        call: runs the module, `call(module, x, train)`, if its training flag has another name, or is an attribute:
            `lambda module, x, train: module.clone(parent=module.scope, train=train)(x)`; or where it takes more than one
            argument: `lambda module, x, train: module(x["tokens"], x["lengths"], train=train)`.
        frozen: no statistic moves in training. Otherwise a module that returns all of them unchanged is refused, since its
            call does not pass on the training flag.

    Returns:
        Model whose `apply` hands `rngs` (such as {"dropout": key}) to the module.

    Raises:
        ValueError: if the module's call has its training flag under another name; when it is applied in training, if it
            moves no statistic; when it is applied, if a random layer such as dropout has no key in `rngs`.

    Example:
        >>> import jax
        >>> from flax import linen as nn
        >>> from bnjax import adapters
        >>> class Net(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, x, is_training=False):
        ...         return nn.BatchNorm(use_running_average=not is_training)(nn.Dense(2)(x))
        >>> model = adapters.from_linen(Net(), lambda module, x, train: module(x, is_training=train))
        >>> x = jax.random.normal(jax.random.key(0), (8, 3))
        >>> outputs, batch_stats = model.apply(model.init(jax.random.key(1), x), x, train=True)
        >>> print(outputs.shape, sorted(batch_stats["BatchNorm_0"]))
        (8, 2) ['mean', 'var']
    """
    if call is None:
        check_flag(module)
    frozen = bool(frozen)

    def init(key: Array, x: PyTree) -> Variables:
        args, options = linen_arguments(module, call, x, False)
        variables = dict(with_axes(lambda: module.init(key, *args, **options)))
        params, batch_stats = variables.pop("params", {}), variables.pop("batch_stats", {})
        return Variables(params, {"batch_stats": batch_stats, **variables} if variables else batch_stats)

    def apply(variables: Variables, x: PyTree, *, train: bool, rngs: Rngs | None = None) -> tuple[Any, PyTree[Array]]:
        rest = linen_collections(variables)
        has_more = isinstance(variables.batch_stats, Mapping) and "batch_stats" in variables.batch_stats
        # In evaluation, statistics do not change, and changes of other collections, such as a cache, are dropped.
        mutable = [name for name in rest if train or name != "batch_stats"]
        args, options = linen_arguments(module, call, x, train)

        def run() -> tuple[Any, PyTree[Array]]:
            try:
                outputs, changed = module.apply(
                    {"params": variables.params, **rest}, *args, rngs=rngs, mutable=mutable, **options
                )
            except InvalidRngError as error:
                raise missing_key(error) from None
            new = {name: _latest(changed.get(name, value), value) for name, value in rest.items()} if train else rest
            if train and not frozen:
                check_moved(module, rest, new)
            return outputs, new if has_more else new["batch_stats"]

        return with_axes(run)

    return Model(init, apply)


def _latest(new: Any, old: Any) -> Any:
    """Cut tuples, to which linen's `sow` appends, to the entries of the last call."""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        cut = {name: _latest(value, old.get(name)) for name, value in new.items()}
        return new if all(cut[name] is new[name] for name in cut) else type(new)(cut)  # pyright: ignore[reportCallIssue]
    is_longer = type(new) is tuple and type(old) is tuple and len(new) > len(old) > 0
    return new[-len(old) :] if is_longer else new


@checked("call")
def from_nnx(module: nnx.Module, call: Call | None = None, *, frozen: bool = False) -> Model:
    """Make a Model from a constructed nnx module that is called as `module(x)` or `module(x, train=...)`, or as `call` says.

    The variables are its `nnx.Param` and its `nnx.BatchStat`, as nested dictionaries of arrays; everything else stays as it is
    in the module. In training the model calls `module.train()` before, in evaluation `module.eval()`, on a copy: the module
    itself never changes. Programs belong to the module's graph: a compiled program, such as a scan, is reused for the same
    module with other values, and for other modules of the same structure, wherever they are adapted. Axis names are as in
    `from_linen`.

    Args:
        module: any nnx module; without `call`, `train` is passed if its call takes it.
        call: runs the module, `call(module, x, train)`, if its training flag has another name:
            `lambda module, x, train: module(x, is_training=train)`.
        frozen: no statistic moves in training. Otherwise a module that returns all of them unchanged is refused, since its
            call does not pass on the training flag.

    Returns:
        Model whose values `variables_of(module)` returns; so does its `init`, for any key. Its `apply` seeds the streams
        that `rngs` names (such as {"dropout": key}), and the module's default stream with the first of them; without `rngs`,
        streams go on from where they are in the module, the same at every call.

    Raises:
        ValueError: if the module's call has its training flag under another name; when it is applied in training, if it
            moves no statistic.

    Example:
        >>> from bnjax import adapters
        >>> from flax import nnx
        >>> module = nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.BatchNorm(2, rngs=nnx.Rngs(0)))
        >>> model, variables = adapters.from_nnx(module), adapters.variables_of(module)
        >>> outputs, batch_stats = model.apply(variables, jnp.ones((4, 3)), train=True)
        >>> print(outputs.shape, sorted(batch_stats["layers"][1]))
        (4, 2) ['mean', 'var']
    """
    if call is None:
        check_flag(module)
    frozen = bool(frozen)
    graphs, states = {}, {}
    for train in (True, False):
        copy = nnx.clone(module)
        (copy.train if train else copy.eval)()
        graphs[train], *states[train] = nnx.split(copy, nnx.Param, nnx.BatchStat, ...)
    start = Variables(*map(nnx.to_pure_dict, states[False][:2]))
    forms = jax.tree.structure(states[True][:2]), jax.tree.structure(states[False][:2])
    apply = _make_apply(graphs[True], graphs[False], call, frozen, *forms)
    return Model(Bound(_start, start), Bound(apply, states[True][2], states[False][2]))


def variables_of(module: nnx.Module) -> Variables:
    """Return the values of an nnx module, in the form that its Model from `from_nnx` takes.

    Args:
        module: any nnx module, as it is now; it does not change.

    Returns:
        Variables: its `nnx.Param` and its `nnx.BatchStat`, as nested dictionaries of arrays.

    Example:
        >>> from bnjax import adapters
        >>> from flax import nnx
        >>> module = nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.BatchNorm(2, rngs=nnx.Rngs(0)))
        >>> params, batch_stats = adapters.variables_of(module)
        >>> print(sorted(params["layers"][0]), sorted(batch_stats["layers"][1]))
        ['bias', 'kernel'] ['mean', 'var']
    """
    params, batch_stats, _ = nnx.split(module, nnx.Param, nnx.BatchStat, ...)[1:]
    return Variables(nnx.to_pure_dict(params), nnx.to_pure_dict(batch_stats))


def _start(start: Variables, key: Array, x: PyTree) -> Variables:
    """Return a module's own variables."""
    return start


@remembered
def _make_apply(training: Any, evaluation: Any, call: Call | None, frozen: bool, *forms: Any) -> Any:
    """Make a function that applies any nnx module of one structure, given the rest of its state."""

    def apply(
        rest: Any, rest_in_evaluation: Any, variables: Variables, x: PyTree, *, train: bool, rngs: Rngs | None = None
    ) -> tuple[Any, PyTree[Array]]:
        return with_axes(lambda: run(rest, rest_in_evaluation, variables, x, train, rngs))

    def run(
        rest: Any, rest_in_evaluation: Any, variables: Variables, x: PyTree, train: bool, rngs: Rngs | None
    ) -> tuple[Any, PyTree[Array]]:
        graph, form, rest = (training, forms[0], rest) if train else (evaluation, forms[1], rest_in_evaluation)
        params, batch_stats = jax.tree.unflatten(form, [0] * form.num_leaves)
        states = [_with_values(s, v) for s, v in ((params, variables.params), (batch_stats, variables.batch_stats))]
        merged: Any = nnx.merge(graph, *states, nnx.clone(rest))
        if rngs:
            reseed: Any = nnx.reseed
            reseed(merged, **{"default": next(iter(rngs.values())), **rngs})
        outputs = merged(x, **training_flag(merged, train)) if call is None else call(merged, x, train)
        changed = nnx.to_pure_dict(nnx.state(merged, nnx.BatchStat)) if train else variables.batch_stats
        if train and not frozen:
            check_moved(merged, variables.batch_stats, changed)
        return outputs, changed

    return apply


def _with_values(state: Any, values: PyTree[Array]) -> Any:
    """Copy an nnx state with its values replaced."""
    copy = nnx.clone(state)
    nnx.replace_by_pure_dict(copy, values)
    return copy
