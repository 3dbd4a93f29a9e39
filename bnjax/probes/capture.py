"""Activations of any model's layers, read while it runs."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import cache
from types import new_class
from typing import Any, Literal, get_args

import jax
from flax import linen as nn
from flax import nnx
from flax.errors import InvalidRngError
from jax import Array
from jax.extend.core import get_opaque_trace_state
from jaxtyping import PyTree

from bnjax._host.arguments import checked, having, is_filled
from bnjax._host.kinds import Rule
from bnjax._host.precision import with_precision
from bnjax.probes.paths import named_leaves
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

Where = Literal["inputs", "outputs"]


@checked()
@with_precision
def capture(
    model: Model | nn.Module | nnx.Module | Callable[..., Any],
    variables: Variables | PyTree,
    inputs: PyTree,
    layers: str | Sequence[str] | None = None,
    *,
    where: Where = "outputs",
    train: bool = True,
    rngs: Rngs | None = None,
    call: Call | None = None,
    precision: str | None = None,
) -> dict[str, Array]:
    """Read the inputs or outputs of a model's layers, changing nothing; also works inside compiled code.

    A layer is a module that is called, named by its path in the model: "norm_3", "block/conv", "blocks/0/conv". If it is called
    several times, each call has a number, "cell[0]". Pre-activations are where="outputs" of the module before a nonlinearity.

    Args:
        model: a linen module or a `Model` of one, an nnx module, or a function of (variables, inputs) that calls linen modules
            or returns a dictionary of activations, whose paths then are the names.
        variables: `Variables` or, for a linen module, its collections; for an nnx module, None is its own.
        inputs: as the model takes them.
        layers: names; None is every layer whose value is one array.
        where: "inputs", the first argument of each layer, or "outputs"; without meaning for a dictionary.
        train: with the batch's own statistics, or the running ones. They do not change. A function is not passed this flag.
        rngs: keys of random layers, such as {"dropout": key}; nnx modules have their own.
        call: runs a module, `call(module, x, train)`, as in `adapters.from_linen`; a Model has its own.
        precision: of products, as in `evaluate_points`.

    Returns:
        Activations by name, in the order of `layers`, features last as a layer has them. (JAX sorts the names of a dictionary
        that compiled code returns.)

    Raises:
        ValueError: if `where` or a layer is unknown, or a layer's value cannot be read: it is not one array, or the layer runs
            inside a JAX transformation such as `nn.scan` or `nn.remat`; or if a module's flag of training has another name,
            or, in training, it moves no statistic.

    Example:
        >>> from bnjax import linen, models, probes
        >>> model = models.make_model(models.MLPConfig(hidden=(4,), norm=linen.BatchNorm, num_classes=3))
        >>> x = jax.random.normal(jax.random.key(1), (8, 5))
        >>> found = probes.capture(model, model.init(jax.random.key(0), x), x)
        >>> print({name: value.shape for name, value in found.items()})
        {'dense_1': (8, 4), 'norm_1': (8, 4), 'dense_2': (8, 3)}
    """
    if where not in get_args(Where):
        raise ValueError(f"where must be one of {', '.join(get_args(Where))}, got {where!r}.")
    if isinstance(model, nn.Module | nnx.Module) and call is None:
        check_flag(model)
    recorder = _Recorder(where)
    if isinstance(model, nnx.Module):
        _run_nnx(model, variables, inputs, train, call, recorder)
        found = recorder.found
    else:
        with nn.intercept_methods(recorder.intercept):
            returned = _run(model, variables, inputs, train, rngs, call)
        is_function = not isinstance(model, Model | nn.Module)
        found = named_leaves(dict(returned)) if is_function and isinstance(returned, Mapping) else recorder.found
    if not found:
        hint = "; of an nnx module, pass the module itself, not its Model" if isinstance(model, Model) else ""
        raise ValueError(
            f"model must call Flax layers in sight, or return a dictionary of activations, got {model}{hint}."
        )
    if layers is None:
        return {name: value for name, value in found.items() if isinstance(value, jax.Array)}
    return {name: _find(found, name) for name in ((layers,) if isinstance(layers, str) else layers)}


class _Recorder:
    """Keeps the inputs or outputs of layers while a model runs."""

    def __init__(self, where: Where):
        self.where = where
        self.names: dict[int, str] = {}
        self._calls: dict[str, list[Any]] = {}
        self._running: set[str] = set()  # linen modules, which may call their base class
        self._trace = get_opaque_trace_state()

    def record(self, name: str, arguments: tuple[Any, ...], outputs: Any) -> None:
        """Record one call; inside a transformation, which arrays must not leave, record only that it is inside."""
        is_inside = get_opaque_trace_state() != self._trace
        value = outputs if self.where == "outputs" else next(iter(arguments), None)
        self._calls.setdefault(name, []).append("inside a JAX transformation" if is_inside else value)

    def intercept(self, next_fn: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        """Record a linen module's call."""
        name = "/".join(context.module.path) if context.method_name == "__call__" else ""
        if not name or name in self._running:
            return next_fn(*args, **kwargs)
        self._running.add(name)
        try:
            outputs = next_fn(*args, **kwargs)
        finally:
            self._running.remove(name)
        self.record(name, (*args, *kwargs.values()), outputs)
        return outputs

    @property
    def found(self) -> dict[str, Any]:
        """The captured arrays, by name."""
        return {
            name if len(calls) == 1 else f"{name}[{i}]": value
            for name, calls in self._calls.items()
            for i, value in enumerate(calls)
        }


