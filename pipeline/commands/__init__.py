"""The commands of `bokehflow`, a module for each theme; `pipeline.cli` puts them together.

Everything heavy is imported inside the command that needs it, so `--help` is quick.
"""
