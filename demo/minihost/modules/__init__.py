"""What the extension imports as `modules`: names of AUTOMATIC1111 WebUI v1.10.1 with their observed behaviour, as far
as the extension meets them. Modules with `_` are our own."""
