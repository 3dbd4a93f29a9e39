"""Code shared by the nnx modules: scale, bias, types, and when statistics move."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypedDict

import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import Array
from jaxtyping import Inexact, Shaped

from bnjax import norms
from bnjax._host.arguments import checked, having
from bnjax._host.trees import common_type
from bnjax.norms.features import as_floats
from bnjax.norms.statistics import count_batch
from bnjax.types import BatchStats

RNGS = having("nnx.Rngs", "params")
NO_METADATA: Mapping[str, Any] = MappingProxyType({})


class _OfClass:
    """An attribute of a class that its instances do not have, since they are called in another way."""

    def __init__(self, value: Any):
        self._value = value

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is not None:
            raise AttributeError("__signature__")
        return self._value


class Signed:
    """Shows `inspect.signature` the arguments of a class and those that it passes on, where nnx shows none."""

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        given = [*inspect.signature(cls.__init__).parameters.values()][1:]
        own = [each for each in given if each.kind is not inspect.Parameter.VAR_KEYWORD]
        names = {each.name for each in own}
        handed: Any = inspect.signature(cls.__mro__[1]) if len(own) < len(given) else inspect.Signature()
        more = (each for each in handed.parameters.values() if each.name not in names)
        cls.__signature__ = _OfClass(inspect.Signature([*own, *more]))


def handed_on(arguments: dict[str, Any], *own: str) -> dict[str, Any]:
    """Select from a constructor's locals the arguments of its base class, without its own."""
    return {name: value for name, value in arguments.items() if name not in ("self", "__class__", *own)}


def prepared(module: Any, x: Array, *stats: Array) -> tuple[Any, tuple[Array, Array | None, Array | None]]:
    """Return the type to which Flax promotes input, statistics, scale and bias; and all but the statistics, unrounded."""
    scale, bias = (None if p is None else p[...] for p in (module.scale, module.bias))
    dtype = module.promote_dtype((x, *stats, scale, bias), dtype=module.dtype)[0].dtype
    x = as_floats(x)
    return dtype, (x.astype(common_type(x.dtype, dtype)), scale, bias)


class Norm(Signed, nnx.Module):
    """Base of all normalisers: scale, bias and types."""

    @checked(rngs=RNGS)
    def __init__(
        self,
        num_features: int,
        *,
        axis: int = -1,
        epsilon: float = 1e-5,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Array] = nnx.initializers.zeros,
        scale_init: Callable[..., Array] = nnx.initializers.ones,
        axis_name: str | tuple[str, ...] | None = None,
        axis_index_groups: Any = None,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: nnx.Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        def make(wanted: bool, init: Callable[..., Array], metadata: Mapping[str, Any]) -> Any:
            if not wanted:
                return nnx.data(None)
            return nnx.Param(init(rngs.params(), (num_features,), param_dtype), **metadata)

        self.scale = make(use_scale, scale_init, scale_metadata)
        self.bias = make(use_bias, bias_init, bias_metadata)
        self.num_features = num_features
        self.axis = axis
        self.epsilon = epsilon
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.use_bias = use_bias
        self.use_scale = use_scale
        self.axis_name = axis_name
        self.axis_index_groups = axis_index_groups
        self.promote_dtype = promote_dtype

    @property
    def _options(self) -> dict[str, Any]:
        """The arguments that all functions of `bnjax.norms` take."""
        names = ("epsilon", "axis", "axis_name", "axis_index_groups")
        return {name: getattr(self, name) for name in names}


class RunningOptions(TypedDict, total=False):
    """The arguments that all normalisers with running statistics take besides their own, as in `BatchNorm`."""

    use_running_average: bool | None
    axis: int
    momentum: float | None
    epsilon: float
    dtype: Any
    param_dtype: Any
    use_bias: bool
    use_scale: bool
    bias_init: Callable[..., Array]
    scale_init: Callable[..., Array]
    axis_name: str | tuple[str, ...] | None
    axis_index_groups: Any
    promote_dtype: Callable[..., Any]
    bias_metadata: Mapping[str, Any]
    scale_metadata: Mapping[str, Any]


class RunningNorm(Norm):
    """Base of the normalisers with running statistics: when these are used, and when they move."""

    mean: nnx.BatchStat[Array]

    # The name of the second statistic, beside `mean`.
    spread_name: ClassVar[str] = "var"

    @checked(rngs=RNGS)
    def __init__(
        self,
        num_features: int,
        *,
        use_running_average: bool | None = False,
        momentum: float | None = 0.99,
        **options: Any,
    ):
        is_complex = any(
            jnp.issubdtype(options.get(name) or jnp.float32, jnp.complexfloating) for name in ("dtype", "param_dtype")
        )
        self.mean = nnx.BatchStat(jnp.zeros((num_features,), jnp.complex64 if is_complex else jnp.float32))
        setattr(self, self.spread_name, nnx.BatchStat(jnp.ones((num_features,), jnp.float32)))
        if momentum is None:
            self.num_batches = nnx.BatchStat(jnp.zeros((), jnp.int32))
        super().__init__(num_features, **options)
        self.use_running_average = use_running_average
        self.momentum = momentum

    @checked()
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Inexact[Array, "*shape"]:
        """Normalise x; the call's `use_running_average` overrides the module's; statistics are taken where `mask` is True."""
        if use_running_average is None:
            use_running_average = self.use_running_average
        if use_running_average is None:
            raise ValueError("use_running_average must be given to the module or in its call, got None in both.")
        mean, var = self.mean, getattr(self, self.spread_name)
        dtype, (x, scale, bias) = prepared(self, x, mean[...], var[...])
        y, stats = self._normalise(
            x,
            BatchStats(mean[...], var[...]),
            scale,
            bias,
            train=not use_running_average,
            momentum=norms.cumulative_momentum(self.num_batches[...]) if self.momentum is None else self.momentum,
            mask=mask,
            **self._options,
        )
        if not use_running_average:
            var[...] = stats.var
            if stats.mean.dtype == mean[...].dtype:
                mean[...] = stats.mean
            else:  # real until the first batch of complex features
                mean.set_value(stats.mean)
            if hasattr(self, "num_batches"):
                self.num_batches[...] += count_batch(x, mask, self.axis_name, self.axis_index_groups)
        return y.astype(dtype)

    # What `nnx.view` sets; `nnx.view_info` reads its docstring.
    set_view = nnx.BatchNorm.set_view

    def _normalise(
        self, x: Array, stats: BatchStats, scale: Array | None, bias: Array | None, **options: Any
    ) -> tuple[Array, BatchStats]:
        """Apply the module's function of `bnjax.norms`."""
        raise NotImplementedError
