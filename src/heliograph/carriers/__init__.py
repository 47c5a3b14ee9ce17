"""What takes messages away: an interface and its implementations."""
