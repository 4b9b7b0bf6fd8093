"""minihost's stand-in for the WebUI's `modules` package: the names and behaviour that an extension meets, written anew and kept small.

Public names follow AUTOMATIC1111 WebUI v1.10.1 (checked by tests/host/test_contract.py); modules starting with `_` are minihost's own.
"""
