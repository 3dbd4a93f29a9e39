"""Parts of a data set: its first examples in a fixed order, and those of some classes."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from bnjax._host.arguments import checked, whole
from bnjax.data.batches import Split

_ORDER = 0  # seed of the fixed order


@checked(num_examples=whole(1))
def take_subset(split: Split, num_examples: int) -> Split:
    """Take the first examples of a fixed random order, the same for every run; a smaller subset lies in a larger one.

    Args:
        split: the examples; their preprocessing stays as it is.
        num_examples: how many are taken.

    Returns:
        Split of so many examples, in that order.

    Raises:
        ValueError: if there are fewer examples.

    Example:
        >>> from bnjax import data
        >>> digits = data.load("digits").train
        >>> print(data.take_subset(digits, 100).images.shape)
        (100, 8, 8, 1)
    """
    num = len(split.labels)
    if num_examples > num:
        raise ValueError(f"num_examples must be at most {num:,}, the examples there are, got {num_examples:,}.")
    return take_examples(split, np.random.default_rng(_ORDER).permutation(num)[:num_examples])


@checked()
def take_classes(split: Split, classes: Sequence[int]) -> Split:
    """Take the examples of some classes, in their order; labels stay as they are.

    Args:
        split: the examples, with one class each.
        classes: one or more different labels.

    Returns:
        Split of their examples.

    Raises:
        ValueError: if a class is named twice, or has no example.

    Example:
        >>> from bnjax import data
        >>> digits = data.load("digits").train
        >>> print(sorted({*data.take_classes(digits, (3, 8)).labels.tolist()}))
        [3, 8]
    """
    labels = np.asarray(split.labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"split must have one class per example, got labels of {labels.dtype} {labels.shape}.")
    if not classes or len({*classes}) < len(classes) or not {*classes} <= {*labels.tolist()}:
        there = ", ".join(map(str, sorted({*labels.tolist()})))
        raise ValueError(f"classes must be one or more different ones of {there}, got {tuple(classes)}.")
    return take_examples(split, np.flatnonzero(np.isin(labels, [*classes])))


def take_examples(split: Split, indices: ArrayLike) -> Split:
    """Take the examples at some places."""
    rows = jnp.asarray(indices)
    mask = None if split.mask is None else split.mask[rows]
    return split._replace(images=split.images[rows], labels=split.labels[rows], mask=mask)
