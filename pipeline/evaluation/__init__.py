"""Measuring what a model does to pictures, against the input, smoothing baselines and a known truth.

`metrics` and `baselines` are pure functions on arrays; `judge` applies them to the test photos and to scenes
with known truth (`scenes`) and writes side-by-side pictures (`pictures`); `summary` condenses the scores,
`charts` draws them and `report` lays everything out as one page.

What does not belong here: networks (a model is a function from pictures to pictures) and where tables lie.
"""
