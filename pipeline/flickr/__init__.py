"""Flickr: asking it politely, and an emulator of it for machines without key or internet.

Belongs here: what Flickr's REST calls look like (`records`), how they are made (`client`) and how many are
allowed (`budget`), the search of a whole month past Flickr's cap (`windows`) and as a table (`listing`),
licences (`licenses`), camera names (`cameras`), and the emulator (`emulator`, `collection`, `answers`, `faults`).
Does not belong here: downloading pictures, and anything about Dagster or where tables lie.
"""
