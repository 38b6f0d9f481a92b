"""Orders from the click to the door."""
