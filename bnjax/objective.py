"""Loss functions of the parameters alone: the only place where a model meets a probe."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx, struct
from jax import Array
from jaxtyping import Float, PyTree

from bnjax._host.arguments import checked
from bnjax._host.kinds import Rule, holds_arrays
from bnjax._host.programs import Bound, bound, run
from bnjax._host.trees import common_type, dot, is_known, linear_part
from bnjax.losses import Loss, check_classes, check_one_array, get_loss, loss_of_each, total
from bnjax.norms.population import pooled_statistics
from bnjax.types import OR_A_FUNCTION, Batch, LossFn, Model, ObjectiveInfo, Params, Rngs, Variables, count_examples

Statistics = Literal["batch", "running", "recalibrated"]


class Objective(struct.PyTreeNode):
    """A loss as a function of the parameters, on fixed data with fixed running statistics.

    It is a pytree: compiled code takes it as an argument, so that a new batch does not compile again. Called outside of
    compiled code it is compiled once, too.
    """

    batch_stats: PyTree
    batch: PyTree  # a Batch, or a tuple of Batches that stack batches of one size
    rngs: PyTree
    l2: PyTree  # None is no penalty
    model: PyTree  # a Model, whose functions are made pytrees
    loss: Loss = struct.field(pytree_node=False)
    statistics: Statistics = struct.field(pytree_node=False)

    def __post_init__(self):
        if isinstance(self.model, Model):
            object.__setattr__(self, "model", Model(*(bound(fn) if callable(fn) else fn for fn in self.model)))

    def __call__(self, params: Params) -> Float[Array, ""]:
        """Evaluate the loss; new statistics are dropped."""
        value = run(Objective._evaluate, (), (self, params), owner=self.model.apply)
        # NOTE: an invalid label makes the loss NaN; evaluated again with concrete values, the loss raises and names it.
        return self._evaluate(params) if is_known(value) and np.isnan(value) else value

    def _evaluate(self, params: Params) -> Float[Array, ""]:
        """Evaluate the loss as part of a program."""
        variables = Variables(params, self.batch_stats)
        if self.statistics == "recalibrated":
            inputs = [group.inputs for group in self._groups]
            variables = Variables(params, pooled_statistics(self.model, variables, inputs, self.rngs))

        def add_up(batch: Batch) -> tuple[Array, Array]:
            train = self.statistics == "batch"
            outputs, _ = self.model.apply(variables, batch.inputs, train=train, rngs=self.rngs)
            return _add_losses(self.loss, outputs, batch)

        sums, counts = zip(*(_sum_over(add_up, group) for group in self._groups), strict=True)
        data_loss = jnp.asarray(sum(sums) / sum(counts))
        dtype = common_type(data_loss.dtype, jnp.float32)
        if self.l2 is None:
            return data_loss.astype(dtype)
        penalty = 0.5 * self.l2 * dot(params, params)
        return data_loss.astype(dtype) + penalty.astype(dtype)

    @property
    def _groups(self) -> tuple[Batch, ...]:
        """The data as stacks of batches."""
        return (jax.tree.map(lambda leaf: leaf[None], self.batch),) if isinstance(self.batch, Batch) else self.batch

    @property
    def info(self) -> ObjectiveInfo:
        """How this loss was made."""
        is_one = isinstance(self.batch, Batch)
        stacks = [(1, count_examples(self.batch.inputs))] if is_one else [_stacked(group) for group in self.batch]
        nums: Counter[int] = Counter()  # of batches, by their size
        for num, size in stacks:
            nums[size] += num
        cut = sorted(((num, size) for size, num in nums.items()), reverse=True) if len(nums) > 1 else ()
        num_examples = sum(num * size for size, num in nums.items())
        return ObjectiveInfo(self.statistics, nums.most_common(1)[0][0], num_examples, tuple(cut))


def _add_losses(loss: Loss, outputs: Any, batch: Batch) -> tuple[Array, Array]:
    """Sum the losses of a batch, and count the examples or tokens."""
    losses = loss_of_each(loss, outputs, batch, or_mean=True)
    if losses.shape:
        return total(losses, batch.mask)
    num = count_examples(batch.inputs)
    return total(losses[None] * num, None)[0], jnp.asarray(num, common_type(losses.dtype, jnp.float32))


def _stacked(group: Batch) -> tuple[int, int]:
    """Return how many batches are stacked, and how many examples each has."""
    return next(leaf.shape[:2] for leaf in jax.tree.leaves(group.inputs))


def _sum_over(add_up: Callable[[Batch], tuple[Array, Array]], group: Batch) -> tuple[Array, Array]:
    """Sum over a stack of batches, one after another; the backward pass keeps one batch's activations at a time."""
    if _stacked(group)[0] == 1:
        return add_up(jax.tree.map(lambda leaf: leaf[0], group))
    return jax.tree.map(jnp.sum, jax.lax.map(jax.checkpoint(add_up), group))


