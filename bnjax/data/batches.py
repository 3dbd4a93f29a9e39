"""A data set on the device, and the batches of any step."""

import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from bnjax._host import digest as digests
from bnjax._host.arguments import checked, whole
from bnjax._host.kinds import TYPES, Rule, holds_arrays
from bnjax._host.programs import compiled_once
from bnjax._host.trees import common_type, is_known
from bnjax.types import Batch

# Digests of data that are still in memory, by their structure and the `id` of their arrays.
_DIGESTS: dict[tuple[Any, ...], str] = {}


class Split(NamedTuple):
    """Examples as they are stored, bytes if they are pictures, and the affine map per channel that preprocesses them.

    Attributes:
        images: with examples along axis 0.
        labels: a class per example or token, or regression targets; or any pytree of arrays with an entry per example, for a
            custom loss.
        scale: factor of each channel.
        offset: added to each channel after that.
        mask: True for the examples or tokens that count in losses and accuracies; None is all.
    """

    images: Shaped[Array, "examples *positions channels"]
    labels: PyTree
    scale: Float[Array, " channels"]
    offset: Float[Array, " channels"]
    mask: Bool[Array, "examples *tokens"] | None = None


class Dataset(NamedTuple):
    """A training and a test split with the same preprocessing."""

    train: Split
    test: Split


@checked()
def digest(dataset: Dataset | Split) -> str:
    """Compute the SHA-256 of a data set's arrays, which identifies the data of a run whatever their name.

    It is computed once, over all bytes, and cached as long as the data are in memory.

    Args:
        dataset: both splits, or one; arrays that this process holds whole.

    Returns:
        64 hexadecimal digits; equal types, shapes and bytes of all arrays have equal ones, in every process.

    Example:
        >>> from bnjax import data
        >>> split = data.from_arrays(jnp.ones((4, 2)), jnp.arange(4))
        >>> data.digest(split) == data.digest(data.from_arrays(jnp.ones((4, 2)), jnp.arange(4)))
        True
    """
    arrays = jax.tree.leaves(dataset)
    if not all(isinstance(array, Array) for array in arrays):  # NumPy arrays are mutable
        return digests.digest(dataset)
    key = (jax.tree.structure(dataset), *map(id, arrays))
    if key not in _DIGESTS:
        _DIGESTS[key] = digests.digest(dataset)
        for array in arrays:
            weakref.finalize(array, _DIGESTS.pop, key, None)
    return _DIGESTS[key]


@checked(labels=Rule("numbers, or arrays in dictionaries or tuples", holds_arrays))
def from_arrays(inputs: ArrayLike, labels: PyTree[ArrayLike], mask: ArrayLike | None = None) -> Split:
    """Make a split of arrays as they are: nothing is preprocessed.

    Args:
        inputs: (examples, *positions, channels), one example or more, numbers of any type. `take_batch` makes them float32,
            which is exact for whole numbers up to 2^24; a model of tokens converts them to integers,
            `adapters.from_linen(module, lambda module, x, train: module(x.astype(int)))`.
        labels: (examples,) or (examples, tokens) classes, or (examples,) or (examples, outputs) numbers; or a pytree of arrays,
            each with an entry per example, for a custom loss.
        mask: booleans, (examples,) or (examples, tokens), True for those that count in losses and accuracies; None is all.

    Returns:
        Split on the default device.

    Raises:
        ValueError: if there is no example, there are not as many labels as inputs, the mask fits no array of the labels, or
            whole numbers do not fit into the type that JAX gives them.

    Example:
        >>> from bnjax import data
        >>> split = data.from_arrays(jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), [0, 1, 0])
        >>> print(split.images.shape, split.labels)
        (3, 2) [0 1 0]
    """
    if isinstance(inputs, Mapping):
        raise ValueError(
            f"inputs must be one array, got {type(inputs).__name__}: give Batch(inputs, labels) to train.train_step."
        )
    images, targets = _as_array("inputs", inputs), _as_arrays(labels)
    leaves = jax.tree.leaves(targets)
    if images.ndim < 2 or not leaves or any(leaf.shape[:1] != images.shape[:1] for leaf in leaves):
        rule = "labels must have one entry for each of the inputs (examples, ..., channels)"
        shapes = ", ".join(str(leaf.shape) for leaf in leaves) or "of no array"
        raise ValueError(f"{rule}, got labels {shapes} and inputs {images.shape}.")
    if not len(images):
        raise ValueError(f"inputs must hold one example or more, got shape {images.shape}.")
    counted = None if mask is None else jnp.asarray(mask)
    if counted is not None and not _fits(counted, leaves):
        rule = "mask must hold booleans, one for each example or token of the labels"
        shapes = " or ".join(dict.fromkeys(str(leaf.shape) for leaf in leaves))
        raise ValueError(f"{rule}, {shapes}, got {counted.dtype} of shape {counted.shape}.")
    channels = images.shape[-1]
    return Split(images, targets, jnp.ones(channels, jnp.float32), jnp.zeros(channels, jnp.float32), counted)


