"""The figure of any probe's result, and pictures beside the files of results."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bnjax import probes
from bnjax._host.arguments import checked
from bnjax._host.files import write_whole
from bnjax._host.output import one_line, say
from bnjax.draw.dependence import control_figure, dependence_figure
from bnjax.draw.drift import drift_figure
from bnjax.draw.layers import activations_figure, layers_figure
from bnjax.draw.line import barrier_figure, line_figure
from bnjax.draw.palette import png
from bnjax.draw.plane import path_figure, plane_figure
from bnjax.draw.rises import rises_figure
from bnjax.draw.spectrum import density_figure, eigenvalues_figure, sharpness_figure, trace_figure
from bnjax.draw.style import Figure
from bnjax.probes.directions import PrincipalAxes
from bnjax.probes.shown import draw_with

_FIGURES: dict[type, Any] = {
    probes.LineScan: line_figure,
    probes.Barrier: barrier_figure,
    probes.PlaneScan: plane_figure,
    PrincipalAxes: path_figure,
    probes.curvature.SpectralDensity: density_figure,
    probes.curvature.EigenPairs: eigenvalues_figure,
    probes.curvature.Trace: trace_figure,
    probes.BatchSharpness: sharpness_figure,
    probes.RelativeSharpness: rises_figure,
    probes.GradientStatistics: layers_figure,
    probes.CovariateShift: layers_figure,
    probes.LayerDependence: dependence_figure,
    probes.MomentControl: control_figure,
    probes.ActivationStatistics: activations_figure,
    probes.Shift: drift_figure,
    probes.Drift: drift_figure,
}


@checked()
def figure(result: Any, **options: Any) -> Figure:
    """Make the whole figure of a probe's result, of one run or of several that are stacked.

    Args:
        result: a result of a probe, or of `probes.load`.
        **options: `axes`, the principal axes that a plane was scanned along, whose path is drawn over it; or `steps`, the
            training steps of stacked gradient or activation statistics, covariate shifts, shifts or drifts.

    Returns:
        The figure, with its own style, which does not depend on the user's settings.

    Raises:
        ImportError: if matplotlib is not installed.
        TypeError: if the result has no such option.
        ValueError: if no figure is known for the result, it is stacked more than once over steps, or planes that are stacked
            have different coordinates.

    Example:
        >>> scan = probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3))
        >>> draw.figure(scan).savefig("line.png")
    """
    if type(result) not in _FIGURES:
        known = ", ".join(cls.__name__ for cls in _FIGURES)
        raise ValueError(f"result must be one of {known}, got {type(result).__name__}.")
    return _FIGURES[type(result)](result, **options)


draw_with(figure)


def draw_next(files: list[Path]) -> Path:
    """Take the first file off a list, and draw the result that it holds beside it.

    Principal axes in the file after a plane are taken off as well, and their path is drawn over the plane.

    Args:
        files: .npz files, at least one.

    Returns:
        The path of the picture, a .png.

    Raises:
        ImportError: if matplotlib is not installed.
        OSError: if a file cannot be read, or the picture cannot be written.
        ValueError: if a file does not hold the result of a probe.

    Example:
        >>> probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3)).save("line.npz")
        >>> draw.draw_next([Path("line.npz")]).name
        'line.png'
    """
    file = files.pop(0)
    if file.suffix != ".npz":
        raise ValueError(f"file must be the result of a probe (.npz), got {file.name}.")
    result, options = probes.load(file), {}
    if isinstance(result, probes.PlaneScan) and files and files[0].suffix == ".npz":
        with contextlib.suppress(OSError, ValueError):  # an unreadable file affects only its own picture
            following = probes.load(files[0])
            if isinstance(following, PrincipalAxes):
                files.pop(0)
                options = {"axes": following}
    picture = file.with_suffix(".png")
    drawn = png(figure(result, **options))
    write_whole(picture, lambda stream: stream.write(drawn))
    return picture


def draw_each(files: list[Path], draw: Callable[[list[Path]], Path] = draw_next) -> int:
    """Draw files one after another, and print where each picture is; one that cannot be drawn is a line on standard error.

    Args:
        files: taken off the list.
        draw: takes a file, and files that belong to it, off the list, and returns the picture.

    Returns:
        The exit status: 2 if a file was not drawn, else 0.
    """
    status = 0
    while files:
        file = files[0]
        try:
            say(draw(files))
        except Exception as error:  # of many types, depending on the file; it affects only its own picture
            say(f"error: {_explain(error, file)}", sys.stderr)
            status = 2
            if isinstance(error, ImportError):  # no other file will be drawn
                break
    return status


def _explain(error: Exception, file: Path) -> str:
    """Describe in one line why a file was not drawn."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    if isinstance(error, ImportError):
        return one_line(error)
    return f"{file} cannot be drawn ({type(error).__name__}: {one_line(error)})"
