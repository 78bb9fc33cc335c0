"""Metrics of images, as functions of tensors, and the pretrained networks that some of them need."""
