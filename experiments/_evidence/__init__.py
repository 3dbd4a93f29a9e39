"""Evidence: numbers from the data of experiments, and the verdicts that follow from them.

run         the structure of a run's data
value       numbers of which only a bound, or nothing, is known; medians
format      numbers and units in print
quantity    quantities recorded over training, and measures that reduce one to a number per run
quantities  the quantities that several experiments share, each defined once
drift       how far the distributions of activations move
correlation rank correlations of two numbers over nets
statistic   one number per seed or draw: of one net, or of two compared
claim       a statistic, and the range in which a source's statement holds
verdict     whether the data lie in that range
curve       a quantity at every step, over seeds
table       measures and nets in rows and columns
keep        the part of a run that a data file keeps
read        data files, including ones of an older form
"""
