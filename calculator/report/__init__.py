"""Tables, text, files, charts and formulas of an estimate."""
