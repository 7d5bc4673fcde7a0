"""From photos and masks to a frozen dataset: crop and scale, shards, split, manifest, snapshot.

What does not belong here: how a subject is found (`masks`), and what is learned from the pictures (`training`).
"""
