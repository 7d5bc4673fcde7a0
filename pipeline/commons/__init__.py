"""Wikimedia Commons as a source of photos: no key, and an etiquette.

Belongs here: what the answers of its API look like (`records`), how it is asked (`client`), and what a query of the project
file is in its search's language (`source`). Does not belong here: downloading pictures, and anything about Dagster.
"""
