"""A model that the loopback Hub serves to everyone, and what its tests ask."""

from __future__ import annotations

import json
from collections.abc import Callable

CONFIG = {"model_type": "llama", "hidden_size": 64}
BODY = json.dumps(CONFIG).encode()
TOKEN = "hf_" + "SecretTokenOfATest" * 2
QUICK = 0.2

Refused = Callable[..., str]
