"""The runs of a grid, and which of them one program can train."""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import check_number, checked, described
from bnjax._host.kinds import kind_of
from bnjax.train import Trainer

Fields = Mapping[str, Any]


class Program(NamedTuple):
    """Runs that one program trains: they differ in seeds and in numbers.

    Attributes:
        rows: which runs of the grid these are, in its order.
        make_trainer: makes the trainer from the numbers of a run, its other fields being fixed. It is hashable and returns
            equal trainers at every call: functions of a program are compiled once for equal ones.
        numbers: by name, one value per run.
        keys: PRNG keys for everything random, one per run.
    """

    rows: tuple[int, ...]
    make_trainer: Callable[..., Trainer]
    numbers: dict[str, Float[Array, " runs"]]
    keys: Array


def only(program: Program, i: int) -> Program:
    """Return the program of one of a program's runs.

    Args:
        program: of several runs.
        i: which of them, counted from 0.

    Returns:
        A program of one row.
    """
    numbers = {name: values[i : i + 1] for name, values in program.numbers.items()}
    return Program(program.rows[i : i + 1], program.make_trainer, numbers, program.keys[i : i + 1])


@checked()
def grid(**values: Iterable[Any]) -> list[dict[str, Any]]:
    r"""List every combination of the values of some fields, the last field varying fastest.

    Args:
        values: the values of each field, of which those in JAX's arrays become Python's numbers; one field is `seed`, from
            which everything random in a run follows.

    Returns:
        A dictionary per run.

    Raises:
        ValueError: if `seed` is missing, a field has no values, or a value is repeated.

    Example:
        >>> from bnjax import sweep
        >>> print(*sweep.grid(learning_rate=[0.1, 0.2], seed=range(2)), sep="\n")
        {'learning_rate': 0.1, 'seed': 0}
        {'learning_rate': 0.1, 'seed': 1}
        {'learning_rate': 0.2, 'seed': 0}
        {'learning_rate': 0.2, 'seed': 1}
    """
    for name, column in values.items():
        if not isinstance(column, Iterable) or isinstance(column, str):
            raise ValueError(f"{name} must be a list of values, got {described(column)}.")
    columns = {name: list(map(_as_number, column)) for name, column in values.items()}
    if "seed" not in columns:
        raise ValueError(f"seed must be one of the fields of a grid, got {', '.join(columns) or 'none'}.")
    for name, column in columns.items():
        if not column or any(value in column[:i] for i, value in enumerate(column)):
            raise ValueError(f"{name} must have one or more different values, got {column}.")
    return [dict(zip(columns, row, strict=True)) for row in itertools.product(*columns.values())]


@checked()
def programs(
    make_trainer: Callable[..., Trainer], runs: Sequence[Fields], *, fixed: Collection[str] = ()
) -> list[Program]:
    """Group runs into programs: runs whose fields agree, except for numbers and seeds, share one.

    Args:
        make_trainer: called with the fields of a run except its seed. Fields that are floats are passed as traced numbers,
            which Python cannot compare, so runs that differ in them share a program. The other fields are hashable.
        runs: the fields of each run.
        fixed: names of fields that are floats, but are passed as constants.

    Returns:
        Programs, in the order of their first runs.

    Raises:
        ValueError: if runs have different fields, no seed, or one that is no whole number >= 0; or if a number is out of the
            range of the argument of its name, such as `learning_rate`.

    Example:
        >>> from bnjax import adapters, sweep, train
        >>> from flax import linen as nn
        >>> def make_trainer(width, learning_rate):
        ...     model, optimizer = adapters.from_linen(nn.Dense(width)), train.make_optimizer("sgd", learning_rate)
        ...     return train.Trainer(model, optimizer, batch_size=4)
        >>> runs = sweep.grid(width=[2, 3], learning_rate=[0.1, 0.2], seed=[0])
        >>> print(*(program.rows for program in sweep.programs(make_trainer, runs)))  # a program for each width
        (0, 1) (2, 3)
    """
    _check(runs)
    names = [name for name in runs[0] if name not in fixed and all(isinstance(run[name], float) for run in runs)]
    rows: dict[tuple, list[int]] = {}
    for row, run in enumerate(runs):
        rows.setdefault(tuple((name, run[name]) for name in run if name not in (*names, "seed")), []).append(row)
    return [
        Program(
            tuple(members),
            partial(make_trainer, **dict(common)),  # a new object: the closure of `make_trainer` may have changed
            {name: _weak([runs[row][name] for row in members]) for name in names},
            jax.vmap(jax.random.key)(np.asarray([runs[row]["seed"] for row in members], np.uint32)),
        )
        for common, members in rows.items()
    ]


def _as_number(value: Any) -> Any:
    """Convert an array without axes, such as an entry of a JAX array, to Python's number; anything else stays as it is."""
    is_number = isinstance(value, jax.Array | np.ndarray) and not value.ndim
    return value.item() if is_number and kind_of(value.dtype) in ("f", "i", "b") else value


def _weak(values: Sequence[float]) -> Float[Array, " runs"]:
    """Make an array whose entries, like Python's floats, take the type of the arrays that they are combined with."""
    return jnp.full(len(values), 0.0).at[:].set(np.asarray(values))


def _check(runs: Sequence[Fields]) -> None:
    """Raise unless all runs have the same fields, and seeds."""
    if not runs:
        raise ValueError("runs must hold at least one run, got none.")
    for run in runs:
        if not isinstance(run, Mapping):
            raise ValueError(f"runs must be dictionaries of fields, as sweep.grid lists them, got {described(run)}.")
        if {*run} != {*runs[0]}:
            raise ValueError(f"All runs must have the fields {', '.join(runs[0])}, one has {', '.join(run) or 'none'}.")
        for name, value in run.items():
            if isinstance(value, float):
                check_number(name, value)
        seed = run.get("seed")
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < 2**31:
            raise ValueError(f"seed must be a whole number from 0 to 2147483647, got {seed!r}.")
