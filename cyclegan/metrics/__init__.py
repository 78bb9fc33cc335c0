"""How good pictures are, in figures: plain functions of tensors."""