_active: ContextVar[_Recorder | None] = ContextVar("_active", default=None)


@cache
def _recording(cls: type[nnx.Module]) -> type[nnx.Module]:
    """Make a subclass of an nnx module's class whose calls are recorded."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = cls.__call__(self, *args, **kwargs)
        recorder = _active.get()
        if recorder is not None and id(self) in recorder.names:
            recorder.record(recorder.names[id(self)], (*args, *kwargs.values()), outputs)
        return outputs

    return new_class(cls.__name__, (cls,), exec_body=lambda body: body.update(__call__=call, __module__=cls.__module__))


def _run_nnx(
    module: nnx.Module,
    variables: Variables | None,
    inputs: PyTree,
    train: bool,
    call: Call | None,
    recorder: _Recorder,
) -> None:
    """Run a copy of an nnx module whose layers are recorded."""
    copy = nnx.clone(module)
    for state in variables or ():
        nnx.update(copy, state)
    _ = copy.train() if train else copy.eval()
    modules = {"/".join(map(str, path)): layer for path, layer in nnx.iter_modules(copy) if path and callable(layer)}
    for name, layer in modules.items():
        recorder.names[id(layer)] = name
        layer.__class__ = _recording(type(layer))
    before = nnx.to_pure_dict(nnx.state(copy, nnx.BatchStat))
    token = _active.set(recorder)
    try:
        _ = copy(inputs, **training_flag(module, train)) if call is None else call(copy, inputs, train)
    finally:
        _active.reset(token)
    if train:
        check_moved(module, before, nnx.to_pure_dict(nnx.state(copy, nnx.BatchStat)), "train=False")


@checked(
    variables=having("Variables, as model.init makes them", "params"),
    inputs=Rule(
        "arrays with one or more examples along axis 0", lambda tree: any(map(is_filled, jax.tree.leaves(tree)))
    ),
)
def _run_model(model: Model, variables: Variables, inputs: PyTree, train: bool, rngs: Rngs | None) -> Any:
    """Run a Model; new statistics are dropped."""
    return model.apply(variables, inputs, train=train, rngs=rngs)


def _run(
    model: Any, variables: Variables | PyTree, inputs: PyTree, train: bool, rngs: Rngs | None, call: Call | None
) -> Any:
    """Run a Model, a linen module or a function; new statistics are dropped."""
    if isinstance(model, Model):
        return _run_model(model, variables, inputs, train, rngs)
    if not isinstance(model, nn.Module):
        return model(variables, inputs)
    if isinstance(variables, Variables):
        collections = {"params": variables.params, **linen_collections(variables)}
    else:
        collections = dict(variables)
    mutable = [name for name in sorted({"batch_stats", *collections} - {"params"}) if train or name != "batch_stats"]
    args, options = linen_arguments(model, call, inputs, train)
    try:
        outputs, changed = model.apply(collections, *args, rngs=rngs, mutable=mutable, **options)
    except InvalidRngError as error:
        raise missing_key(error) from None
    if train:
        check_moved(model, collections.get("batch_stats"), changed.get("batch_stats"), "train=False")
    return outputs


def _find(found: Mapping[str, Any], name: str) -> Array:
    """Look up one layer."""
    if name not in found:
        raise ValueError(f"layers must be among {', '.join(found)}, got {name!r}.")
    if not isinstance(found[name], jax.Array):
        state = found[name] if isinstance(found[name], str) else f"of type {type(found[name]).__name__}"
        raise ValueError(f"layers must each have one array, but {name} is {state}.")
    return found[name]
