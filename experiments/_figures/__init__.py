"""Figures, drawn from data alone, in the style of `bnjax.draw`, which draws the results of probes.

captions   net, training, device and date of the runs
panels     the parts of a figure
landscape  panels that several figures show
distributions  a unit's distributions over training, net by net
block      rows of panels under a heading
narrow     the same panels stacked vertically, for a narrow screen
figure     blocks of panels, a legend and a foot
"""
