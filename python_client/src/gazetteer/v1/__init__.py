"""Generated messages and stubs; made by `generate.py`."""
