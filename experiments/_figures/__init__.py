"""Figures, drawn from data alone; what is named after an experiment draws that one's.

style      that of `bnjax.draw`, and a colour for each net
captions   what was trained, how, where and when
accuracy   accuracy over training
ridges     distributions over training
curves     quantities over training, as lines and bands
landscape  the figure of `quickstart`, whose panels are also in that of `landscape`, which `landscape_rows` draws

What probes returned is drawn by `bnjax.draw`, whose style these figures share.
"""
