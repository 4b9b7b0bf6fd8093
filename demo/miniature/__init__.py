"""The miniature: a small latent text-to-image model in SD1.5's layout, personalised versions of it, and PIA trained on
it."""
