"""How good images are, in metrics: plain functions of tensors."""
