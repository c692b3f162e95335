"""Inputs that nobody chose, thrown at everything that reads what a stranger sends. Each must end in a result or in a
sentence, soon and in little memory. A short run is one of the tests (test_fuzz.py), a long one is made by hand:

    python -m tests.fuzz configs 100000        mutations of recorded configs
    python -m tests.fuzz sweep                 every type, every numeric field, 0, -1 and a billion
    python -m tests.fuzz safetensors 50000     and gguf, commands, links (packed configs), pages (links of every page),
                                               devices, logs (of vLLM) and adapters
"""
