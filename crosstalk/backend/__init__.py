"""The reference backend: an agent-chat server that is exactly right unless it is told to be wrong.

It runs as a process of its own (``python -m crosstalk.backend``) and imports nothing of the rest of the project, so
that judge and judged cannot share a mistake.
"""
