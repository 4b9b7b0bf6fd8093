"""PIA (Personalized Image Animator, arXiv 2312.13964) for Stable Diffusion 1.5 UNets in the LDM layout."""
