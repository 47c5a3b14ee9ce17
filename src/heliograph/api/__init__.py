"""The HTTP face: doors, limits, authentication, pages."""
