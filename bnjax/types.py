"""The basic types of the package: variables, models, batches and loss functions."""

import inspect
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from flax import linen as nn
from flax import nnx
from flax.errors import InvalidRngError
from jax import Array
from jaxtyping import Bool, Float, Inexact, PyTree

Params = PyTree[Array]
LossFn = Callable[[Params], Float[Array, ""]]
Rngs = dict[str, Array]
Call = Callable[[Any, Any, bool], Any]  # runs a Flax module: (module, x, train) to outputs
Number = float | Float[Array, ""]  # which a grid of runs may trace
OR_A_FUNCTION = "or give the probe a function of the parameters"  # suggested by every error about a model


class BatchStats(NamedTuple):
    """Running statistics of one normalised layer, each of shape (features,); of complex features, the mean is complex."""

    mean: Inexact[Array, " features"]
    var: Float[Array, " features"]


class Variables(NamedTuple):
    """All arrays of a model: the parameters, and the statistics of the normalisers.

    For a linen module with more collections than these two, `batch_stats` is a dictionary by name of all except the parameters:
    {"batch_stats": ..., "cache": ...}.
    """

    params: Params
    batch_stats: PyTree[Array]


class Batch(NamedTuple):
    """Examples as a model and a loss take them.

    Attributes:
        inputs: with examples along axis 0; an array, or a pytree of them for a model that takes several.
        labels: a class per example, or per token of each, (examples, tokens); or regression targets; or any pytree that a
            custom loss takes.
        mask: True for the examples, or tokens, that count in losses and accuracies; None is all.
    """

    inputs: PyTree
    labels: PyTree
    mask: Bool[Array, "examples *tokens"] | None = None


def count_examples(inputs: PyTree) -> int:
    """Return how many examples the arrays of a batch's inputs or labels have along axis 0; 0 if there are none.

    Example:
        >>> from bnjax import types
        >>> types.count_examples({"tokens": jnp.ones((4, 7)), "lengths": jnp.ones(4)})
        4
    """
    return next((len(leaf) for leaf in jax.tree.leaves(inputs) if np.ndim(leaf)), 0)


class InitFn(Protocol):
    """Draws a model's variables for inputs like `x`."""

    def __call__(self, key: Array, x: PyTree) -> Variables:
        """Draw them from `key`."""
        ...


class ApplyFn(Protocol):
    """Maps inputs to (outputs, new batch_stats); without `train` the batch_stats are returned unchanged."""

    def __call__(
        self, variables: Variables, x: PyTree, *, train: bool, rngs: Rngs | None = None
    ) -> tuple[Any, PyTree[Array]]:
        """Compute outputs; `rngs` holds keys of random layers by name."""
        ...


class Model(NamedTuple):
    """A model as a pair of pure functions."""

    init: InitFn
    apply: ApplyFn


@jax.tree_util.register_static
@dataclass(frozen=True)
class ObjectiveInfo:
    """How a loss function was made; a pytree without leaves, so that results under jit and vmap can carry it.

    Attributes:
        statistics: the statistics that normalisers use: a mode of `objective.make_loss_fn`, or "unknown".
        batch_size: how many examples go through the model together; 0 is unknown. With the batch's own statistics the loss
            of a data set depends on how it is cut into batches.
        num_examples: how many examples the loss averages over; 0 is unknown.
        cut: where batches differ in size, pairs (how many batches, of how many examples), the most frequent first; else empty.
        precision: of products that do not name one themselves, in the probe that evaluated the loss: "default", "high",
            "highest", or one of JAX's algorithms; "unknown" if no probe has evaluated the loss.
        platform: of that evaluation, "cpu", "gpu" or "tpu". On a CPU every precision is float32's.
    """

    statistics: str = "unknown"
    batch_size: int = 0
    num_examples: int = 0
    cut: Sequence[Sequence[int]] = ()
    precision: str = "unknown"
    platform: str = "unknown"

    def __post_init__(self):
        object.__setattr__(self, "cut", tuple(map(tuple, self.cut)))


def objective_info(loss_fn: Any) -> ObjectiveInfo:
    """Return the `info` that `objective.make_loss_fn` leaves on its loss functions, or unknown for any other.

    Example:
        >>> from bnjax import Batch, adapters, objective, types
        >>> from flax import linen as nn
        >>> loss_fn = objective.make_loss_fn(adapters.from_linen(nn.Dense(2)), {}, Batch(jnp.ones((4, 3)), jnp.zeros(4, int)))
        >>> print(types.objective_info(loss_fn).num_examples, types.objective_info(jnp.sum).statistics)
        4 unknown
    """
    return getattr(loss_fn, "info", ObjectiveInfo())


