"""What needs a home and no Dagster: what is up to date, status and lineage, forgetting, judging, downloads.

Assets and commands call these functions; each takes the project and the home, and may be used from a REPL. Nothing
here knows of runs, partitions or events.
"""
