"""How tests compile, which takes most of their time: for small nets, and once for all tests and processes.

To be imported before jax.
"""

import functools
import os
import sys
import threading
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
IS_KNOWN = version("jaxlib").startswith("0.10.")
# The machine code of these small nets need not be fast.
FLAGS = ["--xla_backend_optimization_level=0", "--xla_force_host_platform_device_count=8"]
if IS_KNOWN:  # NOTE: XLA stops at flags that it does not know, and later ones do not.
    FLAGS += [
        "--xla_cpu_use_fusion_emitters=false",  # which take four fifths of a small program's compilation
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_llvm_disable_expensive_passes=true",
    ]
ENVIRONMENT = {
    # Programs are compiled once for all tests, their worker processes and the commands that they start; tiny ones too.
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "programs"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    # The lines of Python that an operation comes from are not written into its program.
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",
    "XLA_FLAGS": " ".join([os.environ.get("XLA_FLAGS", ""), *FLAGS]),
}
os.environ.update(ENVIRONMENT)
# What a process has compiled of Python serves the next ones: a second of each that imports bnjax.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def share_contexts(uses: int = 200) -> None:
    """Let the programs of a thread be written in one MLIR context, which takes a third of the time of a small one to make.

    Args:
        uses: programs after which there is a new one, since a context keeps the constants of all of its programs.
    """
    from jax._src.interpreters import mlir

    make, threads = mlir.make_ir_context, threading.local()

    @functools.wraps(make)
    def shared():
        if getattr(threads, "left", 0) == 0:
            threads.context, threads.left = make(), uses
        threads.left -= 1
        return threads.context

    mlir.make_ir_context = shared


if IS_KNOWN:  # NOTE: these are names that JAX may change.
    share_contexts()
