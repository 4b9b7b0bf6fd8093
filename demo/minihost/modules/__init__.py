"""What the extension imports as `modules`: a host with the names of AUTOMATIC1111 WebUI v1.10.1, written from what can be
observed of it (tests/scenarios/recorded), and only as much of it as the extension meets. Modules with `_` are our own."""
