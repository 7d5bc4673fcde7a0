"""The studio: portraits rendered with a known mask, known depth and a real thin lens.

What belongs here: describing scenes by seed, rendering them, the committed pictures, and the collection of
photos with planted dirt that the demo searches. What does not: serving that collection (the emulator does)
and judging models on it.
"""