def _stack(batches: Sequence[Batch]) -> tuple[Batch, ...]:
    """Stack batches of the same shapes, the largest stack first."""
    groups: dict[tuple, list[Batch]] = {}
    for batch in batches:
        leaves, form = jax.tree.flatten(batch)
        groups.setdefault((form, *map(jnp.shape, leaves)), []).append(batch)
    return tuple(
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *same)
        for same in sorted(groups.values(), key=len, reverse=True)
    )


@checked("batch_stats", "rngs", "l2", model=None, batch=None, rngs=Rule("keys in a dictionary", holds_arrays))
def make_loss_fn(
    model: Model | tuple[Callable[..., Any], Callable[..., Any]],
    batch_stats: PyTree[Array],
    batch: Batch | Iterable[Batch],
    *,
    loss: Loss = "cross_entropy",
    statistics: Statistics = "batch",
    rngs: Rngs | None = None,
    l2: float | Float[Array, ""] = 0.0,
) -> Objective:
    """Make a loss function of the parameters alone, with everything else bound.

        loss_fn(params) = mean over all examples of loss(model(inputs), labels) + l2 / 2 * |params|²

    Several batches, such as a whole data set, go through the model one after another; each example has equal weight, even if
    the last batch is smaller. If labels are (examples, tokens), the mean is over tokens, equally weighted; a mask selects the
    tokens that count. With the batch's own statistics the loss depends on how the data are cut into batches.

    Args:
        model: pure functions, a Model or a pair (init, apply); see `adapters` for making one.
        batch_stats: running statistics.
        batch: the examples to average over, in one Batch or several.
        loss: name of a loss in `losses`; or a function of outputs and labels, each of any structure, which returns the loss of
            each example, (examples,) or (examples, tokens), or their mean, (). A newly created function is compiled again.
        statistics: "batch" normalises with the batch's own statistics at every point, "running" with `batch_stats`, and
            "recalibrated" with the statistics of all the data, pooled over its batches again at every point, as
            `norms.recalibrate` does; derivatives pass through them. The loss is NaN where that function raises because of the
            statistics' values.
        rngs: keys for random layers, such as {"dropout": key}; the same at every point, so that the loss is a function.
        l2: strength of the L2 penalty, for landscapes of the total loss.

    Returns:
        A function of the parameters, which is also a pytree.

    Raises:
        ValueError: if `loss` or `statistics` is unknown, `model` is not a pair of functions, `batch` is not a Batch, has no
            example, or lacks a label for one, or a class is below 0; when it is called, if labels and outputs have shapes
            that do not fit, or, outside of compiled code, a class is too large (inside, that makes the loss NaN), or
            statistics cannot be "recalibrated", or not with a derivative, because of the model's normaliser.

    Example:
        >>> from flax import linen as nn
        >>> from bnjax import Batch, adapters, objective
        >>> model, x = adapters.from_linen(nn.Dense(2)), jnp.ones((4, 3))
        >>> params, batch_stats = model.init(jax.random.key(0), x)
        >>> loss_fn = objective.make_loss_fn(model, batch_stats, Batch(x, jnp.zeros((4, 2))), loss="squared_error")
        >>> print(loss_fn(jax.tree.map(jnp.zeros_like, params)))
        0.0
    """
    if not callable(loss):
        get_loss(loss)
    if statistics not in get_args(Statistics):
        raise ValueError(f"statistics must be one of {', '.join(get_args(Statistics))}, got {statistics!r}.")
    batches = _check_batches(batch)
    if not callable(loss):
        for item in batches:
            check_one_array(loss, item.labels)
    for item in batches if loss == "cross_entropy" else ():
        check_classes(item.labels, None, item.mask)
    data = batch if isinstance(batch, Batch) else _stack(batches)
    # A penalty of 0 would read all parameters, in every gradient.
    penalty = None if isinstance(l2, float | int) and l2 == 0 else jnp.asarray(l2, float)
    return Objective(batch_stats, data, rngs, penalty, _check_model(model), loss, statistics)


