"""Numbers that print as formulas, and their units."""
