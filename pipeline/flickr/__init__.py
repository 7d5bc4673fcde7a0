"""Flickr: asking it politely, and an emulator of it for machines without key or internet.

Belongs here: what Flickr's REST calls look like (`records`), how they are made (`client`) and how many are
allowed (`budget`), what a query is to Flickr (`source`), camera names (`cameras`), and the emulator (`emulator`,
`collection`, `answers`, `faults`).
Does not belong here: downloading pictures, and anything about Dagster or where tables lie.
"""
