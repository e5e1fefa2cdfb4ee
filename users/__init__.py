"""Who acts: the cast. Each is a small class on `crosstalk.user.ChatUser`; a scenario imports those it wants."""
