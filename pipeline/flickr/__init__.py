"""Flickr: asking it politely.

Belongs here: what Flickr's REST calls look like (`records`), how they are made (`client`) and how many are
allowed (`budget`), what a query is to Flickr (`source`), and camera names (`cameras`).
Does not belong here: downloading pictures, and anything about Dagster or where tables lie.
"""
