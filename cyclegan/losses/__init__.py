"""Adversarial objectives and penalties of the discriminator."""
