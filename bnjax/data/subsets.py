"""Subsets of a data set: examples in a fixed order, examples of some classes, and batches sorted by label."""

import weakref
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Int

from bnjax._host.arguments import checked, whole
from bnjax._host.programs import compiled_once
from bnjax._host.trees import is_known
from bnjax.data.batches import Split, check_last_step

_ORDER = 0  # seed of the fixed order
_MOST_LABELS = 1000  # that a data set may have, for batches sorted by label
# Labels that are still in memory, of which such batches can be drawn: the `id` of the array, and the sizes.
_CHECKED: set[tuple[int, int, int]] = set()


@checked(num_examples=whole(1))
def take_subset(split: Split, num_examples: int) -> Split:
    """Take the first examples of a fixed random order, the same for every run; smaller subsets lie in larger ones.

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
    num = len(split.images)
    if num_examples > num:
        raise ValueError(f"num_examples must be at most {num:,}, the examples there are, got {num_examples:,}.")
    return take_examples(split, np.random.default_rng(_ORDER).permutation(num)[:num_examples])


@checked()
def take_classes(split: Split, classes: Sequence[int] | Int[Array | np.ndarray, " classes"]) -> Split:
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
    wanted = np.asarray([*classes]).tolist()
    if not wanted or len({*wanted}) < len(wanted) or not {*wanted} <= {*labels.tolist()}:
        there = ", ".join(map(str, sorted({*labels.tolist()})))
        raise ValueError(f"classes must be one or more different ones of {there}, got {tuple(wanted)}.")
    return take_examples(split, np.flatnonzero(np.isin(labels, wanted)))


def take_examples(split: Split, indices: ArrayLike) -> Split:
    """Take the examples at the given indices."""
    rows = jnp.asarray(indices)
    mask = None if split.mask is None else split.mask[rows]
    return split._replace(
        images=split.images[rows], labels=jax.tree.map(lambda leaf: leaf[rows], split.labels), mask=mask
    )


@checked(num_steps=whole(0), batch_size=whole(1), per_label=whole(1))
def draw_by_label(
    key: Array,
    step: int | Int[Array, ""],
    labels: Int[Array, " examples"],
    *,
    num_steps: int,
    batch_size: int,
    per_label: int,
) -> Int[Array, "num_steps batch_size"]:
    """Draw successive batches that are not i.i.d. but sorted by label, with `per_label` examples of each label.

    Source: Ioffe 2017, Sec. 4.3. Each batch draws its labels from those with enough examples, and `per_label` different
    examples of each, from key and step alone. Batches are independent: there are no epochs.

    Args:
        key: of the data order.
        step: the first step, from 0.
        labels: of the split, each from 0 to 999.
        num_steps: how many batches.
        batch_size: examples per batch.
        per_label: examples of each label in a batch, which divides `batch_size`.

    Returns:
        Indices into the split; examples of the same label are adjacent.

    Raises:
        ValueError: if `per_label` does not divide `batch_size`, a step that is known exceeds 2^31 - 1, or, where the labels are
            known, one is too large, or too few of them have enough examples.

    Example:
        >>> from bnjax import data
        >>> labels = jnp.arange(40) % 10
        >>> indices = data.draw_by_label(jax.random.key(0), 0, labels, num_steps=1, batch_size=6, per_label=2)
        >>> print(labels[indices].shape, bool(jnp.all(labels[indices][0, ::2] == labels[indices][0, 1::2])))
        (1, 6) True
    """
    check_last_step(step, num_steps)
    check_labels(labels, batch_size=batch_size, per_label=per_label)
    num_labels = batch_size // per_label
    return _draw_by_label(key, step, labels, num_steps=num_steps, num_labels=num_labels, per_label=per_label)


@checked(batch_size=whole(1), per_label=whole(1))
def check_labels(labels: Int[Array, " examples"], *, batch_size: int, per_label: int) -> None:
    """Raise unless batches of `per_label` examples of each label can be drawn; labels that are traced are not looked at.

    Arrays of JAX, which cannot change, are read once for each pair of sizes.

    Args:
        labels: of the split, each from 0 to 999.
        batch_size: examples per batch.
        per_label: examples of each label in a batch.

    Raises:
        ValueError: as `draw_by_label`.
    """
    if batch_size % per_label:
        raise ValueError(f"per_label must divide the batch size, {batch_size}, got {per_label}.")
    key = (id(labels), batch_size, per_label)
    if key in _CHECKED or not is_known(labels) or not getattr(labels, "is_fully_addressable", True):
        return
    known = np.asarray(labels)
    wrong = known[(known < 0) | (known >= _MOST_LABELS)]
    if wrong.size:
        raise ValueError(f"labels must be from 0 to {_MOST_LABELS - 1}, got {wrong[0]}.")
    most = int(np.sum(np.bincount(known) >= per_label)) * per_label
    if batch_size > most:
        rule = f"batch_size must be at most {most}, {per_label} of each of the labels with as many examples"
        raise ValueError(f"{rule}, got {batch_size}.")
    if isinstance(labels, Array):
        _CHECKED.add(key)
        weakref.finalize(labels, _CHECKED.discard, key)


@compiled_once("num_steps", "num_labels", "per_label")
def _draw_by_label(
    key: Array, step: int | Array, labels: Array, *, num_steps: int, num_labels: int, per_label: int
) -> Array:
    """Draw batch by batch: the labels with the highest random scores, then the examples of each with the highest."""
    counts = jnp.zeros(_MOST_LABELS, int).at[labels].add(1)

    def batch(step: Array) -> Array:
        of_labels, of_examples = jax.random.split(jax.random.fold_in(key, step))
        scores = jnp.where(counts >= per_label, jax.random.uniform(of_labels, counts.shape, jnp.float32), -1)
        chosen = jax.lax.top_k(scores, num_labels)[1]
        ranks = jax.random.uniform(of_examples, labels.shape, jnp.float32)[None]
        return jax.lax.top_k(jnp.where(labels[None] == chosen[:, None], ranks, -1), per_label)[1].reshape(-1)

    return jax.lax.map(batch, step + jnp.arange(num_steps))
