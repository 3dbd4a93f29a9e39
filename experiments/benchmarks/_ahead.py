"""What `experiments.benchmarks.ahead` compiles, for devices that are described and not here."""

import importlib.metadata
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bnjax import Batch, linen, models, objective, ops, probes, sweep, train
from bnjax._host.batched import FORMS
from bnjax._host.memory import predicted_memory
from bnjax._host.output import one_line
from bnjax._host.trials import Group
from bnjax.data import Split
from bnjax.types import Model, Variables
from experiments.benchmarks._flax import MLP_HIDDEN, FlaxMLP, FlaxResNet, FlaxVGG, in_flax
from experiments.benchmarks._rows import Rows

# Published properties of an H100 SXM.
_H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 } core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 device_memory_size: 84929347584
}
platform_name: "CUDA" device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 10 } runtime_version { major: 12 minor: 9 patch: 0 }
"""
_NUM_DEVICES = 4
_PACKAGES = ("jax", "jaxlib", "jax-cuda12-plugin", "libtpu", "flax")
_BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1, "s8": 1, "u8": 1}
_COLLECTIVES = r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
_MOVES_NOTHING = ("parameter", "get-tuple-element", "tuple", "bitcast", "constant")


class Net(NamedTuple):
    """A net, the same one in plain Flax with Flax's batch norm and with bnjax's, its shape and two of its layers."""

    ours: Model
    plain: dict[str, Model]
    shape: tuple[int, ...]
    layers: tuple[str, ...]


def _vgg(width: float) -> Net:
    ours = models.make_model(models.VGGConfig(width=width, norm=linen.BatchNorm))
    return Net(ours, in_flax(partial(FlaxVGG, width)), (32, 32, 3), ("conv_5", "dense_9"))


def make_net(name: str) -> Net:
    """Make a net by its name on the command line."""
    if name.startswith("vgg"):
        return _vgg(1 / int(name.partition("/")[2] or 1))
    if name == "resnet":
        config = models.ResNetConfig(norm=linen.BatchNorm)
        plain = in_flax(partial(FlaxResNet, config.num_blocks, config.width))
        return Net(models.make_model(config), plain, (32, 32, 3), ("conv_10", "dense_20"))
    mlp = models.make_model(models.MLPConfig(hidden=MLP_HIDDEN, norm=linen.BatchNorm))
    return Net(mlp, in_flax(FlaxMLP), (28, 28, 1), ("dense_1", "dense_2"))


def devices(target: str, num: int) -> list[Any]:
    """Describe so many devices of a kind; of a CPU, take those that are here.

    Raises:
        ImportError: if the compiler of the kind is not installed.
    """
    try:
        return _describe(target, num)
    except (NotImplementedError, RuntimeError) as error:
        package = {"h100": "jax[cuda12]", "v5e": "jax[tpu]"}[target]
        raise ImportError(f"There is no compiler for {target}: pip install '{package}' ({one_line(error)}).") from error


def _describe(target: str, num: int) -> list[Any]:
    """Describe devices, or take those that are here."""
    if target == "cpu":
        return jax.devices("cpu")[:num]
    if target == "v5e":
        return list(topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices)[:num]
    from jax._src import xla_bridge

    known = xla_bridge.canonicalize_platform
    # NOTE: jax looks for a backend of that name, of which only the compiler is needed.
    xla_bridge.canonicalize_platform = lambda platform: platform if platform == "cuda" else known(platform)
    described = topologies.get_topology_desc("h100", "cuda", target_config=_H100, topology=f"1x{num}x1")
    return list(described.devices)


def make_programs(net: Net, batch_size: int, num_points: int, mesh: Mesh) -> dict[str, tuple[Callable, Any]]:
    """Name the programs of a net: functions and the shapes of their arguments."""
    x = jax.ShapeDtypeStruct((batch_size, *net.shape), jnp.float32)
    batch = Batch(x, jax.ShapeDtypeStruct((batch_size,), jnp.int32))  # pyright: ignore[reportArgumentType]

    def variables(model: Model) -> Any:
        return jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)), x)

    def on_loss(probe: Callable[..., Any], model: Model = net.ours) -> tuple[Callable, Any]:
        """Run a probe on the loss of a batch, with its statistics."""

        def program(params: Any, batch_stats: Any, batch: Batch) -> Any:
            return jax.tree.leaves(probe(objective.make_loss_fn(model, batch_stats, batch), params))

        return program, (*variables(model), batch)

    steps, key = np.linspace(0, 0.4, num_points), partial(jax.random.key, 0)
    forms = {str(Group(size, form)): (size, form) for form in FORMS for size in (4, 16) if size < num_points}
    ways = {"map": ("map", "grouped"), **forms, "vmap": ("vmap", "grouped")}

    def gradient(loss_fn: Any, params: Any) -> Any:
        return jax.value_and_grad(loss_fn)(params)

    def line(batching: Any, form: Any, **options: Any) -> Callable[..., Any]:
        def scan(loss_fn: Any, params: Any) -> Any:
            with ops.batched_kernels(form):
                return probes.scan_line(
                    loss_fn, params, step_sizes=steps, batching=batching, show_progress=False, **options
                )

        return scan

    def plane(loss_fn: Any, params: Any) -> Any:
        side = np.linspace(-1, 1, math.isqrt(num_points))
        return probes.scan_plane(loss_fn, params, params, params, side, side, show_progress=False)

    def outputs(params: Any, batch_stats: Any, batch: Batch) -> Any:
        return probes.capture(net.ours, Variables(params, batch_stats), batch.inputs)

    def captured(params: Any, batch_stats: Any, batch: Batch) -> Any:
        return [probes.activation_statistics(array) for array in outputs(params, batch_stats, batch).values()]

    def moved(params: Any, batch_stats: Any, batch: Batch) -> Any:
        first, *_ = captured(params, batch_stats, batch)
        return probes.shift(first, first)

    def gram(params: Any, batch_stats: Any, batch: Batch) -> Any:
        *_, last = outputs(params, batch_stats, batch).values()
        flat = last.reshape(len(last), -1)
        return probes.soft_rank(flat), probes.orthogonality_gap(flat), probes.cosines(flat)

    def control(params: Any, batch_stats: Any, batch: Batch) -> Any:
        def of_layers(w: Any) -> Any:
            found = outputs(w, batch_stats, batch)
            return {layer: found[layer] for layer in net.layers}

        return probes.moment_control(of_layers, params, params, net.layers)

    def fisher_trace(loss_fn: Any, params: Any) -> Any:
        return probes.curvature.trace(objective.linearise(loss_fn, params), params, key=key(), num_probes=4)

    def barrier(loss_fn: Any, params: Any) -> Any:
        return probes.barrier(loss_fn, params, params, num_points=8, show_progress=False)

    def training(model: Model) -> tuple[train.Trainer, Any]:
        trainer = train.Trainer(model, train.make_optimizer("sgd", 0.1, momentum=0.9), batch_size)
        return trainer, jax.eval_shape(partial(train.init_state, trainer), jax.eval_shape(key), x)

    def step(model: Model) -> tuple[Callable, Any]:
        trainer, state = training(model)
        return partial(train.train_step, trainer), (state, batch)

    trainer, state = training(net.ours)
    return {
        "gradient": on_loss(gradient),
        **{f"gradient, {name}": on_loss(gradient, model) for name, model in net.plain.items()},
        "training step": step(net.ours),
        **{f"training step, {name}": step(model) for name, model in net.plain.items()},
        **{f"sweep of 4, {way}": _sweep(trainer, state, batch, way) for way in ("map", "vmap")},
        **{f"line, {name}": on_loss(line(*way)) for name, way in ways.items()},
        f"line, {_NUM_DEVICES} devices": on_loss(line("map", "grouped", mesh=mesh)),
        "plane": on_loss(plane),
        "barrier": on_loss(barrier),
        "trace": on_loss(partial(probes.curvature.trace, key=key(), num_probes=4)),
        "eigenpairs": on_loss(partial(probes.curvature.top_eigenpairs, key=key(), max_matvecs=20)),
        "density": on_loss(partial(probes.curvature.spectral_density, key=key(), num_matvecs=16)),
        "covariate shift": on_loss(lambda loss_fn, w: probes.covariate_shift(loss_fn, w, w, net.layers)),
        "layer dependence": on_loss(
            lambda loss_fn, w: probes.layer_dependence(loss_fn, w, net.layers, step_sizes=(0.01, 0.1))
        ),
        "batch sharpness": on_loss(lambda loss_fn, w: probes.batch_sharpness([loss_fn], w)),
        "relative sharpness": on_loss(
            lambda loss_fn, w: probes.relative_sharpness(loss_fn, w, net.layers, key=key(), num_directions=4)
        ),
        "points": on_loss(
            lambda loss_fn, w: probes.evaluate_points(loss_fn, w, (w,), steps[:, None], show_progress=False)
        ),
        "hvp": on_loss(lambda loss_fn, w: probes.curvature.hvp(loss_fn, w, w)),
        "Hessian blocks": on_loss(
            lambda loss_fn, w: probes.hessian_blocks(loss_fn, w, net.layers, net.layers[0], key=key(), num_probes=4)
        ),
        "Fisher trace": on_loss(fisher_trace),
        "statistics of gradients": on_loss(
            lambda loss_fn, w: probes.gradient_statistics(jax.grad(loss_fn)(w), w, w, w)
        ),
        **{
            name: (program, (*variables(net.ours), batch))
            for name, program in {
                "activations": captured,
                "shift of activations": moved,
                "Gram matrix": gram,
                "moment control": control,
            }.items()
        },
    }


def _sweep(trainer: train.Trainer, state: Any, batch: Batch, way: Any) -> tuple[Callable, Any]:
    """Take a step of four runs of different learning rates."""
    fields = [{"learning_rate": rate, "seed": 0} for rate in (0.01, 0.03, 0.1, 0.3)]

    def make(learning_rate: Any) -> train.Trainer:
        return trainer._replace(optimizer=train.make_optimizer("sgd", learning_rate, momentum=0.9))

    (program,) = sweep.programs(make, fields)

    def run(states: Any, split: Split) -> Any:
        return sweep.run_steps(program, states, split, num_steps=1, way=sweep.Way(way))

    states = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(fields), *leaf.shape), leaf.dtype), state)
    channels = jax.ShapeDtypeStruct(batch.inputs.shape[-1:], jnp.float32)
    return run, (states, Split(batch.inputs, batch.labels, channels, channels))  # pyright: ignore[reportArgumentType]


def report(compiled: Any) -> dict[str, Any]:
    """Read what a compiled program needs and calls."""
    text = compiled.as_text()
    # The products of a TPU's program are its own, a GPU's are library calls.
    products = re.findall(r".*(?:__cudnn\$conv|__cublas\$|__triton_gemm| dot\(| convolution\().*", text)
    precisions = ("".join(re.findall(r"operand_precision\W+(\w+)", line)[:1]).lower() or "default" for line in products)
    memory = predicted_memory(compiled)
    return {
        "memory_mb": memory.total / 1e6 if memory else None,
        "temporaries_mb": memory.temporaries / 1e6 if memory else None,
        "moved_mb": moved_bytes(text) / 1e6,
        "grouped": sum(int(number) > 1 for number in re.findall(r"feature_group_count\W+(\d+)", text)),
        "precision": dict(Counter(precisions)),
        "collectives": dict(Counter(re.findall(_COLLECTIVES, text))),
        "repeated_collectives": len(re.findall(_COLLECTIVES, text[: text.index("\nENTRY")])),
    }


def moved_bytes(text: str) -> int:
    """Add up operands and results of a program's top level, which its kernels read and write.

    A loop, a call or a conditional counts by its operands and results, as a kernel does, whatever its body moves. An
    asynchronous kernel counts at its start and at its end. The committed rows were made by this rule.

    Args:
        text: of the compiled program, with the shape of every result.

    Returns:
        Bytes, without those that the bodies of loops move.
    """
    shapes: dict[str, str] = {}
    total = 0
    for line in text[text.index("\nENTRY") :].splitlines()[1:]:
        match = re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = (\([^=]*?\)|\S+) ([\w\-]+)\((.*)", line)
        if match:
            name, shape, operation, rest = match.groups()
            shapes[name] = shape
            if operation not in _MOVES_NOTHING:
                operands = re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
                total += _size(shape) + sum(_size(shapes.get(operand, "")) for operand in operands)
    return total


def _size(shape: str) -> int:
    """Count the bytes of a shape, or of a tuple of shapes."""
    arrays = re.findall(r"(\w+)\[([\d,]*)\]", shape)
    return sum(
        _BYTES[kind] * math.prod(int(n) for n in sides.split(",") if n) for kind, sides in arrays if kind in _BYTES
    )


def compile_all(arguments: Any, rows: Rows) -> None:
    """Compile every program that has no row yet, and write one for each."""
    chips = devices(arguments.target, _NUM_DEVICES)
    mesh = Mesh(np.array(chips), ("points",))
    known = {(row["net"], row["program"]) for row in rows.read()}
    versions = {name: _version(name) for name in _PACKAGES if _version(name)}
    about = {"target": arguments.target, "batch": arguments.batch, "versions": versions}
    for name in arguments.nets:
        for program, make in _wanted(make_net(name), arguments, mesh):
            if (name, program) in known:
                continue
            print(f"{name}: {program}", file=sys.stderr, flush=True)
            start, found = time.perf_counter(), {}
            try:
                function, arrays = make
                where = mesh if "devices" in program else Mesh(np.array(chips[:1]), ("points",))
                found = report(jax.jit(function).lower(*place(arrays, where)).compile())
            except Exception as error:  # NOTE: of any type; that it does not compile is a result
                found = {"error": one_line(error)[:300]}
            seconds = round(time.perf_counter() - start, 2)
            rows.add(net=name, program=program, seconds=seconds, **found, **about)


def _wanted(net: Net, arguments: Any, mesh: Mesh) -> Iterator[tuple[str, tuple[Callable, Any]]]:
    """List the programs whose names begin as one asked for."""
    for name, made in make_programs(net, arguments.batch, arguments.points, mesh).items():
        if arguments.programs is None or name.startswith(tuple(arguments.programs)):
            yield name, made


def place(arrays: Any, mesh: Mesh) -> Any:
    """Place each shape on the devices of a mesh, a whole copy on every one."""
    where = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), arrays)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
