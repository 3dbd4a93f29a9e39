"""Figures, drawn from data alone; what is named after an experiment draws that one's.

style      colours, type, numbers on axes, the foot
captions   what was trained, how, where and when
accuracy   accuracy over training
ridges     distributions over training
curves     quantities over training, as lines and bands
landscape  the figure of `quickstart`, whose panels are also in that of `landscape`, which `landscape_rows` draws

results    the figure of whatever a probe returned
line       scans along lines, with bands
plane      scans of planes as contours, with paths
surface    the same in three dimensions
grid       the points and colours that the two share
spectrum   spectral density, eigenvalues, trace
layers     what is measured layer by layer, over training
drift      how far the activations of a layer have moved
"""
