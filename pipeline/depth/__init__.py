"""Depth: maps of it from files, refocusing photos by it, and scoring predictions of it.

What belongs here: units, readers of RGB-D folders, the blur by depth of photos of any size, metrics. What does not: networks
that predict depth and the lens itself (`pipeline.models`), and rendering scenes with known depth (`pipeline.studio`).
"""