def training_flag(module: Any, train: bool) -> dict[str, Any]:
    """Return `train` as a keyword if a Flax module, or a Sequential's first layer, takes it, or, in linen, any keyword.

    Example:
        >>> from bnjax import models, types
        >>> from flax import linen as nn
        >>> print(types.training_flag(models.MLP(models.MLPConfig()), True), types.training_flag(nn.Dense(2), True))
        {'train': True} {}
    """
    if not callable(module):
        raise ValueError(f"module must be a Flax module, got {type(module).__name__}.")
    parameters = inspect.signature(module).parameters
    if "train" in parameters:
        return {"train": train}
    if isinstance(module, nn.Sequential | nnx.Sequential):
        return training_flag(module.layers[0], train) if module.layers else {}
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return {"train": train} if takes_all and isinstance(module, nn.Module) else {}


def linen_arguments(
    module: nn.Module, call: Call | None, x: PyTree, train: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments and options with which a linen module is initialised or applied, directly or by `call`.

    Example:
        >>> from bnjax import types
        >>> from flax import linen as nn
        >>> types.linen_arguments(nn.Dense(2), None, "x", True)
        (('x',), {})
    """
    return ((x,), training_flag(module, train)) if call is None else ((x, train), {"method": call})


def linen_collections(variables: Variables) -> dict[str, PyTree]:
    """Return linen's collections but `params`, of which `batch_stats` holds one or, where there are more, a dictionary.

    Example:
        >>> from bnjax import Variables, types
        >>> stats, cache = {"mean": jnp.zeros(2)}, {"size": jnp.ones(())}
        >>> print(*types.linen_collections(Variables({}, stats)))
        batch_stats
        >>> print(*types.linen_collections(Variables({}, {"batch_stats": stats, "cache": cache})))
        batch_stats cache
    """
    stats = variables.batch_stats
    return dict(stats) if isinstance(stats, Mapping) and "batch_stats" in stats else {"batch_stats": stats}


def missing_key(error: InvalidRngError) -> ValueError:
    """Convert Flax's error for a missing key to one that names the argument with the keys of random layers.

    Example:
        >>> from bnjax import types
        >>> from flax import errors
        >>> from flax import linen as nn
        >>> try:
        ...     nn.Dropout(0.5, deterministic=False).apply({}, jnp.ones(2))
        ... except errors.InvalidRngError as error:
        ...     print(str(types.missing_key(error))[:62])
        rngs must hold a key for 'dropout', from which the module draw
    """
    needed = re.search(r'(\w+) needs PRNG for "(.*?)"', str(error))
    layer, name = needed.groups() if needed else ("None", "dropout")
    layer = "the module" if layer == "None" else layer  # Flax names the outermost module None
    return ValueError(
        f"rngs must hold a key for {name!r}, from which {layer} draws: give rngs={{{name!r}: jax.random.key(0)}}, or "
        f"name it in train.Trainer(streams=...), {OR_A_FUNCTION}."
    )


def check_flag(module: Any) -> None:
    """Raise if the training flag of a module's call has another name than `train`, since its meaning cannot be guessed.

    Example:
        >>> from bnjax import types
        >>> from flax import linen as nn
        >>> class Net(nn.Module):
        ...     def __call__(self, x, is_training=False):
        ...         return x
        >>> try:
        ...     types.check_flag(Net())
        ... except ValueError as error:
        ...     print(str(error)[:69])
        module must call its flag of training train, got Net with is_training
    """
    parameters = inspect.signature(module).parameters
    if "train" in parameters:
        return
    if isinstance(module, nn.Sequential | nnx.Sequential):
        for layer in module.layers[:1]:
            check_flag(layer)
    values = {
        "training": "train",
        "is_training": "train",
        "deterministic": "not train",
        "use_running_average": "not train",
    }
    for name, value in values.items():
        # NOTE: Flax's own layers default to None, and then follow their attribute.
        if name in parameters and parameters[name].default is not None:
            raise ValueError(
                f"module must call its flag of training train, got {type(module).__name__} with {name}: give "
                f"call=lambda module, x, train: module(x, {name}={value}), {OR_A_FUNCTION}."
            )


def check_moved(module: Any, old: PyTree[Array], new: PyTree[Array], otherwise: str = "frozen=True") -> None:
    """Raise if training returned every statistic as the same object: the module did not get the training flag.

    Example:
        >>> from bnjax import types
        >>> from flax import linen as nn
        >>> stats = {"mean": jnp.zeros(2)}
        >>> types.check_moved(nn.Dense(2), stats, {"mean": jnp.ones(2)})
        >>> try:
        ...     types.check_moved(nn.Dense(2), stats, stats)
        ... except ValueError as error:
        ...     print(str(error)[:43])
        module must move its statistics in training
    """
    before, after = jax.tree.leaves(old), jax.tree.leaves(new)
    if before and len(before) == len(after) and all(map(operator.is_, before, after)):
        raise ValueError(
            f"module must move its statistics in training, got {type(module).__name__}, which gives all of them back as they "
            "were: give call=lambda module, x, train: ..., which hands train to the module's own flag, or "
            f"{otherwise} where no statistic is to move, {OR_A_FUNCTION}."
        )