@checked()
def linearise(loss_fn: LossFn, params: Params) -> Objective:
    """Linearise a model's outputs in its parameters: the Hessian of the new loss is the Gauss-Newton matrix.

        loss(f(w_0) + J (w - w_0)), of which value and gradient at w_0 stay as they are

    Its Hessian at w_0 is that of `probes.curvature.gauss_newton`, for the cross-entropy of logits the Fisher information
    matrix. An L2 penalty adds its own l2 * I.

    Args:
        loss_fn: from `make_loss_fn`, with statistics "batch" or "running".
        params: w_0, where the outputs are linearised, and where curvature is to be measured.

    Returns:
        A function of the parameters, as `make_loss_fn` returns.

    Raises:
        ValueError: if the loss is another function, or has statistics that are "recalibrated" at each point, or a parameter
            is not a floating-point array, or there are none.

    Example:
        >>> from flax import linen as nn
        >>> from bnjax import Batch, adapters, objective, probes
        >>> model, x = adapters.from_linen(nn.Dense(2)), jnp.ones((4, 3))
        >>> params, batch_stats = model.init(jax.random.key(0), x)
        >>> loss_fn = objective.make_loss_fn(model, batch_stats, Batch(x, jnp.arange(4) % 2))
        >>> fisher = objective.linearise(loss_fn, params)
        >>> top = probes.curvature.top_eigenpairs(fisher, params, key=jax.random.key(1)).eigenvalues
        >>> top.shape
        (1,)
    """
    if not isinstance(loss_fn, Objective):
        name = type(loss_fn).__name__
        raise ValueError(
            f"loss_fn must be from objective.make_loss_fn, got {name}: give probes.curvature.gauss_newton your outputs."
        )
    if loss_fn.statistics == "recalibrated":
        raise ValueError(
            "loss_fn must have statistics 'batch' or 'running', got 'recalibrated', of which it has no outputs."
        )
    leaves = jax.tree.leaves(params)
    if not leaves or not all(hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        kinds = {str(getattr(leaf, "dtype", type(leaf).__name__)) for leaf in leaves}
        raise ValueError(f"params must be a tree of floating-point arrays, got {', '.join(sorted(kinds)) or 'none'}.")
    model = Model(loss_fn.model.init, Bound(_apply_linearised, loss_fn.model.apply, params))
    return loss_fn.replace(model=model)


def _apply_linearised(
    apply: Callable[..., Any], start: Params, variables: Variables, inputs: PyTree, *, train: bool, rngs: Any = None
) -> tuple[Any, PyTree]:
    """Apply a model whose outputs are linear in the parameters."""

    def outputs(params: Params) -> Any:
        return apply(Variables(params, variables.batch_stats), inputs, train=train, rngs=rngs)[0]

    # NOTE: no loss reads the statistics, so they are returned unchanged.
    return linear_part(outputs, start, variables.params), variables.batch_stats


def _check_model(model: Any) -> Model:
    """Return a Model or a pair of functions as a Model; for a module, raise an error that names its adapter."""
    for module, kind in ((nn.Module, "linen"), (nnx.Module, "nnx")):
        if isinstance(model, module):
            name = type(model).__name__
            raise ValueError(
                f"model must be a Model: write adapters.from_{kind}(module), got the {kind} module {name}; {OR_A_FUNCTION}."
            )
    if isinstance(model, Model):
        return model
    if not (isinstance(model, tuple) and len(model) == 2 and all(map(callable, model))):
        kind = type(model).__name__
        raise ValueError(f"model must be a Model or a pair of functions (init, apply), got {kind}; {OR_A_FUNCTION}.")
    return Model(*model)


def _check_batches(batch: Any) -> list[Batch]:
    """List the batches; raise unless each has at least one example, and a label for each of its examples."""
    batches = []
    for item in batch if isinstance(batch, Iterable) and not isinstance(batch, Batch) else (batch,):
        if not isinstance(item, Batch):
            kind = type(item).__name__ if item is batch else f"{type(batch).__name__} of {type(item).__name__}"
            raise ValueError(f"batch must be a Batch or a sequence of them: write Batch(inputs, labels), got {kind}.")
        num, inputs, labels = count_examples(item.inputs), _shapes(item.inputs), _shapes(item.labels)
        if not num:
            raise ValueError(f"batch must have at least one example, got inputs of shape {inputs}.")
        if any(jnp.shape(leaf)[:1] != (num,) for leaf in jax.tree.leaves(item.inputs)):
            raise ValueError(
                f"batch must have the examples along axis 0 of all its inputs, got shapes {inputs}: bind what belongs to no "
                f"example in call=, {OR_A_FUNCTION}."
            )
        if any(jnp.shape(leaf)[:1] != (num,) for leaf in jax.tree.leaves(item.labels)):
            raise ValueError(
                f"batch must have a label for each example, got labels of shape {labels} for inputs of shape {inputs}."
            )
        of_one = next(iter(jax.tree.leaves(item.labels)), item.inputs)
        if item.mask is not None and jnp.shape(item.mask) != jnp.shape(of_one)[: jnp.ndim(item.mask)]:
            raise ValueError(
                f"batch must have a mask with an entry per example or token, got one of shape {jnp.shape(item.mask)} "
                f"for labels of shape {labels}."
            )
        batches.append(item)
    if not batches:
        raise ValueError("batch must be a Batch or a sequence of them, got none.")
    return batches


def _shapes(tree: PyTree) -> Any:
    """Return the shape of an array, or those of a pytree's arrays by their place in it."""
    shapes = jax.tree.map(jnp.shape, tree)
    return shapes if jax.tree_util.all_leaves([tree]) else str(shapes)
