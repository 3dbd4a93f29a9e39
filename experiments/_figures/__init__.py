"""Figures, drawn from data alone, in the style of `bnjax.draw`, which draws what probes returned.

captions   net, training, device and date of the runs
panels     what a figure is made of
landscape  panels that several figures show
distributions  a unit's distributions over training, net by net
block      rows of panels under a heading
narrow     the same panels one below the other, for a narrow screen
figure     blocks of panels, a legend and a foot
"""
