"""State spaces, linear attention and short convolutions, alone or beside softmax attention."""
