"""How long a pass takes, and what users of a serving engine see."""