def _fits(mask: Array, labels: list[Array]) -> bool:
    """Return whether a mask has a boolean for each example, or for each token of some array of labels."""
    return mask.dtype == bool and mask.ndim > 0 and any(mask.shape == leaf.shape[: mask.ndim] for leaf in labels)


def _as_arrays(labels: PyTree) -> PyTree[Array]:
    """Convert labels to arrays: lists and tuples of numbers become arrays, dictionaries and tuples of arrays stay."""

    def is_list(node: Any) -> bool:
        return isinstance(node, list)

    leaves = jax.tree.leaves(labels, is_leaf=is_list)
    are_numbers = leaves and not any(is_list(leaf) or np.ndim(leaf) for leaf in leaves)
    convert = partial(_as_array, "labels")
    return convert(labels) if are_numbers else jax.tree.map(convert, labels, is_leaf=is_list)


def _as_array(name: str, value: Any) -> Array:
    """Convert to an array; raise if whole numbers would change."""
    parts = jax.tree.leaves(value)
    if hasattr(value, "__jax_array__") or any(isinstance(part, Array) for part in parts):
        for part in parts:
            if not (part is value or isinstance(part, Array)):
                _as_array(name, part)
        return jnp.asarray(value)
    is_whole = bool(parts) and isinstance(value, list | tuple) and all(isinstance(part, int) for part in parts)
    # As objects, since a type of NumPy may hold none of these whole numbers, or round them.
    known = np.asarray(value, object if is_whole else None)
    dtype = jax.dtypes.canonicalize_dtype(int if is_whole else known.dtype)
    if is_whole or (known.dtype.kind in "iu" and known.dtype != dtype):
        limits = jnp.iinfo(dtype)
        wrong = known[(known < limits.min) | (known > limits.max)]
        if wrong.size:
            way_out = "" if dtype.itemsize == 8 else ", or jax.config.update('jax_enable_x64', True) keeps them"
            raise ValueError(f"{name} must fit into {dtype}{way_out}, got {wrong[0]}.")
    return jnp.asarray(value if known.dtype == object else known)


