"""How methods are compared: summaries of scores, significance, the study's groups and claims, a named reference."""
