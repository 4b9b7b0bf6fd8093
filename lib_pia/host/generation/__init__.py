"""One clip: from the request's settings to its latents."""
