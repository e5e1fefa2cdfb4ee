"""What is right: pure checks. No clock, no socket, no Locust, no disk."""
