"""The figure of whatever a probe returned."""

from typing import Any

from matplotlib.figure import Figure

from bnjax import probes
from bnjax.probes.directions import PrincipalAxes
from experiments._figures.drift import drift_figure
from experiments._figures.layers import activations_figure, layers_figure
from experiments._figures.line import line_figure
from experiments._figures.plane import path_figure, plane_figure
from experiments._figures.spectrum import density_figure, eigenvalues_figure, trace_figure

_FIGURES: dict[type, Any] = {
    probes.LineScan: line_figure,
    probes.PlaneScan: plane_figure,
    PrincipalAxes: path_figure,
    probes.curvature.SpectralDensity: density_figure,
    probes.curvature.EigenPairs: eigenvalues_figure,
    probes.curvature.Trace: trace_figure,
    probes.GradientStatistics: layers_figure,
    probes.CovariateShift: layers_figure,
    probes.ActivationStatistics: activations_figure,
    probes.Shift: drift_figure,
    probes.Drift: drift_figure,
}


def result_figure(result: Any) -> Figure:
    """Draw the result of a probe.

    Raises:
        ValueError: if there is no drawing of it.
    """
    if type(result) not in _FIGURES:
        known = ", ".join(cls.__name__ for cls in _FIGURES)
        raise ValueError(f"result must be one of {known}, got {type(result).__name__}.")
    return _FIGURES[type(result)](result)