@checked(batch_size=Rule("a whole number", TYPES[int].holds, is_range=True))
def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Count the whole batches in an epoch; the remaining examples are left out.

    Example:
        >>> from bnjax import data
        >>> data.steps_per_epoch(100, 32)
        3
    """
    if not 1 <= batch_size <= num_examples:
        raise ValueError(f"batch_size must lie between 1 and the {num_examples} examples there are, got {batch_size}.")
    return num_examples // batch_size


@checked(num_steps=whole(0))
def draw_indices(
    key: Array, step: int | Int[Array, ""], *, num_steps: int, num_examples: int, batch_size: int
) -> Int[Array, "num_steps batch_size"]:
    """Draw the examples of `num_steps` successive batches.

    Each epoch is a permutation of its own, drawn from `key` and the epoch's number, and cut into whole batches. The batch of
    a step depends only on the key, the step and the two sizes, not on the first step of the call.

    Args:
        key: of the data order.
        step: the first step, from 0.
        num_steps: how many batches.
        num_examples: size of the split.
        batch_size: examples per batch.

    Returns:
        Indices into the split.

    Raises:
        ValueError: if a batch is larger than the split, or a step that is known exceeds 2^31 - 1.

    Example:
        >>> from bnjax import data
        >>> indices = data.draw_indices(jax.random.key(0), 0, num_steps=2, num_examples=6, batch_size=3)
        >>> print(indices.shape, sorted(indices.ravel().tolist()))  # an epoch, each example once
        (2, 3) [0, 1, 2, 3, 4, 5]
    """
    check_last_step(step, num_steps)
    return _draw_indices(key, step, num_steps=num_steps, num_examples=num_examples, batch_size=batch_size)


def check_last_step(step: int | Array, num_steps: int) -> None:
    """Raise a ValueError if int32 cannot hold the last of some steps, where it is known without waiting."""
    last = 2**31 - max(num_steps, 1)
    if _is_at_hand(step) and int(step) > last:
        raise ValueError(f"step must be at most {last}, so that int32 holds the last of {num_steps} steps, got {step}.")


def _is_at_hand(array: Any) -> bool:
    """Return whether numbers can be read without waiting."""
    is_whole = is_known(array) and getattr(array, "is_fully_addressable", True)
    return bool(is_whole and getattr(array, "is_ready", lambda: True)())


@compiled_once("num_steps", "num_examples", "batch_size")
def _draw_indices(key: Array, step: int | Array, *, num_steps: int, num_examples: int, batch_size: int) -> Array:
    """Draw epoch by epoch."""
    per_epoch = steps_per_epoch(num_examples, batch_size)
    step = jnp.asarray(step, common_type(step, jnp.int32))  # smaller types would wrap
    num_epochs = (num_steps + per_epoch - 2) // per_epoch + 1  # the most that num_steps steps can touch
    first, last = step // per_epoch, (step + num_steps - 1) // per_epoch

    def shuffled(i: Array) -> Array:
        order = jax.random.permutation(jax.random.fold_in(key, i), num_examples)
        return order[: per_epoch * batch_size].reshape(per_epoch, batch_size)

    def epoch(i: Array) -> Array:
        # Shuffling takes as long as many steps of a small net, so epochs that are not touched are skipped.
        return jax.lax.cond(i <= last, shuffled, lambda _: jnp.zeros((per_epoch, batch_size), int), i)

    epochs = jax.lax.map(epoch, first + jnp.arange(num_epochs)).reshape(-1, batch_size)
    return jax.lax.dynamic_slice_in_dim(epochs, step - first * per_epoch, num_steps)


@checked()
def take_batch(split: Split, indices: Int[Array, " batch"]) -> Batch:
    """Gather examples and preprocess them: inputs are images * scale + offset, float32, or float64 if the images are.

    Raises:
        ValueError: if an index is out of range and available without waiting; otherwise the nearest example is taken.

    Example:
        >>> from bnjax import data
        >>> split = data.from_arrays(jnp.array([[1.0], [3.0], [5.0]]), [0, 1, 2])
        >>> batch = data.take_batch(split, jnp.array([2, 0]))
        >>> print(batch.inputs.ravel(), batch.labels)
        [5. 1.] [2 0]
    """
    num = len(split.images)
    if _is_at_hand(indices):
        wrong = [i for i in np.asarray(indices).tolist() if not -num <= i < num]
        if wrong:
            raise ValueError(f"indices must lie in [-{num}, {num}), the examples that there are, got {wrong[0]}.")
    per_channel = (1,) * (split.images.ndim - 1) + (-1,)
    scale, offset = split.scale.reshape(per_channel), split.offset.reshape(per_channel)
    mask = None if split.mask is None else split.mask[indices]
    images = split.images[indices]
    images, scale, offset = (array.astype(common_type(images, scale)) for array in (images, scale, offset))
    labels = jax.tree.map(lambda leaf: leaf[indices], split.labels)
    return Batch(images * scale + offset, labels, mask)
