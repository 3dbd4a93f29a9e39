"""Experiments that rebuild the evidence on batch normalisation; `python -m experiments` lists them."""
