"""What inference engines reserve and how they are started."""
