"""Probing: users that try the wrong thing on purpose. Carries out; `crosstalk.checks` says what an answer means.

Every probe leaves its count in the exposures, and a violation where the target let it through.
"""
