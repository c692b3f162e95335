"""The questions turned round: what fits, on how much, and what to change where it does not."""
