"""cyclegan-export: generators for other programs."""
