"""Side-by-side timings: ratios from one run, both sides named."""
