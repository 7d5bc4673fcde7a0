"""Asking servers that are not trusted: which addresses may be connected to, and how much of an answer is taken.

`addresses` decides about every connection, `reading` about every answer; `session` puts both under `requests`.
"""
