"""What remembers: the interface, its engines, their schema."""
