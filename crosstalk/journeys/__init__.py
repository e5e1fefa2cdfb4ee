"""What journeys are made of, where it is too long for the user who makes them."""
