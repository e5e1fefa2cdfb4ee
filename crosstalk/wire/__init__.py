"""The wire: canonical events and one file per dialect. Pure."""
