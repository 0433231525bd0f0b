"""The fuzzer: random tries of every door of the package, each with a limit of time and memory.

`make fuzz` runs it; `PYTHONPATH=tests python -m fuzz --help` lists what it takes. A kind of try is a row in `table.py`
and a module of its own.
"""
