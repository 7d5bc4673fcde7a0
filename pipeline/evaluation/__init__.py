"""Measuring what a model does to pictures, against the input, smoothing baselines and a known truth.

`measure` gives scores, `compare` condenses and compares them, `report` lays everything out as one page; each knows the
ones before it. What does not belong here: networks (a model is a function from pictures to pictures) and where tables lie.
"""
