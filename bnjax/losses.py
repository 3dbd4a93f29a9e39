"""Losses and accuracy of each example or token, and their mean over the unmasked ones."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Integer, Num, Shaped

from bnjax._host.arguments import checked
from bnjax._host.trees import common_type, is_known
from bnjax.types import OR_A_FUNCTION, Batch, count_examples

Loss = str | Callable[[Any, Any], Array]


@checked()
def cross_entropy(
    logits: Float[Array, "*examples classes"], labels: Integer[Array, "*examples"]
) -> Float[Array, "*examples"]:
    """Compute -log softmax(logits)[label], in nats, for each example, or each token of each example.

    Args:
        logits: (examples, classes) or (examples, tokens, classes).
        labels: numbers of classes, from 0 to classes - 1, in the shape of the logits without their last axis.

    Returns:
        Losses in the shape of the labels. Inside compiled code, where values cannot be checked, the loss and the gradient of a
        label that is not a class are NaN.

    Raises:
        ValueError: if the shapes do not fit, or a concrete label is not a class.

    Example:
        >>> from bnjax import losses
        >>> losses.cross_entropy(jnp.zeros((2, 3, 4)), jnp.array([[0, 1, 2], [3, 0, 1]])).shape
        (2, 3)
    """
    if labels.shape != logits.shape[:-1]:
        way_out = ": give labels.argmax(axis=-1), or a loss of your own" if labels.shape == logits.shape else ""
        rule = "labels must be numbers of classes, one per example or token"
        raise ValueError(f"{rule}, {_got(logits, labels)}{way_out}.")
    num_classes = logits.shape[-1]
    check_classes(labels, num_classes)
    if jnp.iinfo(labels.dtype).bits < 32:
        labels = labels.astype(jnp.int32)  # in 8 bits, 256 classes would be none
    is_class = (labels >= 0) & (labels < num_classes)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(is_class, labels, 0))
    return losses * jnp.where(is_class, 1, jnp.nan).astype(losses.dtype)


@checked()
def squared_error(
    outputs: Float[Array, "*examples outputs"], targets: Num[Array, "*examples outputs"]
) -> Float[Array, "*examples"]:
    """Compute half the squared distance between output and target, for each example, or each token of each example.

    Args:
        outputs: (examples, outputs) or (examples, tokens, outputs). This function takes (outputs,) as one
            example. A model may also return one output per example, (examples,), if `make_loss_fn` or `Trainer` gets the name
            of the loss.
        targets: in the shape of the outputs.

    Returns:
        Losses in that shape without its last axis.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> from bnjax import losses
        >>> print(losses.squared_error(jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 4.0]])))
        [2.]
    """
    if targets.shape != outputs.shape:
        raise ValueError(f"labels must have the shape of the outputs, {_got(outputs, targets)}.")
    return 0.5 * jnp.sum(jnp.square(outputs - targets), axis=-1)


@checked()
def is_correct(
    logits: Float[Array, "*examples classes"], labels: Shaped[Array, "*labels"]
) -> Bool[Array, "*examples"] | Float[Array, "*examples"]:
    """Return for each example or token whether the largest logit is the label's, finite, and none is NaN.

    For regression labels, where no answer is correct or wrong, all entries are NaN.

    Example:
        >>> from bnjax import losses
        >>> print(losses.is_correct(jnp.array([[2.0, 1.0], [0.0, 5.0]]), jnp.array([0, 0])))
        [ True False]
    """
    if jnp.issubdtype(labels.dtype, jnp.floating):
        return jnp.full(labels.shape[:-1], jnp.nan)
    if labels.shape != logits.shape[:-1] or not logits.shape[-1]:
        raise ValueError(f"labels must be numbers of classes, one per example or token, {_got(logits, labels)}.")
    is_valid = jnp.isfinite(jnp.max(logits, axis=-1)) & ~jnp.any(jnp.isnan(logits), axis=-1)
    return (jnp.argmax(logits, axis=-1) == labels) & is_valid


@checked()
def count_only(
    outputs: Num[Array, "*examples outputs"], labels: Num[Array, "*labels"], mask: Bool[Array, "*counted"] | None
) -> tuple[Num[Array, "*examples outputs"], Num[Array, "*labels"]]:
    """Zero outputs and labels that are masked out, so that they do not affect any loss or gradient.

    Args:
        outputs: of a model.
        labels: of its examples or tokens; masked-out labels may have any value, such as -1.
        mask: True for examples or tokens that count; None is all.

    Returns:
        (outputs, labels).

    Raises:
        ValueError: if the mask does not fit the outputs.

    Example:
        >>> from bnjax import losses
        >>> outputs, labels = losses.count_only(jnp.ones((2, 1)), jnp.array([3, -1]), jnp.array([True, False]))
        >>> print(outputs.ravel(), labels)
        [1. 0.] [3 0]
    """
    if mask is None:
        return outputs, labels
    if mask.ndim >= outputs.ndim or mask.shape != outputs.shape[: mask.ndim]:
        raise _misfit(mask, "outputs", outputs)
    return jnp.where(_spread(mask, "outputs", outputs), outputs, 0), jnp.where(
        _spread(mask, "labels", labels), labels, 0
    )


@checked()
def total(values: Shaped[Array, "*examples"], mask: Bool[Array, "*counted"] | None) -> tuple[Array, Array]:
    """Sum over the unmasked examples or tokens, and count them.

    Args:
        values: losses, or whether answers are correct, for each example or token.
        mask: as in `count_only`.

    Returns:
        (sum, count), each (), in float32 or better.

    Example:
        >>> from bnjax import losses
        >>> print(*losses.total(jnp.array([1.0, 2.0, 4.0]), jnp.array([True, False, True])))
        5.0 2.0
    """
    values = values.astype(common_type(values.dtype, jnp.float32))
    if mask is None:
        return jnp.sum(values), jnp.asarray(values.size, values.dtype)
    counts = jnp.broadcast_to(_spread(mask, "values", values), values.shape)
    return jnp.sum(jnp.where(counts, values, 0)), jnp.sum(counts, dtype=values.dtype)


@checked()
def average(values: Shaped[Array, "*examples"], mask: Bool[Array, "*counted"] | None = None) -> Float[Array, ""]:
    """Average over the unmasked examples or tokens with equal weights; NaN if there are none.

    Args:
        values: losses, or whether answers are correct, for each example or token.
        mask: as in `count_only`.

    Returns:
        The mean, ().

    Example:
        >>> from bnjax import losses
        >>> print(losses.average(jnp.array([1.0, 2.0, 5.0]), jnp.array([True, False, True])))
        3.0
    """
    if mask is None:
        return jnp.mean(values, dtype=common_type(values.dtype, jnp.float32))
    value, count = total(values, mask)
    return value / count


@checked()
def check_classes(labels: ArrayLike, num_classes: int | None, mask: ArrayLike | None = None) -> None:
    """Raise if an unmasked label with a concrete value is not a class from 0 to num_classes - 1.

    Example:
        >>> from bnjax import losses
        >>> losses.check_classes(jnp.array([0, 2]), 3)
        >>> losses.check_classes(jnp.array([0, 3]), 3)
        Traceback (most recent call last):
            ...
        ValueError: labels must be classes from 0 to 2, got 3; where an example or token does not count, the mask says so.
    """
    if not all(is_known(value) and getattr(value, "is_fully_addressable", True) for value in (labels, mask)):
        return
    labels = np.asarray(labels)
    counts = True if mask is None else _spread(np.asarray(mask), "labels", labels)
    wrong = labels[((labels < 0) | (labels >= (np.inf if num_classes is None else num_classes))) & counts]
    if wrong.size:
        last = "the number of classes - 1" if num_classes is None else num_classes - 1
        way_out = "where an example or token does not count, the mask says so"
        raise ValueError(f"labels must be classes from 0 to {last}, got {wrong[0]}; {way_out}.")


def _spread(mask: Any, name: str, like: Any) -> Any:
    """Append axes to a mask up to the rank of an array, or raise if it does not fit."""
    if mask.dtype != bool:
        raise ValueError(f"mask must hold booleans, True where an example or token counts, got {mask.dtype}.")
    if mask.ndim > like.ndim or any(m not in (1, n) for m, n in zip(mask.shape, like.shape, strict=False)):
        raise _misfit(mask, name, like)
    return mask.reshape(*mask.shape, *(1,) * (like.ndim - mask.ndim))


def _misfit(mask: Any, name: str, like: Any) -> ValueError:
    """Explain that a mask does not fit an array."""
    rule = "mask must have an entry per example, or per token of each"
    return ValueError(f"{rule}, got shape {mask.shape} for {name} of shape {like.shape}.")


def _got(outputs: Array, labels: Array) -> str:
    """Describe two shapes that do not fit."""
    return f"got labels of shape {labels.shape} and outputs of shape {outputs.shape}"


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared_error}


@checked()
def get_loss(name: str):
    """Return the loss of that name.

    Raises:
        ValueError: if there is none.

    Example:
        >>> from bnjax import losses
        >>> losses.get_loss("squared_error") is losses.squared_error
        True
    """
    if name not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {name!r}.")
    return LOSSES[name]


@checked()
def loss_of_each(loss: Loss, outputs: Any, batch: Batch, *, or_mean: bool = False) -> Array:
    """Compute the loss of each example of a batch, or of each of its tokens, by a loss's name or by a function.

    Args:
        loss: name of a loss in this module, which takes an array of outputs, with zeros where the batch's mask leaves them out,
            and outputs (examples,) as one per example; or a function of outputs and labels, each of any structure, which gets
            them as they are.
        outputs: of a model.
        batch: holds the labels and the mask.
        or_mean: a function may return the mean over the examples instead, where the batch has no mask.

    Returns:
        Losses, (examples,) or (examples, tokens), or a mean, ().

    Raises:
        ValueError: if there is no such loss, or it does not fit the outputs, or returns something else.

    Example:
        >>> from bnjax import Batch, losses
        >>> batch = Batch(jnp.ones((2, 3)), {"low": jnp.array([1.0, 2.0])})
        >>> losses.loss_of_each(lambda outputs, labels: outputs - labels["low"], jnp.array([4.0, 4.0]), batch).tolist()
        [3.0, 2.0]
    """
    if not callable(loss):
        own, labels = get_loss(loss), batch.labels
        if not isinstance(outputs, jax.Array):
            raise ValueError(
                f"outputs must be an array for the loss {loss!r}, got {type(outputs).__name__}: give loss=lambda outputs, "
                f"labels: ..., which returns the loss of each example, {OR_A_FUNCTION}."
            )
        check_one_array(loss, labels)
        if own is squared_error and outputs.ndim == 1 and jnp.shape(labels) == outputs.shape:
            outputs, labels = outputs[:, None], labels[:, None]
        return own(*count_only(outputs, labels, batch.mask))
    values, num = jnp.asarray(loss(outputs, batch.labels)), count_examples(batch.inputs)
    if values.shape[:1] == (num,) or (or_mean and not values.shape and batch.mask is None):
        return values
    needs = "each example"
    if batch.mask is not None:
        needs += ", since the batch has a mask" * (not values.shape)
    elif or_mean or not values.shape:
        needs += ", or one number, their mean" if or_mean else ", not their mean"
    raise ValueError(f"loss must return the loss of {needs}, got shape {values.shape} for {num} examples.")


def check_one_array(loss: str, labels: Any) -> None:
    """Raise if the labels of a named loss are several arrays, as for a net with several heads.

    Example:
        >>> from bnjax import losses
        >>> try:
        ...     losses.check_one_array("cross_entropy", {"digit": jnp.arange(2), "is_even": jnp.ones(2)})
        ... except ValueError as error:
        ...     print(str(error)[:69])
        labels must be one array for the loss 'cross_entropy', got dict: give
    """
    has_parts = isinstance(labels, Mapping) or any(np.ndim(leaf) for leaf in jax.tree.leaves(labels))
    if has_parts and not hasattr(labels, "dtype"):
        raise ValueError(
            f"labels must be one array for the loss {loss!r}, got {type(labels).__name__}: give loss=lambda outputs, labels: "
            f"..., which returns the loss of each example, {OR_A_FUNCTION}."
        )


@checked()
def have_classes(outputs: Any, labels: Any) -> bool:
    """Return whether labels are class indices, one for each row of outputs, so that the accuracy is defined.

    Example:
        >>> from bnjax import losses
        >>> print(losses.have_classes(jnp.ones((4, 10)), jnp.arange(4)), losses.have_classes({"mean": 1.0}, jnp.arange(4)))
        True False
    """
    if not all(hasattr(value, "dtype") for value in (outputs, labels)):
        return False
    is_whole = jnp.issubdtype(labels.dtype, jnp.integer)
    return bool(is_whole and outputs.shape[-1:] > (0,) and outputs.shape[:-1] == labels.shape)
