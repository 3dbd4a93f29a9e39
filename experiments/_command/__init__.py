"""The command line: what experiments there are, what they cost, and how one or all of them are run.

catalogue   the experiments, by name
arguments   the presets, choices and fields that an experiment is told
cli         one experiment: what it prints and writes
costs       what each preset took, and which runs are there
estimates   how long presets take that nobody has run
everything  all experiments, one after another
clean       what results take on disk, and what can go
"""
