"""What was seen: row schema, numbered batches, the collector, and the record on disk."""
