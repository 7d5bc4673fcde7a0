"""Which photos are one picture: fingerprints, neighbour search, verification, groups.

What does not belong here: reading files (callers hand in a function) and judging quality (`curation`).
"""
