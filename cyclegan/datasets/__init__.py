"""Data sets to train on: the published CycleGAN sets, downloaded, and a small synthetic one."""
