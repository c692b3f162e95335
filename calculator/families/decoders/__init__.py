"""One stack of layers of softmax attention and an MLP, the same or nearly so from the first to the last."""
